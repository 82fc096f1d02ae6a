"""Trees alone: 100 trees of 31 leaves over 28 features, in the engine, LightGBM and onnxruntime."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from bench.peers.environments import Unavailable, ensure
from bench.plans import fleets, sides
from bench.plans.fleets import BUILD, Fleet
from bench.plans.keys import Found
from bench.plans.rows import asking, ratio, turns
from bench.report import median, number, say, table
from pytrain.plan import lightgbm as files
from scripts.loop.settings import ROOT

FEATURES, LEAVES, TREES = 28, 31, 100
SIZES = {1: 3_000, 100: 200, 1_000: 20}  # rows a call, and calls a round


def run(found: Found, *, rounds: int) -> None:
    """Measure rows alone and in batches of 100 and 1,000."""
    with tempfile.TemporaryDirectory(dir=BUILD) as directory, ExitStack() as stack:
        fleet = _fleet(Path(directory))
        running = {
            "Gavel": stack.enter_context(sides.gavel("rows", fleet.file)),
            "LightGBM": stack.enter_context(sides.peer("lgbm", "rows", fleet.file)),
        }
        try:
            python = ensure("trees")
            _convert(python, fleet)
            file = fleet.variant("onnx", onnx=str(fleet.directory / "fitted"))
            running["onnxruntime"] = stack.enter_context(sides.peer("onnx", "rows", file, python=python))
        except Unavailable as e:
            found.none(str(e), "trees_vs_onnxruntime")
        measured: dict[int, Any] = {
            rows: turns({n: asking(s, calls, rows) for n, s in running.items()}, rounds)
            for rows, calls in SIZES.items()
        }
    found.raw["trees"] = measured
    for name, key in (("LightGBM", "trees_vs_lightgbm"), ("onnxruntime", "trees_vs_onnxruntime")):
        if measured[100].get(name):
            found.values[key] = ratio(measured[100], name)
    shown = []
    for rows, by_side in measured.items():
        peers = [name for name in by_side if name != "Gavel" and by_side[name]]
        figures = [
            f"{name} {number(median([r['row_us'] for r in by_side[name]]))} ({number(ratio(by_side, name))} ×)"
            for name in peers
        ]
        shown.append([str(rows), number(median([r["row_us"] for r in by_side["Gavel"]])), ", ".join(figures)])
    table(f"{TREES} trees: µs a row", ["rows", "Gavel", "peers (their time by Gavel's)"], shown)


def _fleet(home: Path) -> Fleet:
    """Train the model, and make it a fleet of one."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20_000, FEATURES))
    y = (x[:, 0] * x[:, 1] + x[:, 2] > 0.3 * rng.normal(size=len(x))).astype(int)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": LEAVES, "seed": 0}
    fitted = lightgbm.train(parameters, lightgbm.Dataset(x, y), TREES)
    (home / "fitted").mkdir()
    fitted.save_model(home / "fitted/trees.txt")
    fleets.port("trees", files.read(home / "fitted/trees.txt"), home / "store")
    fleets.finish(home, [{"name": "trees", "table": "x"}], {"x": x[:5_000]})
    return Fleet("trees", home, [("trees", "x")])


def _convert(python: Path, fleet: Fleet) -> None:
    command: list[str | Path] = [
        python,
        "-m",
        "bench.plans.peers.trees_to_onnx",
        fleet.directory / "fitted/trees.txt",
        fleet.directory / "fitted/trees.onnx",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        say(f"onnxmltools ended: {last}")
        raise Unavailable(f"onnxmltools ended: {last}")
