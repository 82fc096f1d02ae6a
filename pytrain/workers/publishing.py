"""Publishing a fitted classifier that Python workers run: `publish_estimator`.

The version's format is `workers`: `workers/estimator.json` and the estimator beside it (docs/workers.md).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import skops.io

from pytrain import loop
from pytrain import manifest as mf
from pytrain.errors import ConfigError, InputError
from pytrain.plan.columns import columns, pack
from pytrain.recipe import NAME, OBJECTS

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pytrain.loop import Learnt
    from pytrain.plan.asking import Column

FORMAT = "workers"  # also the folder of its files in a version
FEWEST_ROWS = 16
_GOLDEN = {"text": "text", "float64": "float64", "int64": "int32"}  # types of columns in the bidder


def publish_estimator(
    estimator: Any, rows: pd.DataFrame, *, store: Path, model: str, label: str = "value", pickle: bool = False
) -> Path:
    """Publish a fitted classifier as the next version of a model, and return its directory.

    Parameters
    ----------
    estimator
        Anything with `predict_proba` and `classes_` that takes the columns of `rows`, as a pipeline does.
    rows
        At least 16 rows as those of traffic, none with a missing text: texts, floats or integers. The bidder refuses
        the version if its own probabilities for them differ by more than 1e-6.
    store
        The directory of the model store.
    label
        What is predicted; it is shown, not used.
    pickle
        Write joblib, which a bidder reads with `workers.trusted` only; otherwise skops.

    Raises
    ------
    ConfigError
        The model's name is no name.
    InputError
        There are too few rows, or a column is of another type.
    """
    from pytrain.cli_fit import publish  # noqa: PLC0415 - it imports the command line

    if not re.fullmatch(NAME, model) or model == OBJECTS:
        raise ConfigError(f"{model!r} is no name", where="model", remedy=f"match {NAME}, but not {OBJECTS}, as churn")
    if len(rows) < FEWEST_ROWS:
        raise InputError(f"are {len(rows)}", where="rows", remedy=f"give at least {FEWEST_ROWS}")
    types = {str(name): _type(rows[name], str(name)) for name in rows.columns}
    p = np.asarray(estimator.predict_proba(rows), np.float64)
    learnt = loop.Learnt(rows=0, pos=None, from_ms=0, to_ms=0, metrics={})
    return publish(store, model, _Writer(estimator, rows, types, p, model, label, pickle), learnt)


def _type(column: pd.Series[Any], name: str) -> str:
    kind = column.dtype.kind
    if kind == "f":
        return "float64"
    if kind in "iu":
        if not (column.abs() < 2**31).all():
            raise InputError("has an integer that 32 bits do not hold", where=name, remedy="cast the column to float")
        return "int64"
    if all(isinstance(v, str) for v in column):
        return "text"
    raise InputError(
        f"is of {column.dtype}, and not all texts", where=name, remedy="give texts, none missing, floats or integers"
    )


@dataclass(frozen=True)
class _Writer:
    estimator: Any
    rows: pd.DataFrame
    types: dict[str, str]
    probabilities: np.ndarray[Any, np.dtype[np.float64]]  # (n, classes)
    model: str
    label: str
    pickle: bool

    def write(self, directory: Path, version: int, learnt: Learnt) -> None:
        folder = directory / FORMAT
        folder.mkdir()
        path = folder / ("model.joblib" if self.pickle else "model.skops")
        (joblib.dump if self.pickle else skops.io.dump)(self.estimator, path)
        description = {
            "format": 1,
            "estimator": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "columns": [{"name": name, "type": kind} for name, kind in self.types.items()],
        }
        (folder / "estimator.json").write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
        inputs: dict[str, Column] = {
            name: list(self.rows[name]) if kind == "text" else self.rows[name].to_numpy(np.float64).reshape(-1, 1)
            for name, kind in self.types.items()
        }
        (directory / mf.GOLDEN).parent.mkdir()
        (directory / mf.GOLDEN).write_bytes(
            pack(
                inputs=columns(inputs, {name: (_GOLDEN[kind], 1) for name, kind in self.types.items()}),
                outputs=columns(
                    {"probability": self.probabilities}, {"probability": ("float64", self.probabilities.shape[1])}
                ),
                tolerance=mf.TOLERANCE,
            )
        )
        document = mf.Manifest(
            model=self.model,
            version=version,
            label=self.label,
            created=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            formats=(FORMAT,),
            files=mf.hash_files(directory),
            training=mf.TrainedOn(rows=learnt.rows, from_ms=learnt.from_ms, to_ms=learnt.to_ms),
            metrics=learnt.metrics,
        )
        (directory / mf.MANIFEST).write_bytes(document.dump())
