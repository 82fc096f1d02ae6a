"""The closed loop on one machine: a first model version, bidder, trainer, exchange; a live status; one JSON line.

`make run` and `make replay` call this. Progress and status go to stderr; the last line of stdout is the result.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from scripts.loop.ending import conclude
from scripts.loop.report import Result
from scripts.loop.runner import CLICK, Loop, Plan, say
from scripts.loop.settings import ROOT, Ports, Run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # this process and its children log only TensorFlow's errors
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    duration: Annotated[
        float | None,
        typer.Option(min=5, help="Seconds of traffic. Default: until Ctrl-C, or the end of a replayed log."),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, help="Auctions a second that the exchange offers.")] = 800,
    replay: Annotated[Path | None, typer.Option(help="Replay this data set's directory instead of simulating.")] = None,
    keep: Annotated[bool, typer.Option(help="Keep the last run's versions, stream and spend.")] = False,
    free_ports: Annotated[bool, typer.Option(help="Use any free ports instead of 8089-8093 and 4222.")] = False,
    directory: Annotated[Path, typer.Option(help="The run's directory; emptied first, unless --keep.")] = ROOT
    / "var/run",
    recipe: Annotated[Path, typer.Option(help="Recipe of P(click | impression), as models/ctr/logreg.yaml.")] = CLICK,
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 1,
) -> None:
    """Run Gavel's whole loop and report on it.

    Examples: `make run DURATION=90 RATE=1000`, `make replay DATA=path/to/ipinyou_2997`.
    """

    def run_loop() -> Result:
        plan = (
            Plan.of_replay(replay, rate=rate, duration_s=duration)
            if replay
            else Plan.simulated(rate, duration, seed, click=recipe.resolve())
        )
        run = Run(
            directory=directory.resolve(),
            recipes=plan.recipes,
            campaigns=plan.campaigns,
            ports=Ports.free() if free_ports else Ports(),
            seller="replay" if replay else "sim",
        )
        lock = run.lock()
        run.ports.check()
        if run.prepare(keep=keep):
            say(f"removed the last run in {run.directory}; KEEP=1 (--keep) goes on with it")
        result = Loop(run, plan).run()
        lock.close()
        return result

    conclude(run_loop, say)
