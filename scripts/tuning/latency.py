"""`tune_latency`: auction.tmax_margin, for few late answers and no bid given up without need.

search.py tells the search. An answer is late if it comes later than the request's tmax less the network's delay, or
never. Too small a margin makes answers late; too large a margin makes the bidder give up bids that would have been in
time. Among margins that differ by less than one bid in a thousand auctions, the one in force is kept, or else the
largest is taken, for more margin is safer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.tuning import search
from scripts.tuning.config import TMAX_DEFAULT, TMAX_MARGIN, TuneError, duration, milliseconds, read, value
from scripts.tuning.figures import Sample, lag, lost_share
from scripts.tuning.journal import Record
from scripts.tuning.output import settings_of
from scripts.tuning.session import Common

CLOSE = 0.001  # of the auctions: bids that are not worth a change


@dataclass(frozen=True)
class Deadlines:
    """What the exchange asks for."""

    late_share: float = 1e-4  # of the answers, at most
    network_ms: float = 0.0  # there and back, added to what is measured
    tmax_ms: Sequence[int] = (50, 75, 100, 150)

    @staticmethod
    def of(given: Mapping[str, Any]) -> Deadlines:
        """What is given; the rest is as above."""
        known = {key: given[key] for key in Deadlines.__dataclass_fields__ if given.get(key) is not None}
        asked = Deadlines(**known)
        if not 0 < asked.late_share < 1 or not 0 <= asked.network_ms < min(asked.tmax_ms):
            raise TuneError("--late-share must be above 0 and below 1, --network-ms at least 0 and below each --tmax")
        return asked

    def sample(self, record: Record) -> Sample:
        """The share of late answers, and the share of auctions without a bid in time.

        A step of the distribution that the deadline cuts counts as late.
        """
        distribution = record["result"]["distribution"]
        sent = in_time = bids = 0
        for spread in distribution["by_tmax"] or ():
            whole = max(math.floor((spread["tmax"] - self.network_ms) / distribution["step_ms"] + 1e-6), 0)
            sent += spread["sent"]
            in_time += sum(sum(steps[:whole]) for steps in spread["answers"].values())
            bids += sum(spread["answers"].get("200", [])[:whole])
        many = max(sent, 1)
        return Sample((sent - in_time) / many, (sent - bids) / many, lost_share(record), lag(record))


def question(asked: Deadlines) -> search.Question:
    return search.Question(
        tool="latency",
        target=asked.late_share,
        limit=asked.late_share,
        bounded="late answers, share",
        cost="auctions without a bid in time, share",
        sample=asked.sample,
        excess=lambda one, base: one - base,
        close=CLOSE,
        bodies=lambda trial: trial.with_tmax(asked.tmax_ms),
        about=asdict(asked),
        depends=list(asked.tmax_ms),
    )


def candidate(margin: str) -> search.Candidate:
    return search.Candidate(f"margin {margin}", {TMAX_MARGIN: margin}, f"margin {margin}")


def run(asked: Deadlines, margins_ms: Sequence[float], common: Common) -> int:
    """Find the margin; the exit status."""
    document = read(common.config, "--config") if common.config else {}
    base_ms, most_ms = (milliseconds(str(value(document, key))) for key in (TMAX_MARGIN, TMAX_DEFAULT))
    if max(margins_ms) >= most_ms:
        raise TuneError(f"margins must be below {TMAX_DEFAULT} ({most_ms:g} ms); name others with --margins")
    order = [base_ms, *sorted({*margins_ms} - {base_ms}, reverse=True)]
    return search.run(question(asked), [candidate(duration(margin)) for margin in order], common)


def run_verify(file: Path, given: Mapping[str, Any], common: Common) -> int:
    """Measure a file's margin; what is not given is as the file's head says. The exit status."""
    document, about = settings_of(file)
    asked = Deadlines.of({**about, **{key: found for key, found in given.items() if found is not None}})
    margin = candidate(str(value(document, TMAX_MARGIN)))
    return search.run_verify(question(asked), margin, about.get("rates", []), common)
