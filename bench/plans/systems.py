"""What other programs measure: DeepFM beside TensorFlow, and whole auctions."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.plans.fleets import BUILD
from bench.plans.keys import Found
from bench.plans.sides import TENSORFLOW_DRIVER, Side
from bench.report import say
from bench.world import MODEL, PYTHON, RECIPE, init_model
from scripts.loop.settings import ROOT


def deepfm(found: Found) -> None:
    """Measure one DeepFM as a SavedModel and as a plan, both in the caller's thread."""
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        store = Path(directory)
        init_model(store, RECIPE)
        saved = store / MODEL / "1"
        command: list[str | Path] = [PYTHON, "-m", "pytrain", "port", saved, "--store", store, "--model", "ported"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"cannot port the DeepFM: {done.stderr.strip()}")
        with Side([TENSORFLOW_DRIVER, "deepfm", saved, store / "ported/1"], bounded=False) as side:
            found.raw["deepfm"] = answer = side.answer()
    keys = ("deepfm_row_vs_tensorflow", "deepfm_batch_vs_tensorflow", "shared_context_gain")
    if answer["largest_difference"] > 1e-6:
        found.none(f"TensorFlow and the plan differ by {answer['largest_difference']}", *keys)
        return
    found.values |= {key: answer[key] for key in keys}
    say(f"DeepFM, µs a row: one row {answer['row_us']}, a batch {answer['batch_us']}")
    say(f"16 candidates: {answer['alone_us']:.2f} µs each alone, {answer['shared_us']:.2f} with what they share")


def auction(found: Found) -> None:
    """Run bench-auction, which has a side that scores by plans."""
    _from_benchmark(found, "auction", "auction_scoring_share")


def _from_benchmark(found: Found, name: str, key: str) -> None:
    """Run a benchmark of `python -m bench`, and take a figure that is named among its targets."""
    command: list[str] = [sys.executable, "-m", "bench", name, "--rounds", "3", "--seconds", "5"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    last = (done.stdout.strip() or "{}").splitlines()[-1]
    document: dict[str, Any] = json.loads(last) if last.startswith("{") else {}
    found.raw[name] = document
    target = document.get("targets", {}).get(key)
    if target is None:
        found.none(f"bench-{name} gave no such figure (status {done.returncode})", key)
    else:
        found.values[key] = target["value"]
