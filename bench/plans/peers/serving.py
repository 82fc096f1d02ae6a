"""What all peers share: fleets, random calls, memory, lines of JSON. It imports only what every environment has.

Calls are those of the driver: each a random model with random rows. Rows are picked before the clock starts, so that a
peer's time is its library's alone.
"""

from __future__ import annotations

import gc
import json
import pickle
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 100  # rows a call where all rows are scored

Scorer = Callable[[Any], Any]  # rows, as `pick` returns them, to outputs


class Loaded:
    """A model, its scorer, and the rows that it is asked."""

    def __init__(self, name: str, table: str, scorer: Scorer, rows: Any) -> None:
        self.name, self.table, self.score, self.rows = name, table, scorer, rows

    def pick(self, draw: random.Random, n: int) -> Any:
        chosen = [draw.randrange(len(self.rows)) for _ in range(n)]
        return self.rows.iloc[chosen] if hasattr(self.rows, "iloc") else self.rows[chosen]


def pickled(file: Path) -> Any:
    """Read a table as scikit-learn and LightGBM take it."""
    return pickle.loads(file.with_suffix(".pickle").read_bytes())  # noqa: S301 - ours


def main(load: Callable[[dict[str, Any], dict[str, str]], Scorer], read: Callable[[Path], Any] = pickled) -> None:
    """Run the subcommand that the command line names: load, rows or score.

    Parameters
    ----------
    load
        Loads a model of a fleet.
    read
        Reads a table as scorers take it.
    """
    subcommand, file = sys.argv[1:]
    fleet = json.loads(Path(file).read_text())
    tables = {table: read(Path(rows)) for table, rows in fleet["tables"].items()}
    before, began = memory(), time.perf_counter()
    models = [Loaded(m["name"], m["table"], load(fleet, m), tables[m["table"]]) for m in fleet["models"]]
    seconds = time.perf_counter() - began
    if subcommand == "load":
        _answer(_loaded(models, before, seconds))
        for _ in sys.stdin:
            _answer(memory())
        return
    by_name = {m.name: m for m in models}
    for line in sys.stdin:
        request = json.loads(line)
        if subcommand == "score":
            _answer(_scored(by_name[request["model"]], request["rows"], request["out"]))
        else:
            _answer(_timed(models, request["calls"], request["batch"], request["seed"]))


def _scored(model: Loaded, rows: list[int], out: str) -> dict[str, Any]:
    """Write the outputs (n, width) of rows, a batch at a time."""
    parts = [model.score(model.rows[rows[i : i + BATCH]]) for i in range(0, len(rows), BATCH)]
    np.save(out, np.concatenate(parts).reshape(len(rows), -1))
    return {"rows": len(rows)}


def _answer(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def _loaded(models: list[Loaded], before: dict[str, int], seconds: float) -> dict[str, Any]:
    loaded = memory()
    draw = random.Random(1)  # noqa: S311
    draw.shuffle(models)
    cold = _times((m, m.pick(draw, 1)) for m in models)
    called = memory()
    some = models[:25]  # a hundred calls of all would take minutes
    hot = _times((m, m.pick(draw, 1)) for m in some for _ in range(20))
    return {
        "models": len(models), "seconds": seconds, "before": before, "loaded": loaded, "called": called,
        "cold": _percentiles(cold), "hot": _percentiles(hot),
    }  # fmt: skip


def _timed(models: list[Loaded], calls: int, batch: int, seed: int) -> dict[str, float]:
    draw = random.Random(seed)  # noqa: S311
    chosen = [draw.choice(models) for _ in range(calls)]
    took = _times((m, m.pick(draw, batch)) for m in chosen)
    return {"row_us": sum(took) / calls / batch, **_percentiles(took)}


def _times(calls: Iterable[tuple[Loaded, Any]]) -> list[float]:
    """Return the µs of each call."""
    took = []
    for model, rows in calls:
        began = time.perf_counter()
        model.score(rows)
        took.append((time.perf_counter() - began) * 1e6)
    return took


def _percentiles(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    at = {share: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)}
    return {"p50_us": at[0.5], "p99_us": at[0.99], "worst_us": ordered[-1]}


def memory() -> dict[str, int]:
    """Return the process's memory in kB, as the driver does: after a collection, from smaps_rollup."""
    gc.collect()
    found = {"pss_kb": 0, "private_kb": 0, "rss_kb": 0}
    names = {"Pss:": "pss_kb", "Rss:": "rss_kb", "Private_Clean:": "private_kb", "Private_Dirty:": "private_kb"}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        key, value, *_ = line.split()
        if key in names:
            found[names[key]] += int(value)
    return found
