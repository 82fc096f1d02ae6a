"""A short run of bench-plans on made data: plans answer as scikit-learn does, and every part measures."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from bench.plans import page
from bench.plans.correct import difference
from bench.plans.keys import KEYS, Found
from scripts.loop.settings import ROOT


def test_short() -> None:
    command: list[str | Path] = [
        ROOT / ".venv/bin/python",
        "-m",
        "bench.plans",
        "--only",
        "correct,tabular,shared,off",
        "--rounds",
        "1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["rows_beyond_tolerance"] == 0
    assert result["models_compared"] == 16
    assert result["rows_compared"] == 16 * 300
    assert result["allocations"] == 0
    assert result["tabular_row_vs_sklearn"] > 20
    assert result["shared_text_gain"] > 1
    assert result["text_row_vs_sklearn"] is None
    assert result["reasons"]["text_row_vs_sklearn"] == "its part was not run"
    assert result["targets"] == {}

    document = json.loads((ROOT / "var/bench/plans.json").read_text())
    off = {name: {v["name"]: v for v in variants} for name, variants in document["raw"]["off"].items()}
    assert off["text"]["all on, again"]["models"] == off["text"]["without 'take apart'"]["models"] == 10
    assert off["text"]["without 'fold linear'"]["models"] == 0
    assert off["tabular"]["a batch made for each call"]["ratio"] > 1.2
    parts = {name: "\n".join(lines) for name, lines in page.parts(document).items()}
    assert "| tabular: one row, µs a row |" in parts["short"]
    assert "| all on, again | 10 of 10 |" in parts["figures"]
    assert "'fold linear'" in parts["figures"]


def test_figures() -> None:
    found = Found({"allocations": 0, "rows_compared": 4})
    found.none("there is none", "isolation_p99")
    figures = found.figures()
    assert list(figures) == [*KEYS, "reasons", "notes"]
    assert figures["rows_compared"] == 4
    assert figures["isolation_p99"] is None
    assert figures["reasons"]["isolation_p99"] == "there is none"
    assert "allocations" not in figures["reasons"]
    assert [(t.name, t.met) for t in found.targets()] == [("allocations", True), ("rows_compared", False)]


def test_difference() -> None:
    want = {"value": np.array([[1.0], [200.0], [np.nan], [0.0], [3.0]]), "class": np.zeros((5, 1))}
    got = {
        "value": np.array([[1.5], [201.0], [np.nan], [np.nan], [3.0]]),
        "class": np.array([[0.0], [0], [0], [0], [2]]),
    }
    np.testing.assert_allclose(difference(got, want), [0.5, 0.005, 0, np.inf, 2])
