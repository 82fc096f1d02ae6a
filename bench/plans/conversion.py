"""What becomes of the pipelines as ONNX: how many skl2onnx converts, and how often their answers are others.

Rows with a missing text are left out, since ONNX has no missing text.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.plans import infer, sides
from bench.plans.converting import Converted, converted
from bench.plans.fleets import BUILD, Fleet
from bench.plans.keys import Found
from bench.plans.sides import SideError
from bench.report import number, say, table

TOLERANCE, FAR = 1e-6, 1e-3  # what rounding to float32 explains, and what it does not
ROWS = 1_000  # the first ones of a table


def run(made: dict[str, Fleet], found: Found) -> None:
    """Convert some of each fleet, and compare what they answer with scikit-learn."""
    shown, raw = [], {}
    for fleet in made.values():
        as_onnx = converted(fleet)
        if as_onnx is None:
            continue
        told: dict[str, Any] = {
            "of": as_onnx.of,
            "refused": as_onnx.refused,
            "converted": len(as_onnx.models),
            "helped": as_onnx.helped,
        }
        raw[fleet.name] = told | (_compare(fleet, as_onnx) if as_onnx.models else {})
        for reason, count in as_onnx.refused.items():
            say(f"{fleet.name}: skl2onnx refuses {count}: {reason}")
        for reason, count in as_onnx.helped.items():
            say(f"{fleet.name}: {count} were converted without their imputers of texts; with them: {reason}")
        f = raw[fleet.name]
        counts = [f"{f.get(key, 0):,}" for key in ("models_beyond", "rows", "rows_beyond", "rows_far")]
        shown.append([fleet.name, f"{f['converted']} of {f['of']}", *counts, number(f.get("worst", 0))])
    found.raw["onnx"] = raw
    columns = [
        "",
        "converted",
        "models with others",
        "answers",
        f"beyond {TOLERANCE:g}",
        f"beyond {FAR:g}",
        "largest difference",
    ]
    table("pipelines as ONNX, against scikit-learn", columns, shown)


def _compare(fleet: Fleet, as_onnx: Converted) -> dict[str, Any]:
    """Score rows of the models on both sides, and count the answers that differ. A model that fails is counted too."""
    counts: dict[str, Any] = {
        "rows": 0,
        "rows_beyond": 0,
        "rows_far": 0,
        "models_beyond": 0,
        "misshapen": 0,
        "worst": 0.0,
    }
    chosen = {name: _chosen(fleet, name) for name in sorted({name for _, name in as_onnx.models})}
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        out = Path(directory) / "scores.npy"
        side = sides.peer("onnx", "score", as_onnx.file, python=as_onnx.python)
        try:
            for name, of in as_onnx.models:
                rows, at = chosen[of]
                side.ask(model=name, rows=at.tolist(), out=str(out))
                want = infer.expected(fleet, name, rows)
                got = np.load(out)
                if got.size != want.size:
                    counts["misshapen"] += 1
                    continue
                off = np.abs(got.reshape(want.shape) - want) / np.maximum(1, np.abs(want))
                off = np.nan_to_num(off, nan=np.inf).max(axis=1)
                beyond = int((off > TOLERANCE).sum())
                counts["rows"] += len(off)
                counts["rows_beyond"] += beyond
                counts["rows_far"] += int((off > FAR).sum())
                counts["models_beyond"] += beyond > 0
                counts["worst"] = max(counts["worst"], float(off.max()))
        except SideError as e:
            counts["failed"] = str(e)
            say(f"{fleet.name}: onnxruntime: {e}")
        finally:
            side.close()
    return counts


def _chosen(fleet: Fleet, name: str) -> tuple[Any, Any]:
    """Return the first rows of a table without a missing text, and their places."""
    rows = infer.read_rows(fleet, name)
    texts = rows.select_dtypes(object) if isinstance(rows, pd.DataFrame) else pd.DataFrame({"text": rows})
    at = np.flatnonzero(~texts.isna().any(axis=1).to_numpy())[:ROWS]
    return infer.take(rows, at), at
