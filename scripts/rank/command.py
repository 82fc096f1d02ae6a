"""The closed loop of ranking: ranker, its trainer, bidder, exchange; a live status; one JSON line.

`make rank` calls this. Progress and status go to stderr; the last line of stdout is the result.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from scripts.loop import directory as places
from scripts.loop.ending import conclude
from scripts.loop.report import Result
from scripts.loop.settings import ROOT
from scripts.rank.runner import Loop, say
from scripts.rank.settings import Ports, Run, World

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # this process and its children log only TensorFlow's errors
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    duration: Annotated[float | None, typer.Option(min=5, help="Seconds of traffic. Default: until Ctrl-C.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Clicks a second that come straight to the ranker.")] = 1000,
    auctions: Annotated[float, typer.Option(min=1, help="Auctions a second; a twentieth of them bring a click.")] = 100,
    warmup: Annotated[
        int, typer.Option(min=1000, help="Clicks of the log that the first classifiers learn.")
    ] = 24_000_000,
    campaigns: Annotated[int, typer.Option(min=2, help="Campaigns at any time.")] = 500,
    rate_min: Annotated[float, typer.Option(help="Mean sales a click of the rarest campaign.")] = 1e-6,
    rate_max: Annotated[float, typer.Option(help="Mean sales a click of the most frequent campaign.")] = 1e-2,
    policy: Annotated[str, typer.Option(help="The ranker's: epsilon-greedy, thompson or best.")] = "epsilon-greedy",
    epsilon: Annotated[float, typer.Option(min=0, max=1, help="Share of clicks that explore.")] = 0.005,
    recipe: Annotated[Path, typer.Option(help="Recipe of the classifiers.")] = ROOT / "models/sale/prior.yaml",
    free_ports: Annotated[bool, typer.Option(help="Use any free ports instead of 8089-8097, 4222 and 4223.")] = False,
    directory: Annotated[Path, typer.Option(help="The run's directory; emptied first.")] = ROOT / "var/rank",
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 1,
) -> None:
    """Run the ranker's whole loop and report how much better than chance it chose.

    Examples: `make rank DURATION=300`, `make rank DURATION=90 RATE=1000`.
    """

    def run_loop() -> Result:
        run = Run(
            directory=directory.resolve(),
            recipe=recipe.resolve(),
            world=World(campaigns, rate_min, rate_max, rate, auctions, warmup, seed),
            policy=policy,
            epsilon=epsilon,
            ports=Ports.free() if free_ports else Ports(),
        )
        lock = places.lock(run.directory)
        places.check_ports(vars(run.ports))
        if places.prepare(run.directory, keep=False):
            say(f"removed the last run in {run.directory}")
        result = Loop(run, duration).run()
        lock.close()
        return result

    conclude(run_loop, say)
