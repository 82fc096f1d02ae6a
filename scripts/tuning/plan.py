"""How many settings can be measured how often, in the time there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.tuning.errors import TuneError
from scripts.tuning.session import Pace

LEAST = 3  # settings that every round measures, if there are as many
ROUNDS = 5


@dataclass(frozen=True)
class Plan:
    """How many settings each round measures, at every load."""

    sizes: Sequence[int]
    pace: Pace
    loads: int
    start_s: float
    alive: int  # bidders that can be kept; of more settings, each is started anew in every round

    @property
    def cost_s(self) -> float:
        """Seconds that it takes."""
        starts = sum(n if n > self.alive else 0 for n in self.sizes[1:]) + self.sizes[0]
        return sum(self.sizes) * self.loads * self.pace.cost_s + starts * self.start_s


def halving(first: int, rounds: int) -> list[int]:
    """Half as many each round, but not below LEAST, so that the finalists are measured often."""
    return [min(first, max(LEAST, math.ceil(first / 2**k))) for k in range(rounds)]


def fit(time_s: float, *, settings: int, loads: int, pace: Pace, start_s: float, alive: int) -> Plan:
    """The plan that tries as many of the settings as time allows.

    Rounds are given up before the race shrinks below LEAST settings. What time is left in the end goes to more rounds
    (race.py).

    Raises
    ------
    TuneError
        The time does not suffice for one measurement of the base setting and of one other.
    """

    def plan(first: int, rounds: int) -> Plan:
        return Plan(halving(first, rounds), pace, loads, start_s, alive)

    for rounds, least in ((ROUNDS, LEAST), (4, LEAST), (3, LEAST), (2, LEAST), (1, 2)):
        for first in range(settings, min(least, settings) - 1, -1):
            if (some := plan(first, rounds)).cost_s <= time_s:
                return some
    needed = plan(min(2, settings), 1).cost_s
    raise TuneError(
        f"{max(time_s, 0):.0f} s are left to compare settings, {needed:.0f} are needed: give more --minutes"
    )
