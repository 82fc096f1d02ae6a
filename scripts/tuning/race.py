"""The race: every setting once, the better ones again and again, so that time goes where the choice is made.

    round 1    all settings of the plan at every load
    round 2…   those worth it (choice.survivors), at most as many as the plan says; the base setting always

Settings are taken forwards in one round and backwards in the next, loads likewise: a machine that grows slower or
busier in the course of a round does so for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scripts.tuning.choice import Choice, Target, choose, choose_reached, survivors
from scripts.tuning.errors import OutOfTime
from scripts.tuning.samples import Sample, Standing
from scripts.tuning.settings import Setting

Measure = Callable[[Setting, float, int], Sample]  # at a load, in a round


class Race:
    """The settings of a plan with what was measured of them."""

    def __init__(self, settings: Sequence[Setting], target: Target, *, found: bool = False) -> None:
        self.base = settings[0]
        self.target = target
        self.found = found  # the loads, by the tool: those out of reach are given up
        self._samples: dict[Setting, list[Sample]] = {s: [] for s in settings}

    def add(self, setting: Setting, sample: Sample) -> None:
        self._samples[setting].append(sample)

    @property
    def standings(self) -> list[Standing]:
        """Those measured at every load at least once."""
        standings = [Standing(setting, tuple(samples)) for setting, samples in self._samples.items()]
        return [s for s in standings if set(s.rates) >= set(self.target.rates)]

    def choose(self) -> tuple[Choice, Target]:
        """Choose a setting, and say for which of the loads."""
        if self.found:
            return choose_reached(self.standings, self.base, self.target)
        return choose(self.standings, self.base, self.target), self.target

    def run(self, sizes: Sequence[int], measure: Measure, *, most: int) -> bool:
        """Measure round by round; False if time ran out before the plan's end.

        After the plan, rounds go on while there is time, up to `most` in all. A round that time cuts short counts as
        far as it went: settings compare by medians and within rounds.
        """
        alive = list(self._samples)[: sizes[0]]
        more = [sizes[-1]] * (most - len(sizes))
        for round_, size in enumerate([*sizes, *more][:most], 1):
            if round_ > 1:
                _, target = self.choose()
                alive = survivors(self.standings, self.base, target, size)
            # The base first in each round: costs are ratios to it.
            others = [s for s in alive if s != self.base]
            for setting in [self.base, *(others if round_ % 2 else reversed(others))]:
                for rate in self.target.rates if round_ % 2 else reversed(self.target.rates):
                    try:
                        self.add(setting, measure(setting, rate, round_))
                    except OutOfTime:
                        return round_ > len(sizes)
            if alive == [self.base]:
                break
        return True
