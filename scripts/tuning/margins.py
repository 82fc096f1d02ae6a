"""What measurements say of a margin: which answers reach the exchange in time, and which bids were given up too early.

The exchange's clock runs from when a request was due until its answer is there, the network's delay included; the
bidder's own runs from receipt to `tmax` less the margin. A control with the longest `tmax` never gives up: what it
answers within a deadline is what can be answered within it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SURE = 0.05  # probability at which a count of late answers is taken to be too high for chance


@dataclass(frozen=True)
class Counts:
    """The requests of one deadline in one measurement."""

    sent: int
    bids: int  # that reach the exchange in time
    late: int  # answers that come later, or never
    late_bids: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.sent + other.sent, self.bids + other.bids, self.late + other.late, self.late_bids + other.late_bids
        )

    @property
    def late_share(self) -> float:
        return self.late / self.sent if self.sent else math.nan

    @property
    def bid_share(self) -> float:
        return self.bids / self.sent if self.sent else math.nan


def counts(record: Mapping[str, Any], *, tmax_ms: int, deadline_ms: float) -> Counts:
    """Of the requests with this `tmax` in a record, what came within a deadline.

    A step of the distribution that the deadline cuts counts as late.
    """
    distribution = record["result"]["distribution"]
    step = distribution["step_ms"]
    sent = in_time = bids = late_bids = 0
    for spread in distribution["by_tmax"] or []:
        if spread["tmax"] != tmax_ms:
            continue
        sent += spread["sent"]
        for status, steps in spread["answers"].items():
            whole = max(math.floor(deadline_ms / step + 1e-6), 0)
            early = sum(steps[:whole])
            in_time += early
            if status == "200":
                bids += early
                late_bids += sum(steps[whole:])
    return Counts(sent=sent, bids=bids, late=sent - in_time, late_bids=late_bids)


@dataclass(frozen=True)
class Cell:
    """One margin at one load and one deadline: its rounds, and those of the control, by round."""

    rounds: Mapping[int, Counts]
    control: Mapping[int, Counts]

    @property
    def total(self) -> Counts:
        """All rounds but the worst third: a stall of the machine is no margin's fault."""
        listed = sorted(self.rounds.values(), key=lambda c: c.late_share)
        return sum(listed[: len(listed) - len(listed) // 3], Counts(0, 0, 0, 0))

    @property
    def given_up_early(self) -> float:
        """The share of bids that could have reached the exchange in time, and were not made.

        The control's share of bids in time less this one's, within a round; the median over the rounds.
        """
        both = [self.control[n].bid_share - c.bid_share for n, c in self.rounds.items() if n in self.control]
        return max(statistics.median(both), 0.0) if both else math.nan


Key = tuple[float, int]  # a load and a deadline in ms
Margins = Mapping[float, Mapping[Key, Cell]]  # by margin in ms


def settled(margins: Margins) -> dict[float, dict[Key, float]]:
    """The share of late answers for each margin, load and deadline: at most that of any smaller margin.

    More margin cannot make more answers late. What rises is a stall, which only ever adds late answers; a mean with
    what is left of it would lay it to margins that had no part in it.
    """
    ordered = sorted(margins)
    out: dict[float, dict[Key, float]] = {margin: {} for margin in ordered}
    for key in sorted({key for cells in margins.values() for key in cells}):
        least = math.inf
        for margin in ordered:
            cell = margins[margin].get(key)
            if cell is not None and cell.total.sent:
                least = min(least, cell.total.late_share)
                out[margin][key] = least
    return out


def worst(shares: Mapping[Key, float]) -> float:
    return max(shares.values(), default=math.inf)


@dataclass(frozen=True)
class MarginChoice:
    """The margin to take, or the one that comes nearest."""

    margin_ms: float
    meets: bool
    late_share: float  # the worst over loads and deadlines
    why: str


def choose(margins: Margins, target: float) -> MarginChoice:
    """The least margin whose late share is under the target at every load and deadline.

    One that was lucky in few rounds is measured again for being chosen (bracket), and found out.
    """
    late = {margin: worst(shares) for margin, shares in settled(margins).items() if shares}
    good = [margin for margin in sorted(late) if late[margin] <= target]
    if good:
        why = "the least margin with so few late answers at every load and deadline"
        return MarginChoice(good[0], meets=True, late_share=late[good[0]], why=why)
    best = min(sorted(late), key=lambda margin: late[margin])
    return MarginChoice(best, meets=False, late_share=late[best], why="no margin has so few; this one has the fewest")


def bracket(margins: Margins, target: float, base: float) -> list[float]:
    """The margins worth measuring again: the choice, its neighbours, and the one in force."""
    ordered = sorted(margins)
    at = ordered.index(choose(margins, target).margin_ms)
    near = ordered[max(at - 1, 0) : at + 2]
    return sorted({*near, base} & set(ordered))


def fewer(count: int, mean: float) -> float:
    """The probability that a Poisson variable is less than a count."""
    if mean <= 0:
        return 1.0 if count > 0 else 0.0
    if mean > 500:  # as good as normal
        return 0.5 * math.erfc((mean - count + 0.5) / math.sqrt(2 * mean))
    most = min(count, int(mean + 20 * math.sqrt(mean) + 50))
    return min(sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(most)), 1.0)


def too_many(late: int, sent: int, target: float) -> bool:
    """Whether so many late answers are too many for a share at the target, and not by chance."""
    return late > sent * target and 1 - fewer(late, sent * target) < SURE


def unnoticed(late: int, sent: int) -> float:
    """The greatest share of late answers for which so few would be no surprise: 3/n where none was late."""
    if not sent:
        return 1.0
    low, high = late / sent, (late + 10 + 5 * math.sqrt(late)) / sent
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if fewer(late + 1, sent * middle) > SURE else (low, middle)
    return low


def total(cells: Iterable[Cell]) -> Counts:
    return sum((cell.total for cell in cells), Counts(0, 0, 0, 0))
