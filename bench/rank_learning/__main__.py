"""`make bench-rank-learning`: a ranking's classifiers against a hidden truth, and on TalkingData's log (DATA=DIR).

24 campaigns with rates of sales from 1e-5 to 1e-3 are learnt by the trainer `prior`, and one by one by `scikit-learn`.
What they find of the learnable gain in log loss is compared. A fleet of campaigns with new data tells how many
classifiers a minute are retrained. All of it goes through data sets, `pytrain rank train` and classifier files. The
last line of stdout is one JSON object.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench.rank_learning import fleet, rare, talkingdata
from bench.rank_learning.plot import draw
from bench.report import Target, finish, median, number, say, table
from scripts.loop.settings import ROOT

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    rows: Annotated[
        int, typer.Option(min=1000, help="Rows of each of the 24 campaigns. With 100,000, the rarest sells once.")
    ] = 100_000,
    seeds: Annotated[int, typer.Option(min=0, help="Worlds; medians are reported. 0: leave this part out.")] = 3,
    campaigns: Annotated[int, typer.Option(min=0, help="Campaigns of the fleet. 0: leave this part out.")] = 300,
    fleet_rows: Annotated[int, typer.Option(min=20, help="Rows of each campaign of the fleet.")] = 10_000,
    data: Annotated[
        Path | None, typer.Option(help="The directory of TalkingData's train_sample.csv, or above.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    plot: Annotated[Path | None, typer.Option(help="Write the picture there too.")] = None,
    directory: Annotated[Path, typer.Option(help="Where data sets and classifiers lie.")] = ROOT / "var/bench/rank",
) -> None:
    """Measure and report."""
    figures: dict[str, Any] = {}
    targets: list[Target] = []
    if seeds:
        _rare(rows, seeds, jobs, directory, plot, figures, targets)
    if data is not None:
        _talkingdata(data, jobs, directory, figures, targets)
    if campaigns:
        found = fleet.run(campaigns=campaigns, rows=fleet_rows, directory=directory / "fleet", jobs=jobs)
        figures |= {"retrained_per_minute": found.a_minute, "fleet": found.__dict__, "jobs": jobs}
        targets.append(Target("retrained_per_minute", found.a_minute))
    raise typer.Exit(finish("rank-learning", figures, targets))


def _rare(
    rows: int,
    seeds: int,
    jobs: int,
    directory: Path,
    plot: Path | None,
    figures: dict[str, Any],
    targets: list[Target],
) -> None:
    worlds = [rare.run(seed=seed, rows=rows, directory=directory / "rare", jobs=jobs) for seed in range(1, seeds + 1)]
    runs = {name: [world[name] for world in worlds] for name in worlds[0]}
    lines = []
    for name, found in runs.items():
        shares = " ".join(f"{f.share:.3f}" for f in found)
        lines.append([name, shares, f"{median([f.share for f in found]):.3f}", f"{_calibration(found):.3f}"])
    table(
        f"{rare.CAMPAIGNS} campaigns of {rows:,} rows, rates 1e-5 to 1e-3: share of the learnable gain in log loss",
        ["trainer", "by world", "median", "predicted / expected"],
        lines,
    )
    ours, theirs = (median([f.share for f in runs[name]]) for name in ("prior", "independent"))
    ratio = ours / theirs if theirs > 0 else float("inf")
    picture = directory.parent / "rank-learning.png"
    draw(picture, np.geomspace(*rare.RATES, rare.CAMPAIGNS).tolist(), runs)
    say(f"picture: {picture}")
    if plot:
        shutil.copyfile(picture, plot)
    figures |= {
        "rare_gain_ratio": ratio if np.isfinite(ratio) else None,  # None: independent fits gain nothing
        "rare_gain": {name: [f.share for f in found] for name, found in runs.items()},
        "rare_calibration": _calibration(runs["prior"]),
        "rows": rows,
        "seeds": seeds,
    }
    targets += [
        Target("rare_gain_ratio", min(ratio, 1e9), 2),
        Target("rare_calibration", _calibration(runs["prior"]), 0.9),
        Target("rare_calibration_above", _calibration(runs["prior"]), 1.1, least=False),
    ]


def _calibration(found: list[rare.Found]) -> float:
    return median([f.calibration for f in found])


def _talkingdata(data: Path, jobs: int, directory: Path, figures: dict[str, Any], targets: list[Target]) -> None:
    found = talkingdata.run(data, directory=directory / "talkingdata", jobs=jobs)
    keys = ("log_loss", "auc", "calibration", "balanced_accuracy")
    lines = [[name, *(f"{f[k]:.5f}" if k in f else "–" for k in keys)] for name, f in found.items()]
    table("TalkingData, last 30 % by time", ["learner", *(k.replace("_", " ") for k in keys)], lines)
    ratio = found["prior"]["log_loss"] / found["plain scikit-learn an app"]["log_loss"]
    balanced = found["prior"]["balanced_accuracy"]
    say(f"log loss against plain scikit-learn's: {number(ratio)}")
    figures |= {
        "talkingdata_logloss_ratio": ratio,
        "talkingdata_balanced_accuracy": balanced,
        "talkingdata": found,
    }
    targets += [
        Target("talkingdata_logloss_ratio", ratio, 0.95, least=False),
        Target("talkingdata_balanced_accuracy", balanced, 0.9),
    ]


if __name__ == "__main__":
    app()
