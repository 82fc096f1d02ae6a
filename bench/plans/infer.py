"""Requests of the Open Inference Protocol for rows of a fleet's tables, and a check of a server's answers."""

from __future__ import annotations

import http.client
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.plans.fleets import Fleet

TIMEOUT_S = 60.0
DIFFERENT_BODIES = {1: 200, 100: 40}  # by rows
SEED = 11


class WrongAnswer(Exception):
    """A server refused a request, or answered otherwise than scikit-learn."""


def read_rows(fleet: Fleet, name: str) -> Any:
    """Return a table as scikit-learn reads it: texts (n,), or a DataFrame."""
    return pickle.loads((fleet.directory / "rows" / f"{name}.pickle").read_bytes())  # noqa: S301 - our own, see fleets


def complete_rows(fleet: Fleet, name: str) -> Any:
    """Return the rows of a table without a missing value: MLServer's protocol has none."""
    rows = read_rows(fleet, name)
    whole = ~pd.isna(rows)
    return rows[whole.all(axis=1)] if isinstance(rows, pd.DataFrame) else rows[whole]


def bodies(rows: Any) -> dict[str, list[str]]:
    """Return requests for random rows, by how many rows they ask."""
    rng = np.random.default_rng(SEED)
    found: dict[str, list[str]] = {}
    for size, count in DIFFERENT_BODIES.items():
        chosen = rng.integers(len(rows), size=(count, size))
        found[str(size)] = [body(take(rows, of)) for of in chosen]
    return found


def take(rows: Any, chosen: Any) -> Any:
    return rows.iloc[chosen] if isinstance(rows, pd.DataFrame) else rows[chosen]


def body(rows: Any) -> str:
    """Write a request. Gavel knows the columns' types; MLServer is told how to decode them."""
    if not isinstance(rows, pd.DataFrame):
        return json.dumps({"parameters": {"content_type": "str"}, "inputs": [_input("text", "BYTES", list(rows))]})
    inputs = [
        _input(str(name), "FP64" if pd.api.types.is_numeric_dtype(column) else "BYTES", column.tolist())
        for name, column in rows.items()
    ]
    return json.dumps({"parameters": {"content_type": "pd"}, "inputs": inputs})


def _input(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    kind = {"parameters": {"content_type": "str"}} if datatype == "BYTES" else {}
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data, **kind}


def check(address: str, fleet: Fleet, models: list[tuple[str, str]], tables: dict[str, Any]) -> float:
    """Ask each model some rows, and return the largest difference from scikit-learn's answers.

    Raises
    ------
    WrongAnswer
        It is above 1e-6 (relative beyond 1), or a request was refused.
    """
    worst = 0.0
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        for name, table in models:
            rows = take(tables[table], np.arange(20))
            connection.request(
                "POST", f"/v2/models/{name}/infer", body(rows).encode(), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answer = response.read()
            if response.status != http.client.OK:
                raise WrongAnswer(f"{name}: {response.status} {answer[:200].decode(errors='replace')}")
            want = expected(fleet, name, rows)
            got = np.asarray(json.loads(answer)["outputs"][0]["data"], np.float64).reshape(want.shape)
            off = float((np.abs(got - want) / np.maximum(1, np.abs(want))).max())
            if not off <= 1e-6:
                raise WrongAnswer(f"{name}: its answers differ from scikit-learn's by {off:.3g}")
            worst = max(worst, off)
    finally:
        connection.close()
    return worst


def expected(fleet: Fleet, name: str, rows: Any) -> Any:
    """Return scikit-learn's probabilities, or values (n, width)."""
    fitted = pickle.loads((Path(fleet.directory) / "fitted" / f"{name}.pickle").read_bytes())  # noqa: S301 - ours
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = getattr(fitted, "predict_proba", fitted.predict)(rows)
    return np.asarray(answers, np.float64).reshape(len(rows), -1)
