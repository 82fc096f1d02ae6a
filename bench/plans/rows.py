"""Single rows and batches of 1,000, a random model and random rows each call, the sides in turns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bench.plans import sides
from bench.plans.converting import converted
from bench.plans.fleets import Fleet
from bench.plans.keys import Found
from bench.plans.sides import Side, SideError
from bench.report import median, number, say, table

BATCH = 1_000
# calls a round, with one row and with batches
CALLS = {"Gavel": (20_000, 40), "scikit-learn": (150, 4), "onnxruntime": (300, 2)}


def run(fleet: Fleet, found: Found, *, rounds: int, onnx: bool = True) -> None:
    """Measure a fleet, with onnxruntime or without."""
    with ExitStack() as stack:
        running = {
            "Gavel": stack.enter_context(sides.gavel("rows", fleet.file)),
            "scikit-learn": stack.enter_context(sides.peer("scikit", "rows", fleet.file)),
        }
        as_onnx = converted(fleet) if onnx else None
        if as_onnx is not None and as_onnx.models:
            side = sides.peer("onnx", "rows", as_onnx.file, python=as_onnx.python)
            running["onnxruntime"] = stack.enter_context(side)
        one = turns({n: asking(s, CALLS[n][0], 1) for n, s in running.items()}, rounds)
        many = turns({n: asking(s, CALLS[n][1], BATCH) for n, s in running.items()}, rounds)
    found.raw[f"rows {fleet.name}"] = {"one": one, "many": many}
    _show(fleet.name, one, many)
    found.values |= {
        f"{fleet.name}_row_vs_sklearn": ratio(one, "scikit-learn"),
        f"{fleet.name}_batch_vs_sklearn": ratio(many, "scikit-learn"),
    }
    if fleet.name == "text" and one.get("onnxruntime"):
        found.values["text_row_vs_onnxruntime"] = ratio(one, "onnxruntime")
    elif fleet.name == "text":
        found.none("onnxruntime did not run: see the log", "text_row_vs_onnxruntime")
    allocations = max(round_["allocations"] for round_ in [*one["Gavel"], *many["Gavel"]])
    found.values["allocations"] = max(found.values.get("allocations", 0), round(allocations, 2))


Asking = Callable[[int], dict[str, Any]]


def asking(side: Side, calls: int, batch: int) -> Asking:
    return lambda seed: side.ask(calls=calls, batch=batch, seed=seed)


def turns(askings: dict[str, Asking], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Measure the sides in turns, after one round that does not count. A side that fails has no rounds from then on."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in askings}
    alive = dict(askings)
    for seed in range(rounds + 1):
        for name, asking in list(alive.items()):
            try:
                answer = asking(seed)
            except SideError as e:
                say(f"{name}: {e}")
                del alive[name]
                found[name] = []
                continue
            if seed:
                found[name].append(answer)
    return found


def ratio(rounds: dict[str, list[dict[str, Any]]], peer: str) -> float:
    """Return the median over rounds of the peer's time by Gavel's."""
    return median([p["row_us"] / g["row_us"] for p, g in zip(rounds[peer], rounds["Gavel"], strict=True)])


def _show(name: str, one: dict[str, list[dict[str, Any]]], many: dict[str, list[dict[str, Any]]]) -> None:
    rows = []
    for side, rounds in one.items():
        if not (rounds and many[side]):
            continue
        figures = [median([r[key] for r in rounds]) for key in ("row_us", "p50_us", "p99_us")]
        figures.append(median([r["row_us"] for r in many[side]]))
        rows.append([side, *map(number, figures), number(ratio(one, side)), number(ratio(many, side))])
    columns = ["", "one row µs", "p50", "p99", f"a row of {BATCH:,} µs", "one row ÷", "batch ÷"]
    table(f"{name}: time a row", columns, rows)
