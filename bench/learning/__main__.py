"""`make bench-learning`: the shipped recipes against the hidden truth, or on a real log (DATA=DIR).

The exchange's world writes examples, with the hidden click model's own probabilities, through the encoder that serves.
Each recipe learns them progressively: it predicts a batch, then learns it. FTRL-proximal in NumPy and scikit-learn's
LogisticRegression, refitted at intervals, get the same rows. The last line of stdout is one JSON object.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bench.learning import log_run, world_run
from scripts.loop.settings import ROOT

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    rows: Annotated[int, typer.Option(min=1000, help="Impressions to learn from, of each seed.")] = 400_000,
    seeds: Annotated[int, typer.Option(min=1, help="Worlds; medians over them are reported.")] = 3,
    data: Annotated[Path | None, typer.Option(help="A log's directory, in place of the simulated world.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the picture there too.")] = None,
    directory: Annotated[Path, typer.Option(help="Where examples and the picture lie.")] = ROOT / "var/bench/learning",
) -> None:
    """Measure and report."""
    if data:
        raise typer.Exit(log_run.run(data, rows=rows, directory=directory))
    raise typer.Exit(world_run.run(rows=rows, seeds=seeds, directory=directory, plot=plot))


if __name__ == "__main__":
    app()
