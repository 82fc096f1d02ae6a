"""What each of the engine's means gives: the time with all of them by the time with one switched off."""

from __future__ import annotations

from typing import Any

from bench.plans import sides
from bench.plans.fleets import Fleet
from bench.plans.keys import Found
from bench.plans.rows import Asking, asking, turns
from bench.plans.sides import Side
from bench.report import median, number, say, table

RULES = (
    *("merge equal", "join concats", "drop a concat of one", "join selects", "drop a select of all"),
    *(
        "select from parts",
        "take apart",
        "split by concat",
        "read sparse",
        "read numbers",
        "fold numbers",
        "fold linear",
    ),
    "join narrow parts",
)
CALLS, SOME = 4_000, 40  # calls a round; models of the fleet, evenly chosen


def run(made: dict[str, Fleet], found: Found, *, rounds: int) -> None:
    """Measure calls of one row, with each in turn switched off."""
    for fleet in made.values():
        models = fleet.models[:: max(1, len(fleet.models) // SOME)]
        options: dict[str, dict[str, Any]] = {"all on": {}, "no rewriting": {"as_written": True}}
        options |= {f"without {rule!r}": {"without": rule} for rule in RULES}
        running = {
            name: sides.gavel("rows", fleet.variant(f"off{i}", models=models, options=settings))
            for i, (name, settings) in enumerate(options.items())
        }
        askings = {name: asking(side, CALLS, 1) for name, side in running.items()}
        askings["a batch made for each call"] = _fresh(running["all on"])
        try:
            measured = turns(askings, rounds)
        finally:
            for side in running.values():
                side.close()
        _show(f"{fleet.name}: one row with one means switched off", measured, "all on", found)
    found.raw["cold"] = _lazily(made)
    _results(made["text"], found, rounds)


def _fresh(side: Side) -> Asking:
    return lambda seed: side.ask(calls=CALLS, batch=1, seed=seed, fresh=True)


def _results(fleet: Fleet, found: Found, rounds: int) -> None:
    """One text to all models, a call each: with results of stages kept between calls, and without."""
    files = {
        "results kept": fleet.variant("kept", options={"stage_cache": 64 << 20}),
        "computed each time": fleet.file,
    }
    running = {name: sides.gavel("rows", file) for name, file in files.items()}
    calls = 20 * len(fleet.models)

    def same(side: Side) -> Asking:
        return lambda seed: side.ask(calls=calls, batch=1, seed=seed, same=True)

    measured = turns({name: same(side) for name, side in running.items()}, rounds)
    for side in running.values():
        side.close()
    _show(f"{fleet.name}: one text to all models, a call each", measured, "results kept", found)


def _lazily(made: dict[str, Fleet]) -> dict[str, Any]:
    """First calls with the objects mapped ahead, and with pages that the first call maps."""
    cold: dict[str, Any] = {}
    for fleet in made.values():
        cold[fleet.name] = {}
        for name, file in (
            ("mapped ahead", fleet.file),
            ("mapped by calls", fleet.variant("lazily", options={"lazily": True})),
        ):
            with sides.gavel("load", file) as side:
                cold[fleet.name][name] = side.answer()["cold"]
        figures = {n: f"p50 {c['p50_us']:.0f} µs, p99 {c['p99_us']:.0f}" for n, c in cold[fleet.name].items()}
        say(f"{fleet.name}: first calls {figures}")
    return cold


def _show(title: str, measured: dict[str, list[dict[str, Any]]], base: str, found: Found) -> None:
    rows = []
    for name, rounds in measured.items():
        ratios = [r["row_us"] / b["row_us"] for r, b in zip(rounds, measured[base], strict=True)]
        rows.append([name, number(median([r["row_us"] for r in rounds])), f"{median(ratios):.2f}"])
    table(title, ["", "µs a row", f"÷ {base}"], rows)
    found.raw[title] = {name: (float(us), float(ratio)) for name, us, ratio in rows}
