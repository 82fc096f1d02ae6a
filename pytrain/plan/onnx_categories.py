"""ONNX's encoders of categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytrain.plan.onnx_graph import ML, Known, Node, operator
from pytrain.plan.values import Value, concat

_MOST_WHOLE = 2**53


def _whole(n: Node, values: Any) -> list[float]:
    if any(abs(v) > _MOST_WHOLE for v in values):
        raise n.refuse("has a whole number beyond 2^53", "use smaller ones")
    return [float(v) for v in values]


def _lookup(n: Node, known: Known, codes: dict[Any, float], unknown: float | None) -> Value:
    if known.width != 1:
        raise n.refuse(f"reads {known.width} columns", "give each column its own")
    if known.type == "text":
        return known.columns.lookup_texts(codes, unknown=unknown)
    return known.columns.lookup_numbers(codes, unknown=unknown)


@operator("LabelEncoder", domain=ML)
def label_encoder(n: Node) -> list[Known]:
    """Look a value up."""
    known = n.any_rows(0)
    kinds = {"text": "strings", "int": "int64s"}
    kind = kinds.get(known.type, "floats")
    keys = n.get(f"keys_{kind}", n.get("classes_strings", ()) if kind == "strings" else ())
    if not keys:
        raise n.refuse(f"has no keys_{kind} for its {known.type} input", "export it for this type")
    unique: dict[Any, float] = {}
    if "values_strings" in n.settings or ("classes_strings" in n.settings and kind != "strings"):
        raise n.refuse("gives texts, which plans do not", "give whole numbers or floats")
    if "values_floats" in n.settings:
        to, values, default = (
            "float32",
            n.floats("values_floats").tolist(),
            float(np.float32(n.get("default_float", -0.0))),
        )
    elif "classes_strings" in n.settings:
        to, values, default = "int", [float(i) for i in range(len(keys))], float(n.get("default_int64", -1))
    elif "values_int64s" in n.settings:
        to, values, default = "int", _whole(n, n.settings["values_int64s"]), float(n.get("default_int64", -1))
    else:
        raise n.refuse("has its keys or values as tensors", "export it with ai.onnx.ml opset 2 or 3")
    read = _whole(n, keys) if kind == "int64s" else [float(np.float32(k)) if kind == "floats" else k for k in keys]
    for key, value in zip(read, values, strict=True):
        if key != key:  # noqa: PLR0124 - NaN
            raise n.refuse("has NaN as a key", "put an Imputer before it")
        unique.setdefault(key, value)
    return [Known(to, _lookup(n, known, unique, default), shape=known.shape)]


@operator("OneHotEncoder", domain=ML)
def one_hot_encoder(n: Node) -> list[Known]:
    """Make a column of each category."""
    known = n.any_rows(0)
    categories: Any = n.get("cats_strings", ()) or _whole(n, n.get("cats_int64s", ()))
    if ("cats_strings" in n.settings) != (known.type == "text") or known.type in ("float32", "float64"):
        raise n.refuse(f"reads {known.type}", "give it text for cats_strings, and whole numbers for cats_int64s")
    parts = []
    for column in [known.columns] if known.type == "text" else known.columns.columns():
        part = Known(known.type, column, shape=(1,))
        unknown = float(len(categories)) if n.get("zeros", 1) else None
        codes = {category: float(i) for i, category in enumerate(categories)}
        parts.append(_lookup(n, part, codes, unknown).expand([len(categories)]).dense())
    return [Known("float32", concat(parts), shape=(*known.shape, len(categories)))]
