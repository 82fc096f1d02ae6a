"""`/rank` over HTTP: CPU of the server, and what changes of classifier files cost.

The load is `bin/loadgen`'s, open loop. CPU is the server's alone, from /proc.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import capacity
from bench.load import Load, command, offer, offering, result_of
from bench.ranking.keys import Found
from bench.ranking.programs import DRIVER, Fleet
from bench.ranking.ranker import Ranker, running
from bench.report import median, number, say, table
from scripts.loop.settings import ROOT

LATE_MS = 20.0
CHANGES_A_MINUTE = 500.0
CHECKS_A_SECOND = 10.0  # rankings of all changing campaigns whose probabilities are compared, with changes and without
SHARE = 0.8  # of capacity
PRECISION = 1.1  # of capacity
CONNECTIONS = 32
WARMUP_S = 2.0


@dataclass(frozen=True)
class Times:
    """How long and how often load is offered."""

    seconds: float = 20
    rounds: int = 3
    search_s: float = 4  # 0: capacity is not searched, but taken as a quarter of the saturated rate


def cpu_us(load: Load) -> float:
    """CPU of the ranker a ranking, in µs, by its own count of rankings."""
    return load.used.cpu_s / load.used["gavel_rank_requests_total"] * 1e6


def _offer(ranker: Ranker, fleet: Fleet, times: Times, *, rate: float) -> Load:
    """Offer load; rate 0: as much as the ranker takes."""
    bodies = fleet.directory / "bodies.jsonl"
    return offer(ranker, bodies, rate=rate, seconds=times.seconds, connections=CONNECTIONS, deadline_ms=LATE_MS)


def run(fleet: Fleet, found: Found, *, times: Times, churn: bool) -> None:
    """Measure the server's CPU; with `churn` also 80 % of its capacity without and with changes, in turns."""
    serving = fleet.linked()
    with running(
        fleet.directory,
        classifiers=serving,
        campaigns=fleet.directory / "campaigns.yaml",
        fields=fleet.fields,
    ) as ranker:
        say(f"the ranker has read {fleet.campaigns:,} classifiers and uses {ranker.rss_mib():.0f} MiB")
        found.values["ranker_rss_mib"] = ranker.rss_mib()
        full = _offer(ranker, fleet, times, rate=0)
        half = _offer(ranker, fleet, times, rate=full.rate / 2)
        found.values |= {
            "rank_cpu_us": cpu_us(full),
            "half_load_cpu_us": cpu_us(half),
            "saturated_per_second": full.rate,
            "predictions_per_core_second": fleet.campaigns / cpu_us(full) * 1e6,
        }
        found.raw["rank"] = {"saturated": full.result, "half": half.result}
        table(
            f"/rank of {fleet.campaigns:,} campaigns, limit 10",
            ["load", "answers/s", "CPU µs", "p50 ms", "p99 ms"],
            [
                [name, *map(number, (load.rate, cpu_us(load), load.latency("p50"), load.latency("p99")))]
                for name, load in (("saturated", full), ("half of it", half))
            ],
        )
        if churn:
            _churn(ranker, fleet, found, times, serving)


def _churn(ranker: Ranker, fleet: Fleet, found: Found, times: Times, serving: Path) -> None:
    rate = SHARE * _capacity(ranker, fleet, found.values["saturated_per_second"], times)
    where = ("-dir", fleet.directory, "-classifiers", serving, "-url", ranker.url)
    prepared = ("-changed", fleet.changed, "-versions", fleet.versions)
    line: list[str] = [str(DRIVER), "churn", *fleet.size, *map(str, where), *map(str, prepared)]
    calm: list[dict[str, Any]] = []
    changing: list[dict[str, Any]] = []
    with subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as churner:
        _answer(churner)  # it is ready
        for i in range(times.rounds):
            for changes, rounds in ((0.0, calm), (CHANGES_A_MINUTE, changing)):
                rounds.append(_round(ranker, fleet, churner, rate=rate, changes=changes, times=times, seed=i + 1))
                p99, late = rounds[-1]["p99_ms"], rounds[-1]["late"]
                say(f"{rate:,.0f} a second, {changes:.0f} changes a minute: p99 {p99:.2f} ms, late {late}")
    found.raw["churn"] = {"rate": rate, "calm": calm, "changing": changing}
    for example in {r["example"] for r in calm + changing} - {""}:
        say(f"half-loaded: {example}")
    found.values |= {
        "churn_p99_ratio": median([r["p99_ms"] for r in changing]) / median([r["p99_ms"] for r in calm]),
        "churn_half_loaded": sum(r["half_loaded"] + r["refused"] for r in calm + changing),
        "churn_late": sum(r["late"] for r in changing),
        "churn_calm_late": sum(r["late"] for r in calm),
        "churn_rate": rate,
        "churn_changes": sum(r["added"] + r["replaced"] + r["removed"] for r in changing),
        "churn_compared": sum(r["compared"] for r in calm + changing),
    }
    table(
        f"{rate:,.0f} rankings a second, {SHARE:.0%} of capacity",
        ["changes a minute", "p50 ms", "p99 ms", "max ms", f"after {LATE_MS:.0f} ms", "half-loaded"],
        [
            [
                f"{changes:.0f}",
                *(number(median([r[k] for r in rounds])) for k in ("p50_ms", "p99_ms", "max_ms")),
                *(str(sum(r[k] for r in rounds)) for k in ("late", "half_loaded")),
            ]
            for changes, rounds in ((0.0, calm), (CHANGES_A_MINUTE, changing))
        ],
    )


def _capacity(ranker: Ranker, fleet: Fleet, saturated: float, times: Times) -> float:
    """Return the most rankings a second of which 999 in 1,000 are answered in time."""
    if times.search_s == 0:
        return saturated / 4
    return capacity.find(
        ranker,
        fleet.directory / "bodies.jsonl",
        start=saturated * SHARE,
        seconds=times.search_s,
        connections=CONNECTIONS,
        deadline_ms=LATE_MS,
        precision=PRECISION,
        confirm=1.5,
    )


def _round(
    ranker: Ranker,
    fleet: Fleet,
    churner: subprocess.Popen[str],
    *,
    rate: float,
    changes: float,
    times: Times,
    seed: int,
) -> dict[str, Any]:
    """Offer load for a while, with so many changes a minute."""
    whole = times.seconds + WARMUP_S
    line = command(
        ranker.url,
        fleet.directory / "bodies.jsonl",
        rate=rate,
        seconds=times.seconds,
        warmup_s=WARMUP_S,
        connections=CONNECTIONS,
        deadline_ms=LATE_MS,
        seed=seed,
    )
    with offering(line) as generator:
        assert churner.stdin is not None  # noqa: S101 - it is a pipe
        print(
            json.dumps({"rate": changes, "checks": CHECKS_A_SECOND, "seconds": whole}), file=churner.stdin, flush=True
        )
        result = result_of(generator, within_s=whole + 60)
    told = _answer(churner)
    latency = {f"{k}_ms": result["latency_ms"][k] for k in ("p50", "p99", "max")}
    refused = result["sent"] - result["status"].get("200", 0) - result["failed"] - result["unanswered"]
    return {**told, **latency, "late": result["late"], "refused": refused, "sent": result["sent"]}


def _answer(churner: subprocess.Popen[str]) -> dict[str, Any]:
    assert churner.stdout is not None  # noqa: S101 - it is a pipe
    line = churner.stdout.readline()
    if not line:
        raise RuntimeError("driver churn ended; what it said is on stderr")
    told: dict[str, Any] = json.loads(line)
    return told
