"""The batcher's settings, and the grid of them that is swept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from scripts.loop.settings import load
from scripts.tuning.errors import TuneError

POLICIES = ("adaptive", "eager", "window", "off")

# What changing a knob counts: the grid is ordered by the sum, so that a short plan tries first what matters most. Two
# changes always come after one.
WEIGHTS: Mapping[str, float] = {
    "policy": 1.0,
    "runners": 1.1,
    "max_wait_us": 1.2,
    "max_rows": 1.3,
}
# Knobs without effect under a policy.
IDLE: Mapping[str, Sequence[str]] = {
    "adaptive": (),
    "eager": ("max_wait_us",),
    "window": (),
    "off": ("max_rows", "max_wait_us", "runners"),
}


@dataclass(frozen=True)
class Setting:
    """One value for each knob of the `batcher` section that is swept."""

    policy: str
    max_rows: int
    max_wait_us: int
    runners: int

    @property
    def knobs(self) -> list[str]:
        """Those that have an effect."""
        return [name for name in WEIGHTS if name not in IDLE[self.policy]]

    @property
    def key(self) -> str:
        """A name for files and records; equal for settings that do the same."""
        parts = {"max_rows": "r", "max_wait_us": "w", "runners": "x"}
        return "-".join([self.policy, *(f"{parts[k]}{getattr(self, k):g}" for k in parts if k in self.knobs)])

    def __str__(self) -> str:
        words = {
            "max_rows": f"{self.max_rows} rows",
            "max_wait_us": duration(self.max_wait_us),
            "runners": f"{self.runners} runner" + "s" * (self.runners > 1),
        }
        return ", ".join([self.policy, *(text for name, text in words.items() if name in self.knobs)])

    def values(self) -> dict[str, Any]:
        """The keys of the bidder's `batcher` section."""
        return {
            "policy": self.policy,
            "runners": self.runners,
            "max_rows": self.max_rows,
            "max_wait": duration(self.max_wait_us),
        }

    def dotted(self) -> dict[str, Any]:
        """The same, by dotted keys of the whole configuration."""
        return {f"batcher.{key}": value for key, value in self.values().items()}

    def changes(self, other: Setting) -> list[str]:
        """The knobs in which it differs from another setting, those without effect left out."""
        return [name for name in self.knobs if getattr(self, name) != getattr(other, name)]

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(section: Mapping[str, Any]) -> Setting:
        """The setting of a `batcher` section; keys that are left out have the bidder's defaults, as shipped."""
        whole = {**load("bidder.yaml")["batcher"], **section}
        policy = "off" if whole["policy"] is False else str(whole["policy"])  # YAML 1.1 reads a bare off as false
        if policy not in POLICIES:
            raise TuneError(f"batcher.policy {policy!r} is none of {', '.join(POLICIES)}")
        return Setting(
            policy=policy,
            max_rows=int(whole["max_rows"]),
            max_wait_us=microseconds(str(whole["max_wait"])),
            runners=int(whole["runners"]),
        )


UNITS = {"ns": 1e-3, "us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}


def microseconds(text: str) -> int:
    """A duration as the bidder's configuration has it, such as 2ms or 1m30s."""
    parts = re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise TuneError(f"{text!r} is not a duration; write 2ms or 500us, say")
    try:
        return round(sum(float(n) * UNITS[u] for n, u in parts))
    except ValueError:
        raise TuneError(f"{text!r} is not a duration; write 2ms or 500us, say") from None


def duration(us: float) -> str:
    """A duration as the bidder's configuration has it."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size and us * 1000 % size == 0:
            return f"{us / size:.6g}{unit}"
    return f"{us:.6g}us"


@dataclass(frozen=True)
class Grid:
    """The values to combine."""

    policies: Sequence[str]
    max_rows: Sequence[int]
    max_waits_us: Sequence[int]
    runners: Sequence[int]

    def settings(self, base: Setting, *, queue_rows: int) -> list[Setting]:
        """Every combination once, those with the base's values included, no batch larger than the queue.

        `base` is first; the others follow by what they change of it.
        """
        found = {base.key: base}
        for policy, rows, wait, runners in product(
            self.policies,
            sorted({*self.max_rows, base.max_rows}),
            sorted({*self.max_waits_us, base.max_wait_us}),
            sorted({*self.runners, base.runners}),
        ):
            if rows > queue_rows and rows != base.max_rows:
                continue
            setting = Setting(policy, rows, wait, runners)
            setting = replace(setting, **{name: getattr(base, name) for name in IDLE[policy]})
            found.setdefault(setting.key, setting)
        return sorted(found.values(), key=lambda s: distance(s, base))


def distance(setting: Setting, base: Setting) -> tuple[float, float, str]:
    """How far a setting is from another: by the knobs it changes, then by how much, then by name."""
    weight, steps = 0.0, 0.0
    for name in setting.changes(base):
        weight += WEIGHTS[name]
        if name != "policy":
            one, other = float(getattr(setting, name)), float(getattr(base, name))
            steps += abs(math.log2(max(one, 0.5) / max(other, 0.5)))
        elif setting.policy == "off":
            weight += 0.15
    return round(weight, 6), round(steps, 6), setting.key
