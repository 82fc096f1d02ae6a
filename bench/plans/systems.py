"""What other programs measure: DeepFM beside TensorFlow, and whole auctions."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from bench.auction import ADAPTIVE, PLAN
from bench.plans.fleets import BUILD, Fleet
from bench.plans.keys import Found
from bench.plans.sides import TENSORFLOW_DRIVER, Side
from bench.report import say
from bench.world import MODEL, PYTHON, RECIPE, init_model, made_from
from pytrain.plan.columns import columns
from pytrain.recipe import load_recipe
from scripts.loop.settings import ROOT

PORTED = "ported"  # the DeepFM as a plan
DEEPFM_ROWS = 4_096  # that caches are asked


def deepfm(found: Found) -> None:
    """Measure one DeepFM as a SavedModel and as a plan, both in the caller's thread."""
    store = _deepfm_store()
    with Side([TENSORFLOW_DRIVER, "deepfm", store / MODEL / "1", store / PORTED / "1"], bounded=False) as side:
        found.raw["deepfm"] = answer = side.answer()
    keys = ("deepfm_row_vs_tensorflow", "deepfm_batch_vs_tensorflow", "shared_context_gain")
    if answer["largest_difference"] > 1e-6:
        found.none(f"TensorFlow and the plan differ by {answer['largest_difference']}", *keys)
        return
    found.values |= {key: answer[key] for key in keys}
    say(f"DeepFM, µs a row: one row {answer['row_us']}, a batch {answer['batch_us']}")
    say(f"16 candidates: {answer['alone_us']:.2f} µs each alone, {answer['shared_us']:.2f} with what they share")


def deepfm_fleet() -> Fleet:
    """Return the DeepFM's plan as a fleet of one, with random rows."""
    store = _deepfm_store()
    home = store.parent
    space = load_recipe(RECIPE).space
    low, high = (np.array([getattr(column, end) for column in space.columns]) for end in ("low", "high"))
    rows = np.random.default_rng(1).integers(low, high, size=(DEEPFM_ROWS, len(low))).astype(np.float64)
    plan = msgpack.unpackb((store / PORTED / "1/plan/plan.msgpack").read_bytes())
    (name,) = (given["name"] for given in plan["inputs"])
    (home / "rows").mkdir(exist_ok=True)
    (home / "rows/x.msgpack").write_bytes(msgpack.packb(columns({name: rows}, {name: ("int32", len(low))})))
    document = {
        "store": str(store),
        "models": [{"name": PORTED, "table": "x"}],
        "tables": {"x": str(home / "rows/x.msgpack")},
        "fitted": "",
    }
    (home / "fleet.json").write_text(json.dumps(document))
    return Fleet("deepfm", home, [(PORTED, "x")])


def _deepfm_store() -> Path:
    """Return a store with the DeepFM of the benchmarks as a SavedModel and as a plan; it is made once."""
    store = BUILD / f"deepfm-{made_from(RECIPE)[:12]}" / "store"
    if store.exists():
        return store
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        making = Path(directory) / "home"
        aside = making / "store"
        aside.mkdir(parents=True)
        init_model(aside, RECIPE)
        saved = aside / MODEL / "1"
        command: list[str | Path] = [PYTHON, "-m", "pytrain", "port", saved, "--store", aside, "--model", PORTED]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"cannot port the DeepFM: {done.stderr.strip()}")
        making.rename(store.parent)
    return store


def auction(found: Found) -> None:
    """Run bench-auction, which has a side that scores by plans.

    The more auctions come, the more share a call of TensorFlow, and the larger is the plan's share of its time. So the
    rate belongs to the figure. bench-auction finds it: the highest that TensorFlow holds without batching.
    """
    key = "auction_scoring_share"
    command: list[str] = [sys.executable, "-m", "bench", "auction", "--rounds", "3", "--seconds", "5"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    last = (done.stdout.strip() or "{}").splitlines()[-1]
    document: dict[str, Any] = json.loads(last) if last.startswith("{") else {}
    found.raw["auction"] = document
    target = document.get("targets", {}).get(key)
    if target is None:
        found.none(f"bench-auction gave no such figure (status {done.returncode})", key)
        return
    found.values[key] = target["value"]
    tensorflow, plan = (1 / max(document["calls_an_auction"][side], 1e-9) for side in (ADAPTIVE, PLAN))
    found.notes[key] = (
        f"at {document['rate']:,.0f} auctions a second, {tensorflow:.1f} a call of TensorFlow, {plan:.1f} of the plan"
    )
