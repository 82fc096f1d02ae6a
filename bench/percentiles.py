"""Percentiles of latencies over slices of time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Slice = Mapping[str, Any]  # a line of bin/loadgen --series


def read(path: Path) -> list[Slice]:
    """Return the slices of a series file without those of the warm-up."""
    return [s for s in map(json.loads, path.read_text().splitlines()) if s["at"] >= 0]


def percentile(slices: Iterable[Slice], share: float) -> float:
    """Return the latency in ms of this quantile over the answers of all slices; nan if there are none."""
    counts: Counter[float] = Counter()
    for s in slices:
        for ms, answers in s["counts"] or ():
            counts[ms] += int(answers)
    left = share * counts.total()
    for ms in sorted(counts):
        left -= counts[ms]
        if left <= 0:
            return ms
    return float("nan")
