"""What the tests of tuning share: results of a generator with known figures, and a session that measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.bidder import Reading
from bench.load import Load
from scripts.tuning.figures import kept
from scripts.tuning.journal import Journal, Record
from scripts.tuning.session import Common, Session
from scripts.tuning.trial import Trial

RATES = [1000.0, 2000.0]


def answers(p99_ms: float, *, sent: int = 1000, late: int = 0) -> dict[str, Any]:
    """A result of the generator in which every answer takes `p99_ms`, but for the late ones, which take 400 ms."""
    counts = [0] * 401
    counts[round(p99_ms) - 1] += sent - late
    counts[400] += late
    return {
        "sent": sent,
        "failed": 0,
        "unanswered": 0,
        "status": {"200": sent},
        "latency_ms": {"p99": p99_ms},
        "send_lag_ms": {"p99": 0.1},
        "distribution": {"step_ms": 1.0, "by_tmax": [{"tmax": 100, "sent": sent, "answers": {"200": counts}}]},
    }


def record(result: Mapping[str, Any], *, cpu_us: float = 100.0, shed: float = 0.0) -> dict[str, Any]:
    requests = float(result["sent"])
    counters = {"gavel_openrtb_requests_total": requests, "gavel_openrtb_no_bids_total{reason=shed}": shed}
    return kept(Load(result=result, used=Reading(requests * cpu_us / 1e6, 400.0, counters)))


def common(directory: Path, **changes: Any) -> Common:
    asked: dict[str, Any] = {"rates": RATES, "minutes": 10, "seconds": 2.5, "candidates": 1, "config": None}
    return Common(**{**asked, "bodies": None, "fresh": False, "directory": directory, **changes})


class Paper(Session):
    """A session in which bidders exist on paper: by name, load and round."""

    def __init__(
        self, journal: Journal, directory: Path, behave: Callable[[str, float, str], Record], *, visits: int = 20
    ) -> None:
        trial = Trial(directory, models=directory)
        super().__init__(common(directory), directory, trial, journal, list(RATES))
        self.behave, self.most = behave, visits
        self.offered: list[str] = []  # what was measured, not found
        self.stop_after = -1  # measurements, then Ctrl-C; negative: never

    def begin(self, settings: Mapping[str, Any], bodies: Path) -> None:
        """Nothing to begin."""

    def visits(self) -> int:
        return self.most

    def visit(self, name: str, settings: Mapping[str, Any], round_: str, bodies: Path) -> dict[float, Record]:  # noqa: ARG002 - as in Session
        def make(rate: float) -> Record:
            if len(self.offered) == self.stop_after:
                raise KeyboardInterrupt
            self.offered.append(f"{round_}/{name}/{rate:g}")
            return self.behave(name, rate, round_)

        return {r: self.journal.record(f"{round_}/{name}/{r:g}", lambda r=r: make(r)) for r in self.rates}  # type: ignore[misc] # r is a float
