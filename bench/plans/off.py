"""What each of the engine's means gives: the time with one switched off by the time with all of them.

Variants take turns within one process (driver/paired.go), since two processes differ by more than most rules give. "all
on, again" is a control: what it differs from 1 by is noise. A rule that changes no model of a fleet is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.plans import sides
from bench.plans.fleets import Fleet
from bench.plans.keys import Found
from bench.plans.rows import Asking, turns
from bench.plans.sides import Side
from bench.report import median, number, say, table

RULES = (
    "merge equal", "join concats", "drop a concat of one", "join selects", "drop a select of all", "select from parts",
    "take apart", "split by concat", "read sparse", "read numbers", "fold numbers", "fold linear", "join narrow parts",
)  # fmt: skip
AGAIN, AS_WRITTEN, FRESH = "all on, again", "no rewriting", "a batch made for each call"
SOME = 40  # models of a fleet, evenly chosen
CALLS, BURSTS = 40, 800  # in a burst, in a round
TEXTS = 400  # that all models are asked in a round; with 20, a round took 20 ms, and other work decided


def run(made: dict[str, Fleet], found: Found, *, rounds: int) -> None:
    """Measure calls of one row with each of the means off, then first calls and results of stages."""
    found.raw["off"] = {fleet.name: _variants(fleet, rounds) for fleet in made.values()}
    found.raw["cold"] = _lazily(made)
    _results(made["text"], found, rounds)


def _variants(fleet: Fleet, rounds: int) -> list[dict[str, Any]]:
    """Return each variant's medians over the rounds."""
    options: dict[str, dict[str, Any]] = {"all on": {}, AGAIN: {}, AS_WRITTEN: {"as_written": True}}
    options |= {f"without {rule!r}": {"without": rule} for rule in RULES}
    variants: list[dict[str, Any]] = [{"name": name, "options": o} for name, o in options.items()]
    variants.append({"name": FRESH, "fresh": True})
    models = fleet.models[:: max(1, len(fleet.models) // SOME)][:SOME]
    with sides.gavel("paired", fleet.variant("off", models=models, variants=variants)) as side:
        answers = [side.ask(bursts=BURSTS, calls=CALLS, seed=seed)["variants"] for seed in range(rounds + 1)][1:]
    merged = []
    for of in zip(*answers, strict=True):
        keys = ("row_us", "base_row_us", "ratio", "low", "high")
        merged.append({**of[0], "of": len(models), **{key: median([v[key] for v in of]) for key in keys}})
    kept = [v for v in merged if v["models"]]
    rows = [
        [v["name"], f"{v['models']} of {v['of']}", number(v["row_us"]), f"{v['ratio']:.3f}", spread(v)] for v in kept
    ]
    table(f"{fleet.name}: one row, with one means off", ["", "models", "µs a row", "×", "half of the pairs"], rows)
    if idle := [v["name"] for v in merged if not v["models"]]:
        say(f"{fleet.name}: no model is compiled otherwise {', '.join(idle)}")
    return merged


def spread(v: dict[str, Any]) -> str:
    """Return between what half of the ratios are."""
    return f"{v['low']:.2f} to {v['high']:.2f}"


def _results(fleet: Fleet, found: Found, rounds: int) -> None:
    """One text to all models, a call each: with results of stages kept between calls, and without."""
    files = {
        "results kept": fleet.variant("kept", options={"stage_cache": 64 << 20}),
        "computed each time": fleet.file,
    }
    running = {name: sides.gavel("rows", file) for name, file in files.items()}
    calls = TEXTS * len(fleet.models)

    def same(side: Side) -> Asking:
        return lambda seed: side.ask(calls=calls, batch=1, seed=seed, same=True)

    measured = turns({name: same(side) for name, side in running.items()}, rounds)
    for side in running.values():
        side.close()
    base = measured["results kept"]
    found.raw["results"] = {
        name: {
            "row_us": median([r["row_us"] for r in of]),
            "ratio": median([r["row_us"] / b["row_us"] for r, b in zip(of, base, strict=True)]),
        }
        for name, of in measured.items()
    }
    rows = [[name, number(r["row_us"]), f"{r['ratio']:.2f}"] for name, r in found.raw["results"].items()]
    table(f"{fleet.name}: one text to all models, a call each", ["", "µs a row", "×"], rows)


def _lazily(made: dict[str, Fleet]) -> dict[str, Any]:
    """First calls with the objects mapped ahead, and with pages that the first call maps."""
    cold: dict[str, Any] = {}
    for fleet in made.values():
        cold[fleet.name] = {}
        files: dict[str, Path] = {
            "mapped ahead": fleet.file,
            "mapped by calls": fleet.variant("lazily", options={"lazily": True}),
        }
        for name, file in files.items():
            with sides.gavel("load", file) as side:
                cold[fleet.name][name] = side.answer()["cold"]
        figures = {n: f"p50 {c['p50_us']:.0f} µs, p99 {c['p99_us']:.0f}" for n, c in cold[fleet.name].items()}
        say(f"{fleet.name}: first calls {json.dumps(figures, ensure_ascii=False)}")
    return cold
