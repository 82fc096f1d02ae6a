"""`python -m bench.plans`: the experiments, a table, and one JSON object as the last line of stdout."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bench.plans import correct, fleets, isolation, load, memory, off, rows, shared, systems, trees
from bench.plans.fleets import Size
from bench.plans.keys import Found
from bench.plans.sides import build_driver
from bench.report import finish, say

SMALL = Size(chars=1, words=2, tables=6)
MODEST = Size(chars=2, words=5, tables=50)
Part = Callable[..., None]


def main(
    data: Annotated[
        Path | None, typer.Option(help="Directory of sst_binary, adult, abalone, trees. Without it rows are made.")
    ] = None,
    only: Annotated[str, typer.Option(help="Parts to run, as correct,memory.", envvar="ONLY")] = "",
    size: Annotated[str, typer.Option(help="full: 250 pipelines of each kind; modest: 50; small: 10 and 6.")] = "",
    rounds: Annotated[int, typer.Option(help="How often each side is measured.")] = 5,
) -> None:
    """Run the experiments of the PRETZEL paper on plans, scikit-learn, onnxruntime and others, side by side."""
    parts: dict[str, Part] = {
        "correct": lambda: correct.run(sets, made, data, found),
        "memory": lambda: memory.run(made, found),
        "text": lambda: rows.run(made["text"], found, rounds=rounds),
        "tabular": lambda: rows.run(made["tabular"], found, rounds=rounds),
        "trees": lambda: trees.run(found, rounds=rounds),
        "shared": lambda: shared.run(made, found, rounds=rounds),
        "off": lambda: off.run(made, found, rounds=rounds),
        "load": lambda: load.run(made, found),
        "deepfm": lambda: systems.deepfm(found),
        "auction": lambda: systems.auction(found),
        "isolation": lambda: isolation.run(made["tabular"], found, rounds=rounds),
    }
    chosen = [name for name in only.split(",") if name] or list(parts)
    if unknown := set(chosen) - parts.keys():
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: the parts are {', '.join(parts)}", param_hint="--only")
    sizes = {"full": Size(), "modest": MODEST, "small": SMALL, "": SMALL if data is None else Size()}
    if size not in sizes:
        raise typer.BadParameter("it is full, modest or small", param_hint="--size")
    os.environ.setdefault("BENCH_FLAGS", "")
    found = Found()
    build_driver(tensorflow="deepfm" in chosen)
    sets, made = fleets.prepare(data, sizes[size], ("text", "tabular"))
    for name in chosen:
        began = time.monotonic()
        parts[name]()
        say(f"{name}: {time.monotonic() - began:.0f} s")
    found.show()
    targets = found.targets() if sizes[size] == Size() else []  # fewer pipelines share less
    raise typer.Exit(finish("plans", found.figures(), targets, raw=found.raw))


if __name__ == "__main__":
    typer.run(main)
