"""What the tests of tuning share: samples with known figures, and a session that measures nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.bidder import Reading
from bench.load import Load
from scripts.tuning.display import Display
from scripts.tuning.journal import Journal
from scripts.tuning.samples import Sample, Standing
from scripts.tuning.session import Clock, Fleet, Pace, Session
from scripts.tuning.settings import Setting
from scripts.tuning.world import Trial

BASE = Setting(policy="adaptive", max_rows=128, max_wait_us=2000, runners=1)
EAGER, WINDOW, OFF = (replace(BASE, policy=policy) for policy in ("eager", "window", "off"))
PACE = Pace(seconds=2.0, warmup_s=0.6)


def sample(rate: float = 1000, round_: int = 1, *, p99: float = 5.0, cpu: float = 100.0, lost: float = 0.0) -> Sample:
    return Sample(
        rate=rate,
        round_=round_,
        p50=1.0,
        p99=p99,
        p999=2 * p99,
        cpu_us=cpu,
        row_us=cpu,
        batch_rows=4.0,
        lost=lost,
        lag=0.1,
    )


def standing(setting: Setting, *rounds: tuple[float, float], rate: float = 1000) -> Standing:
    """A setting with (p99, CPU) of each round."""
    return Standing(setting, tuple(sample(rate, n, p99=p, cpu=c) for n, (p, c) in enumerate(rounds, 1)))


def answers(p99_ms: float, *, sent: int = 1000, tmax: int = 100, late: int = 0) -> dict[str, Any]:
    """A result of the generator whose distribution has one step of 1 ms an answer; `late` ones take 400 ms."""
    counts = [0] * 401
    counts[min(max(math.ceil(p99_ms) - 1, 0), 399)] += sent - late
    counts[400] += late
    latency = {"mean": p99_ms / 2, "p50": p99_ms / 2, "p90": p99_ms, "p99": p99_ms, "p999": p99_ms, "max": p99_ms}
    return {
        "sent": sent,
        "answered": sent,
        "answered_per_second": sent / 2,
        "good": sent - late,
        "failed": 0,
        "unanswered": 0,
        "reconnects": 0,
        "status": {"200": sent},
        "latency_ms": latency,
        "send_lag_ms": latency | {"p99": 0.1},
        "distribution": {"step_ms": 1.0, "by_tmax": [{"tmax": tmax, "sent": sent, "answers": {"200": counts}}]},
    }


def load(result: Mapping[str, Any], *, cpu_us: float = 100.0, shed: float = 0.0) -> Load:
    requests = float(result["sent"])
    counters = {
        "gavel_openrtb_requests_total": requests,
        "gavel_batcher_rows_total": requests,
        "gavel_batcher_runs_total": requests / 4,
        "gavel_openrtb_no_bids_total{reason=shed}": shed,
    }
    return Load(result=result, used=Reading(cpu_s=requests * cpu_us / 1e6, rss_mib=400.0, counters=counters))


Behaviour = Callable[[str, float, int], Load]  # of a bidder: its name, a load, a seed


class Time:
    """A clock that goes on when it is told to, in place of the module `time`."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Paper(Session):
    """A session whose bidders exist on paper; what is measured is listed, and takes the time it would on `time`."""

    def __init__(
        self,
        directory: Path,
        behaviour: Behaviour,
        *,
        minutes: float = 1000,
        stop_after: int = -1,
        time: Time | None = None,
    ) -> None:
        trial = Trial(directory / "world", models=directory / "store")
        super().__init__(Journal(directory), Fleet(trial), Clock(minutes * 60), Display("test"))
        self.behaviour = behaviour
        self.offered: list[str] = []
        self.settings: dict[str, Mapping[str, Any]] = {}  # by name of the bidder
        self.stop_after = stop_after  # measurements, then Ctrl-C; negative: never
        self.time = time or Time()

    def offer(
        self, name: str, settings: Mapping[str, Any], *, rate: float, pace: Pace, seed: int = 1, **_options: Any
    ) -> Load:
        if len(self.offered) == self.stop_after:
            raise KeyboardInterrupt
        self.offered.append(f"{name}@{rate:g}")
        self.settings[name] = settings
        self.time.now += pace.cost_s
        return self.behaviour(name, rate, seed)

    def __enter__(self) -> Paper:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()


def noisy(figures: Mapping[str, tuple[float, float]], *, noise: float, seed: int = 0) -> Behaviour:
    """Bidders with a p99 and CPU each, disturbed by log-normal noise that depends on name, load and round alone."""

    def behave(name: str, rate: float, round_: int) -> Load:
        rng = random.Random(f"{seed}/{name}/{rate}/{round_}")  # noqa: S311 - noise, not secrets
        p99, cpu = figures[name]
        disturbed = p99 * math.exp(rng.gauss(0, noise)), cpu * math.exp(rng.gauss(0, noise / 4))
        return load(answers(disturbed[0]), cpu_us=disturbed[1])

    return behave
