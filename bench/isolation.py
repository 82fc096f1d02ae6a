"""A small model beside a slow one: the small model's latency alone, and while the slow model is busy.

One bidder serves both models. Requests from exchange `small` match campaigns that pay by click and ask only the small
model. Requests from exchange `slow` match campaigns that pay by conversion and ask the slow model too, whose rows cost
some ten times as much. The slow model has a runner of its own, with low priority.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from bench.bidder import Bidder, Reading, running
from bench.load import command, offering, result_of
from bench.report import Target, finish, median, say, table
from bench.world import RECIPE, World, campaigns, ensure_model

SLOW = "slow"
SLOW_HIDDEN = [1024, 1024, 512]
SECRETS = {"small": "secret-of-the-small-one", "slow": "secret-of-the-slow-one"}
SETTINGS: dict[str, Any] = {
    "sellers": {name: {"secret": secret} for name, secret in SECRETS.items()},
    "auction.conversion": SLOW,
    f"models.{SLOW}": {"runners": 1, "nice": 10},
}


class TwoModels(World):
    """A world in which the exchange of a request decides which models are asked."""

    def prepare(self) -> None:
        super().prepare()
        recipe = yaml.safe_load(RECIPE.read_text())
        recipe |= {"model": SLOW, "label": "conversion"}
        recipe["architecture"]["hidden"] = SLOW_HIDDEN
        path = self.directory / "slow.yaml"
        path.write_text(yaml.safe_dump(recipe, sort_keys=False))
        ensure_model(self.store, path)
        document = campaigns(1 + self.candidates)
        for i, campaign in enumerate(document["campaigns"]):
            campaign["targeting"] = {"exchanges": ["small" if i == 0 else "slow"]}
            if i > 0:
                campaign["goal"] = {"cpa": 80 + i}
        self.campaigns.write_text(yaml.safe_dump(document, width=200))


def run(directory: Path, *, rate: float, slow_rate: float, seconds: float, rounds: int) -> int:
    """Measure and report; return 0 if the targets are met."""
    world = TwoModels(directory / "world", candidates=8)
    world.prepare()
    alone: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    used: list[Reading] = []
    with running(world, "isolation", SETTINGS) as bidder:
        for round_ in range(rounds):
            say(f"round {round_ + 1} of {rounds}: the small model alone at {rate:,.0f} auctions/s")
            alone.append(offer_both(bidder, world, rate, 0, seconds, round_)[0])
            say(f"round {round_ + 1} of {rounds}: beside the slow one at {slow_rate:,.0f} auctions/s of 8 rows")
            before = bidder.read()
            beside.append(offer_both(bidder, world, rate, slow_rate, seconds, round_)[0])
            used.append(bidder.read() - before)
    return report(alone, beside, used, rate, slow_rate)


def offer_both(
    bidder: Bidder, world: World, rate: float, slow_rate: float, seconds: float, seed: int
) -> list[dict[str, Any]]:
    """Offer load to the small model and, if slow_rate is above 0, to the slow one at the same time."""
    with ExitStack() as stack:
        generators = []
        for exchange, offered in (("small", rate), ("slow", slow_rate)):
            if offered == 0:
                continue
            line = command(
                f"{bidder.url}/{SECRETS[exchange]}",
                world.bodies,
                rate=offered,
                seconds=seconds,
                warmup_s=2.0,
                seed=seed + 1,
            )
            generators.append(stack.enter_context(offering(line)))
        return [result_of(generator, within_s=seconds + 60) for generator in generators]


def report(
    alone: list[dict[str, Any]], beside: list[dict[str, Any]], used: list[Reading], rate: float, slow_rate: float
) -> int:
    rows = [
        [
            name,
            f"{median([r['answered_per_second'] for r in rounds]):,.0f}",
            f"{min(r['good'] / r['sent'] for r in rounds):.4f}",
            *(f"{median([r['latency_ms'][key] for r in rounds]):.2f}" for key in ("mean", "p50", "p99", "p999")),
        ]
        for name, rounds in (("alone", alone), ("beside the slow one", beside))
    ]
    table("The small model's auctions", ["", "answered/s", "bids", "mean ms", "p50", "p99", "p999"], rows)
    model = f"{{model={SLOW}}}"
    run_ms = median(
        [1e3 * u[f"gavel_batcher_run_seconds_sum{model}"] / u[f"gavel_batcher_run_seconds_count{model}"] for u in used]
    )
    busy = median([u[f"gavel_batcher_run_seconds_sum{model}"] / (u.cpu_s or 1) for u in used])
    say(f"a run of the slow model takes {run_ms:.2f} ms; the model uses {busy:.0%} of the bidder's CPU")
    ratio = median([b["latency_ms"]["p99"] / a["latency_ms"]["p99"] for a, b in zip(alone, beside, strict=True)])
    targets = [Target("small_p99_ratio", ratio, 2, least=False)]
    figures = {
        "rate": rate,
        "slow_rate": slow_rate,
        "slow_rows": sum(u[f"gavel_batcher_rows_total{model}"] for u in used),
        "slow_runs": sum(u[f"gavel_batcher_run_seconds_count{model}"] for u in used),
        "slow_run_ms": run_ms,
        "slow_share_of_cpu": busy,
    }
    return finish("isolation", figures, targets, raw={"alone": alone, "beside": beside})
