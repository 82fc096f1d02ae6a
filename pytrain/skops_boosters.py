"""Boosters and searches in .skops files, before anything in them is constructed.

skops would construct LightGBM's and XGBoost's classes, which load bytes of the file into C code. So each estimator of
theirs is taken out of the file's schema, a text stands in its place, and the booster's own text or bytes are read by
`pytrain.plan.lightgbm` and `pytrain.plan.xgboost`. What is left is audited and loaded by skops as any file is; then the
texts are replaced by estimators of `pytrain.plan.boosted`.

A search (GridSearchCV, RandomizedSearchCV) holds scorers, folds and distributions, of which a plan needs nothing. They
are left out, so that their types need not be trusted.
"""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.errors import Refusal
from pytrain.plan import lightgbm, xgboost
from pytrain.plan.boosted import LIGHTGBM, XGBOOST, Boosted

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 1 << 30  # of the schema, or of a booster
_SCHEMA = "schema.json"
_FORMAT = ("protocol", "_skops_version")  # beside the root's node
_SEARCHES = ("GridSearchCV", "RandomizedSearchCV")
_KEPT = {"estimator", "refit", "best_estimator_", "n_features_in_", "feature_names_in_", "_sklearn_version"}
# Settings of LightGBM that change what predict answers.
_STOPS_EARLY = ("pred_early_stop", "num_iteration_predict", "start_iteration_predict")

Node = dict[str, Any]


class Boosters:
    """A .skops file without its boosters.

    Parameters
    ----------
    path
        The file. It is read; nothing in it is run.

    Attributes
    ----------
    file
        What skops is to load: the file, or its bytes without what was taken out.

    Raises
    ------
    Refusal
        It holds a booster that no plan can express.
    InputError
        A booster is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.file: Path | bytes = path
        self._path = path
        self._token = uuid.uuid4().hex
        self._found: dict[str, Boosted] = {}
        self._changed = False
        with zipfile.ZipFile(path) as self._zip:
            schema = json.loads(self._read(_SCHEMA))
            changed = self._without(schema, ())
            if self._changed:
                self.file = self._written(changed | {key: schema[key] for key in _FORMAT if key in schema})

    def restored(self, loaded: Any) -> Any:
        """Return what skops loaded, with estimators where the texts stand."""
        return _Filler(self._found).filled(loaded) if self._found else loaded

    def _read(self, name: str) -> bytes:
        if self._zip.getinfo(name).file_size > _MOST_BYTES:
            raise ValueError(f"{name} is larger than {_MOST_BYTES} bytes")
        return self._zip.read(name)

    def _written(self, schema: Node) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as out:
            for member in self._zip.infolist():
                if member.filename != _SCHEMA:
                    out.writestr(member.filename, self._read(member.filename))
            out.writestr(_SCHEMA, json.dumps(schema))
        return data.getvalue()

    def _without(self, node: Any, trail: tuple[str, ...]) -> Any:
        """Return a node of the schema with texts where boosters are, and searches without what is not needed."""
        if isinstance(node, list):
            return [self._without(inner, trail) for inner in node]
        if not isinstance(node, dict):
            return node
        name, module = node.get("__class__"), str(node.get("__module__"))
        if node.get("__loader__") == "ObjectNode":
            trail = (*trail, str(name))
            if name in LIGHTGBM and module == "lightgbm.sklearn":
                return self._text(self._lightgbm(str(name), node, self._where(trail)))
            if name in XGBOOST and module == "xgboost.sklearn":
                return self._text(self._xgboost(str(name), node, self._where(trail)))
            if name in _SEARCHES and module.startswith("sklearn.model_selection."):
                self._changed = True
                node = node | {"content": _pruned(node["content"])}
        return {key: self._without(inner, trail) for key, inner in node.items()}

    def _where(self, trail: tuple[str, ...]) -> str:
        return f"{self._path}: {' > '.join(trail)}"

    def _text(self, found: Boosted) -> Node:
        self._changed = True
        text = f"{self._token}:{len(self._found)}"
        self._found[text] = found
        return _json(text)

    def _lightgbm(self, name: str, node: Node, where: str) -> Boosted:
        state = _content(node)
        _check_objective(state, where)
        early = [key for key in _content(state.get("_other_params", {})) if key.startswith(_STOPS_EARLY)]
        if early:
            raise Refusal(f"has the parameter {early[0]}", where=where, remedy="fit it without")
        booster = _content(state.get("_Booster", {}))
        if not booster:
            return LIGHTGBM[name]()
        read = lightgbm.parse(_plain(booster["_handle"]), where=where)
        best = _plain(booster.get("best_iteration", _json(0)))
        return LIGHTGBM[name](read.first(best) if best > 0 else read, self._classes(state.get("_classes")))

    def _xgboost(self, name: str, node: Node, where: str) -> Boosted:
        state = _content(node)
        _check_objective(state, where)
        missing = _plain(state.get("missing", _json(float("nan"))))
        if not (isinstance(missing, float) and np.isnan(missing)):
            raise Refusal(
                f"has missing={missing!r}",
                where=where,
                remedy="fit it with missing=numpy.nan, on data that has NaN there",
            )
        booster = _content(state.get("_Booster", {}))
        if not booster:
            return XGBOOST[name]()
        read = xgboost.parse_state(self._read(booster["handle"]["file"]), where=where)
        return XGBOOST[name](read, np.arange(len(read.labels)))

    def _classes(self, node: Node | None) -> Any:
        """Return the labels of LightGBM's classifier: an array, which skops keeps as NumPy's file."""
        if node is None or node.get("type") not in ("numpy", "json"):
            return None
        if node["type"] == "numpy":
            return np.load(io.BytesIO(self._read(node["file"])), allow_pickle=False)
        return np.array([_plain(inner) for inner in node["content"]], object)


def _check_objective(state: Node, where: str) -> None:
    for name in ("objective", "_objective"):
        if state.get(name, _json(None)).get("__loader__") != "JsonNode":
            raise Refusal("has an objective of its own", where=where, remedy="fit it with an objective of the library")


def _content(node: Node) -> Node:
    """Return the attributes of an object's node, or the values of a dict's, by name."""
    inner = node.get("content", {})
    if node.get("__loader__") == "ObjectNode":
        inner = inner.get("content", {})
    return inner if isinstance(inner, dict) else {}


def _plain(node: Node) -> Any:
    if node.get("__loader__") != "JsonNode":
        raise ValueError(f"a {node.get('__class__')} stands where a plain value is expected")
    return json.loads(node["content"])


def _json(value: Any) -> Node:
    return {
        "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(value),
        "is_json": True,
    }  # fmt: skip


def _pruned(node: Node) -> Node:
    """Return the attributes of a search: those that are needed, and None for its other settings."""
    content, types = node["content"], node["key_types"]
    kept = [key for key in content if key in _KEPT or not key.endswith("_")]
    chosen = {key: content[key] if key in _KEPT else _json(None) for key in kept}
    if chosen.get("refit", {}).get("__loader__") not in (None, "JsonNode"):
        chosen["refit"] = _json(value=True)  # a function that chose the best
    of = dict(zip(content, types["content"], strict=True))
    return node | {"content": chosen, "key_types": types | {"content": [of[key] for key in kept]}}


class _Filler:
    """Puts estimators where their texts stand, in whatever holds them."""

    def __init__(self, found: dict[str, Boosted]) -> None:
        self._found = found
        self._seen: set[int] = set()

    def filled(self, value: Any) -> Any:
        """Return the value. Lists, dicts, arrays and objects are changed in place."""
        if isinstance(value, str):
            return self._found.get(value, value)
        if type(value) is tuple:
            return tuple(self.filled(inner) for inner in value)
        if isinstance(value, type) or id(value) in self._seen:
            return value
        if isinstance(value, list):
            self._seen.add(id(value))
            value[:] = [self.filled(inner) for inner in value]
        elif isinstance(value, dict):
            self._seen.add(id(value))
            for key, inner in value.items():
                value[key] = self.filled(inner)
        elif isinstance(value, np.ndarray) and value.dtype == object:
            self._seen.add(id(value))
            for at, inner in enumerate(value.flat):
                if not isinstance(inner, str) or inner in self._found:
                    value.flat[at] = self.filled(inner)
        elif hasattr(value, "__dict__"):
            self._seen.add(id(value))
            for key, inner in vars(value).items():
                vars(value)[key] = self.filled(inner)
        return value
