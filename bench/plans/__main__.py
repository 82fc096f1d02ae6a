"""`python -m bench.plans`: the experiments, a table, and one JSON object as the last line of stdout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bench.plans import (
    caches,
    conversion,
    correct,
    fleets,
    isolation,
    load,
    memory,
    off,
    rows,
    served,
    shared,
    systems,
    trees,
)
from bench.plans.data import Rows
from bench.plans.fleets import Fleet, Size
from bench.plans.keys import Found
from bench.plans.pace import Pace
from bench.plans.sides import build_driver
from bench.report import finish, say

SMALL = Size(chars=1, words=2, tables=6)
MODEST = Size(chars=2, words=5, tables=50)
Part = Callable[[], None]


def main(
    data: Annotated[
        Path | None, typer.Option(help="Directory of sst_binary, adult, abalone, trees. Without it rows are made.")
    ] = None,
    only: Annotated[str, typer.Option(help="Parts to run, as correct,memory.", envvar="ONLY")] = "",
    size: Annotated[str, typer.Option(help="full: 250 pipelines of each kind; modest: 50; small: 10 and 6.")] = "",
    rounds: Annotated[int, typer.Option(help="How often each side is measured.")] = 5,
) -> None:
    """Run the experiments of the PRETZEL paper on plans, scikit-learn, onnxruntime and others, side by side."""
    found, sets, made = Found(), dict[str, Rows](), dict[str, Fleet]()
    peers = data is not None  # their environments are fetched for real data only, or where a part is about them
    parts: dict[str, Part] = {
        "correct": lambda: correct.run(sets, made, data, found),
        "memory": lambda: memory.run(made, found, rounds=rounds, onnx=peers),
        "text": lambda: rows.run(made["text"], found, rounds=rounds, onnx=peers),
        "tabular": lambda: rows.run(made["tabular"], found, rounds=rounds, onnx=peers),
        "onnx": lambda: conversion.run(made, found),
        "trees": lambda: trees.run(found, rounds=rounds),
        "shared": lambda: shared.run(made, found, rounds=rounds),
        "off": lambda: off.run(made, found, rounds=rounds),
        "caches": lambda: caches.run(made, found, rounds=rounds),
        "load": lambda: load.run(made, found),
        "deepfm": lambda: systems.deepfm(found),
        "auction": lambda: systems.auction(found),
        "isolation": lambda: isolation.run(made["tabular"], found, rounds=rounds),
        "http": lambda: served.run(made, found, rounds=rounds),
    }
    chosen = [name for name in only.split(",") if name] or list(parts)
    if unknown := set(chosen) - parts.keys():
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: the parts are {', '.join(parts)}", param_hint="--only")
    sizes = {"full": Size(), "modest": MODEST, "small": SMALL, "": SMALL if data is None else Size()}
    if size not in sizes:
        raise typer.BadParameter("it is full, modest or small", param_hint="--size")
    os.environ.setdefault("BENCH_FLAGS", "")
    build_driver(tensorflow="deepfm" in chosen)

    def prepare() -> None:
        some_sets, some_fleets = fleets.prepare(data, sizes[size], ("text", "tabular"))
        sets.update(some_sets)
        made.update(some_fleets)

    pace = Pace({"prepare": prepare} | {name: parts[name] for name in parts if name in chosen})
    try:
        pace.run()
    except KeyboardInterrupt:
        say("interrupted; the parts that were run are told and kept")
    found.raw["seconds"] = pace.seconds
    found.show()
    targets = found.targets() if sizes[size] == Size() else []  # fewer pipelines share less
    raise typer.Exit(finish("plans", found.figures(), targets, raw=found.raw))


if __name__ == "__main__":
    typer.run(main)
