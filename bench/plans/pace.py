"""What a run tells of its progress: a line for each part, with the time that is left by what the parts took so far."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.report import say

# What each part takes on two cores with 250 pipelines of each kind and 5 rounds.
EXPECTED_S = {
    "prepare": 200, "correct": 150, "memory": 60, "text": 45, "tabular": 60, "onnx": 60, "trees": 20,
    "shared": 15, "off": 60, "caches": 60, "load": 90, "deepfm": 45, "auction": 75, "isolation": 70, "http": 180,
}  # fmt: skip


class Pace:
    """The parts of a run, in their order."""

    def __init__(self, parts: dict[str, Callable[[], None]]) -> None:
        self._parts = parts
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Run all parts."""
        for i, (name, part) in enumerate(self._parts.items()):
            left = sum(EXPECTED_S[other] for other in list(self._parts)[i:]) * self._scale()
            say(f"part {i + 1} of {len(self._parts)}: {name}; about {max(1, round(left / 60))} min left in all")
            began = time.monotonic()
            part()
            self.seconds[name] = time.monotonic() - began
            say(f"{name} took {self.seconds[name]:.0f} s")

    def _scale(self) -> float:
        """Return what the parts took by what was expected of them; the first part is taken as expected."""
        expected = sum(EXPECTED_S[name] for name in self.seconds)
        return sum(self.seconds.values()) / expected if expected else 1.0
