"""Trees in Gavel's plan engine against LightGBM and onnxruntime: `python -m bench.trees`.

One process, one thread, one model. Gavel's figure is the stage in C, called once for each 64 rows at most, as by the
engine. The peers' figures have their Python call in them; its cost is that of a model of one tree with two leaves.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = (1, 100, 1000)
FEATURES, LEAVES = 28, 31
ROOT = Path(__file__).parents[1]


def main() -> int:
    """Make the environment of the peers, and run there."""
    from bench.peers.environments import ensure

    return subprocess.run([ensure("trees"), Path(__file__), *sys.argv[1:]], cwd=ROOT, check=False).returncode


def measure() -> None:
    """Print a table: µs a row, the least of several rounds that take turns."""
    import lightgbm
    import numpy as np

    x = np.random.default_rng(1).normal(size=(20000, FEATURES))
    y = (x[:, 0] * x[:, 1] + x[:, 2] > 0.3 * np.random.default_rng(2).normal(size=20000)).astype(int)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "num_leaves": LEAVES}
    print("| trees | rows | LightGBM | onnxruntime | walk | QuickScorer | by rows | LightGBM ÷ | onnxruntime ÷ |")
    print("|---|---|---|---|---|---|---|---|---|")
    for trees in (1, 100, 500):
        fitted = lightgbm.train(parameters | ({"num_leaves": 2} if trees == 1 else {}), lightgbm.Dataset(x, y), trees)
        for rows in ROWS:
            sides = _sides(fitted, x[:rows])
            best = dict.fromkeys(sides, float("inf"))
            for _ in range(9):
                for name, side in sides.items():
                    best[name] = min(best[name], side() / rows)
            ours = best["by rows"]
            figures = [*best.values(), best["LightGBM"] / ours, best["onnxruntime"] / ours]
            print("|", " | ".join([str(trees), str(rows), *(f"{f:.3g}" for f in figures)]), "|")


def _sides(fitted: Any, x: Any) -> dict[str, Callable[[], float]]:
    """Return for each side what takes it through the rows x, and returns the µs."""
    import numpy as np
    import onnxruntime
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    from pytrain.plan.lightgbm import parse
    from pytrain.plan.trees import tensors
    from tests.pytrain.plan.native import Trees

    graph = convert_lightgbm(fitted, initial_types=[("x", FloatTensorType([None, FEATURES]))], zipmap=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    narrow = x.astype(np.float32)
    arrays = {n: t.array for n, t in tensors(parse(fitted.model_to_string(), where="model").trees, [0.0]).items()}
    node = Trees("trees", {"compare": "le"}, arrays, FEATURES)
    times = max(1, 2000 // len(x))

    def timed(call: Callable[[], Any]) -> float:
        begin = time.perf_counter()
        for _ in range(max(1, times // 20)):
            call()
        return (time.perf_counter() - begin) / max(1, times // 20) * 1e6

    def native(form: str) -> float:
        node.run(x, form=form, times=times)
        return node.ns / 1e3

    if not np.array_equal(node.run(x)[0][:, 0], fitted.predict(x, raw_score=True)):
        raise SystemExit("Gavel's sums differ from LightGBM's")
    return {
        "LightGBM": lambda: timed(lambda: fitted.predict(x)),
        "onnxruntime": lambda: timed(lambda: session.run(None, {"x": narrow})),
        "walk": lambda: native("walk"),
        "QuickScorer": lambda: native("quick"),
        "by rows": lambda: native("by rows"),
    }


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    try:
        import onnxmltools  # noqa: F401 - only the peers' environment has it
    except ImportError:
        sys.exit(main())
    measure()
