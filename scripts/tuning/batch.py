"""`tune_batch`: the batcher's settings, for a p99 with the least CPU. search.py tells the search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from bench.report import say
from scripts.tuning import search
from scripts.tuning.config import BATCHER, MODELS, TuneError, duration, milliseconds, read, value
from scripts.tuning.figures import cpu_and_p99
from scripts.tuning.output import settings_of
from scripts.tuning.session import Common

TENTH = 0.1  # of the target, kept for noise; and of the base's CPU, which another setting must save

# The policies, each with the settings that have no effect under it.
IDLE: Mapping[str, Sequence[str]] = {
    "adaptive": (),
    "eager": ("max_wait_ms",),
    "window": (),
    "off": ("max_rows", "max_wait_ms", "runners"),
}


@dataclass(frozen=True)
class Setting:
    """One value for each setting that is swept."""

    policy: str
    max_rows: int
    max_wait_ms: float
    runners: int

    def __str__(self) -> str:
        """Equal for settings that do the same."""
        words = {
            "max_rows": f"{self.max_rows} rows",
            "max_wait_ms": duration(self.max_wait_ms),
            "runners": f"{self.runners} runner" + "s" * (self.runners > 1),
        }
        return " ".join([self.policy, *(word for name, word in words.items() if name not in IDLE[self.policy])])

    def candidate(self, more: Mapping[str, Any] | None = None) -> search.Candidate:
        """The setting as changes of the configuration; `more` are those that it leaves alone."""
        wait = duration(self.max_wait_ms)
        values = {"policy": self.policy, "runners": self.runners, "max_rows": self.max_rows, "max_wait": wait}
        changes = {f"{BATCHER}.{key}": found for key, found in {**(more or {}), **values}.items()}
        return search.Candidate(str(self), changes, self.policy)

    @staticmethod
    def of(document: Mapping[str, Any]) -> Setting:
        """The setting of a configuration; keys that it leaves out are as shipped."""
        keys = ("policy", "max_rows", "max_wait", "runners")
        policy, rows, wait, runners = (value(document, f"{BATCHER}.{key}") for key in keys)
        policy = "off" if policy is False else policy  # YAML 1.1 reads a bare off as false
        if policy not in IDLE:
            raise TuneError(f"{BATCHER}.policy {policy!r} is none of {', '.join(IDLE)}")
        return Setting(policy, int(rows), milliseconds(str(wait)), int(runners))


@dataclass(frozen=True)
class Grid:
    """The values to combine."""

    policies: Sequence[str]
    max_rows: Sequence[int]
    max_waits_ms: Sequence[float]
    runners: Sequence[int]

    def settings(self, base: Setting, *, queue_rows: int) -> list[Setting]:
        """Every combination once, the base's values included; no batch is larger than the queue.

        The base is first. The others follow by how many values they change of it, then by how much.
        """
        rows = sorted({*(n for n in self.max_rows if n <= queue_rows), base.max_rows})
        waits, runners = sorted({*self.max_waits_ms, base.max_wait_ms}), sorted({*self.runners, base.runners})
        found = {str(base): base}
        for combined in product(self.policies, rows, waits, runners):
            setting = Setting(*combined)
            setting = replace(setting, **{name: getattr(base, name) for name in IDLE[setting.policy]})
            found.setdefault(str(setting), setting)
        return sorted(found.values(), key=lambda setting: distance(setting, base))


def distance(setting: Setting, base: Setting) -> tuple[int, float]:
    """How many values differ, and by how many doublings in all."""
    pairs = [(getattr(setting, f.name), getattr(base, f.name)) for f in fields(Setting)]
    numbers = [(one, other) for one, other in pairs if not isinstance(one, str)]
    doublings = sum(abs(math.log2(max(one, 1e-3) / max(other, 1e-3))) for one, other in numbers)
    return sum(one != other for one, other in pairs), round(doublings, 6)


def question(slo_p99_ms: float) -> search.Question:
    return search.Question(
        tool="batch",
        target=slo_p99_ms,
        limit=slo_p99_ms * (1 - TENTH),
        bounded="p99 of the answers, ms",
        cost="CPU of the bidder, µs an auction",
        sample=cpu_and_p99,
        excess=lambda one, base: one / max(base, 1e-9) - 1,
        close=TENTH,
        bodies=lambda trial: trial.bodies,
        about={"slo_p99_ms": slo_p99_ms},
    )


def run(slo_p99_ms: float, grid: Grid, common: Common) -> int:
    """Find the settings; the exit status."""
    document = read(common.config, "--config") if common.config else {}
    if own := [name for name, settings in value(document, MODELS).items() if settings]:
        say(f"beware: what {MODELS} says of {', '.join(own)} takes precedence over what is swept here")
    settings = grid.settings(Setting.of(document), queue_rows=int(value(document, f"{BATCHER}.queue_rows")))
    return search.run(question(slo_p99_ms), [setting.candidate() for setting in settings], common)


def run_verify(file: Path, slo_p99_ms: float | None, common: Common) -> int:
    """Measure everything that a file says of the batcher; the exit status."""
    document, about = settings_of(file)
    slo = slo_p99_ms or about.get("slo_p99_ms")
    if not slo:
        raise TuneError(f"{file} does not say what target it was tuned for; name one with --slo-p99-ms")
    candidate = Setting.of(document).candidate(document.get(BATCHER))
    return search.run_verify(question(slo), candidate, about.get("rates", []), common)
