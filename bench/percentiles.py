"""Percentiles of latencies that were counted in slices of time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Slice = Mapping[str, Any]  # a line of bin/loadgen --series


def read(path: Path) -> list[Slice]:
    """The slices of a series file, those of the warm-up left out."""
    return [s for s in map(json.loads, path.read_text().splitlines()) if s["at"] >= 0]


def percentile(slices: Iterable[Slice], share: float) -> float:
    """The latency in ms within which a share of the answers of all slices came; nan if there was none."""
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
