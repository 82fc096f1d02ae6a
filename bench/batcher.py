"""The batcher's own cost a row and its allocations: medians of repeated `go test -bench` runs."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict

from bench.report import Target, finish, median, say, table
from scripts.loop.settings import ROOT

LINE = re.compile(r"^BenchmarkBatcher/(\S+?)-\d+\s+\d+\s+(.*)$", re.MULTILINE)
CASE = "policy=adaptive/max_rows=128/callers=64/rows=1"  # the bidder's defaults


def run(*, count: int, benchtime: str) -> int:
    """Measure and report; return 0 if the targets are met."""
    say(f"go test -bench Batcher, {count} times {benchtime} each")
    out = subprocess.run(
        [
            *(os.environ.get("GO", "go"), "test", "-run", "^$", "-bench", "^BenchmarkBatcher$"),
            *("-count", str(count), "-benchtime", benchtime, "./internal/batcher"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    figures = parse(out)
    units = ["ns/op", "cpu-ns/row", "allocs/op", "B/op", "rows/batch"]
    rows = [[case, *(f"{median(values[unit]):.4g}" for unit in units)] for case, values in figures.items()]
    table("The batcher alone: an op is a row, the engine does nothing", ["case", *units], rows)
    targets = [
        Target("allocations", max(median(v["allocs/op"]) for v in figures.values()), 0, least=False),
        Target("us_a_row_at_64_callers", median(figures[CASE]["ns/op"]) / 1e3, 1, least=False),
        Target("cpu_us_a_row_at_64_callers", median(figures[CASE]["cpu-ns/row"]) / 1e3, 1, least=False),
    ]
    return finish(
        "batcher", {"case": CASE, "cases": len(figures)}, targets, raw={case: dict(v) for case, v in figures.items()}
    )


def parse(output: str) -> dict[str, dict[str, list[float]]]:
    """Return case → unit → the values of all repetitions, from the output of `go test -bench`."""
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case, rest in LINE.findall(output):
        for value, unit in re.findall(r"(\S+) (\S+)", rest):
            figures[case][unit].append(float(value))
    if not figures:
        raise RuntimeError(f"go test printed no benchmark:\n{output}")
    return figures
