"""The bank alone, in the Go driver: time a score, memory, memory while all classifiers are replaced."""

from __future__ import annotations

from bench.ranking.keys import Found
from bench.ranking.programs import Fleet, driver
from bench.report import median, number, say, table

LARGE = 10  # times the campaigns, in the last measurement


def run(fleet: Fleet, found: Found, *, users: int, rounds: int) -> None:
    """Measure a bank of the fleet's size some times, and one of ten times the size."""
    runs = []
    for i in range(rounds):
        say(f"bank of {fleet.campaigns:,} classifiers, round {i + 1} of {rounds}")
        runs.append(driver("bank", *fleet.size, "-users", users, "-replaced", fleet.campaigns))
    large = Fleet(fleet.directory, fleet.campaigns * LARGE, fleet.known, fleet.values)
    say(f"bank of {large.campaigns:,} classifiers")
    runs.append(driver("bank", *large.size, "-users", users, "-replaced", 0))
    found.raw["bank"] = runs
    found.values |= {
        "score_us": median([r["score_us"] for r in runs[:-1]]),
        "score_p99_ms": median([r["p99_ms"] for r in runs[:-1]]),
        "bank_mb": max(r["mb"] for r in runs[:-1]),
        "bank_merge_mb": max(r["merge_mb"] for r in runs[:-1]),
        "score_50k_us": runs[-1]["score_us"],
        "update_ms": median([r["update_ms"] for r in runs[:-1]]),
    }
    names = ("score_us", "wall_us", "p99_ms", "mb", "merge_mb", "update_ms")
    lines = [[f"{r['campaigns']:,}", *(number(r[n]) for n in names)] for r in runs]
    table("the bank", ["classifiers", *(n.replace("_", " ") for n in names)], lines)
