"""What the bank replaces: a loop over scikit-learn's pipelines, and one over the paper's encoder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from threadpoolctl import threadpool_limits

from bench.ranking import models
from bench.ranking.keys import Found
from bench.ranking.models import Model
from bench.ranking.programs import Fleet
from bench.report import median, number, say, table

THREADS = 8
LEAST = 3  # users that are measured, whatever they take
WALL = time.perf_counter


def pipelines(fleet: list[Model]) -> Callable[[dict[str, str]], Any]:
    """Return what scores a user by all pipelines, one after another."""
    made, fields = [m.pipeline() for m in fleet], fleet[0].fields
    return lambda profile: [p.predict_proba(models.row(profile, fields)) for p in made]


def encoders(fleet: list[Model]) -> Callable[[dict[str, str]], Any]:
    """Return what scores a user by all models with the paper's encoder, one after another."""
    return lambda profile: [m.by_dict(profile) for m in fleet]


def threads(fleet: list[Model]) -> Callable[[dict[str, str]], Any]:
    """Return what scores a user by all pipelines on THREADS threads."""
    made, fields = [m.pipeline() for m in fleet], fleet[0].fields
    pool = ThreadPoolExecutor(THREADS)

    def score(profile: dict[str, str]) -> Any:
        row = models.row(profile, fields)
        return list(pool.map(lambda p: p.predict_proba(row), made))

    return score


def seconds(
    score: Callable[[dict[str, str]], Any],
    users: list[dict[str, str]],
    *,
    clock: Callable[[], float] = time.process_time,
    most_s: float = math.inf,
) -> list[float]:
    """Return how long each user takes by a clock, after one that warms up.

    Users are left out when so many seconds have passed in all, but three are measured.
    """
    took: list[float] = []
    with threadpool_limits(1):
        score(users[0])
        for user in users:
            if len(took) >= LEAST and sum(took) > most_s:
                break
            began = clock()
            score(user)
            took.append(clock() - began)
    return took


def run(fleet: Fleet, found: Found, *, count: int, users: int) -> None:
    """Measure the CPU a classifier, and compare it with the bank's if that was measured in this run."""
    say(f"loops over {count} classifiers")
    made, profiles = models.models(fleet.classifiers, count), fleet.profiles(users)
    us = {
        name: median(seconds(of(made), profiles)) / count * 1e6
        for name, of in (("pipeline_loop_us", pipelines), ("paper_encoder_loop_us", encoders))
    }
    found.values |= us
    found.raw["loops"] = us
    lines = [[name, number(value)] for name, value in us.items()]
    if "score_us" in found.values:
        bank = found.values["score_us"] / fleet.campaigns
        found.values |= {
            "vs_pipeline_loop": us["pipeline_loop_us"] / bank,
            "vs_paper_encoder_loop": us["paper_encoder_loop_us"] / bank,
        }
        lines.append(["bank", number(bank)])
    table("CPU µs a classifier and user", ["", "µs"], lines)
