"""Memory and time of loading, first calls against later ones, and a second process on the same store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgpack

from bench.plans import sides
from bench.plans.converting import converted
from bench.plans.fleets import Fleet
from bench.plans.keys import Found
from bench.plans.sides import Side, SideError
from bench.report import median, say, table


def run(made: dict[str, Fleet], found: Found, *, rounds: int, onnx: bool = True) -> None:
    """Load each fleet in each side, one process at a time; in onnxruntime too, or not.

    Gavel and scikit-learn load in turns, so often as there are rounds: a load takes a fraction of a second, in which
    other work on the machine can double it.
    """
    raw: dict[str, Any] = {}
    loads: dict[str, list[float]] = {}
    for fleet in made.values():
        raw[fleet.name], loads[fleet.name] = _in_turns(fleet, rounds)
        with Apart(fleet) as file:
            raw[fleet.name]["Gavel, no object store"] = _once(sides.gavel("load", file))
        as_onnx = converted(fleet) if onnx else None
        if as_onnx is not None and as_onnx.models:
            try:
                side = sides.peer("onnx", "load", as_onnx.file, python=as_onnx.python)
                raw[fleet.name]["onnxruntime"] = _once(side)
            except SideError as e:
                raw[fleet.name]["onnxruntime"] = {"error": str(e)}
        _show(fleet, raw[fleet.name])
    found.raw["memory"] = raw
    text = raw["text"]
    ours, theirs = text["Gavel"], text["scikit-learn"]
    found.values |= {
        "memory_vs_sklearn": ours["called"]["pss_kb"] / theirs["called"]["pss_kb"],
        "load_vs_sklearn": median(loads["text"]),
        "second_process_share": ours["second_private_kb"] / ours["called"]["pss_kb"],
        "cold_vs_hot_p99": ours["cold"]["p99_us"] / ours["hot"]["p99_us"],
    }


def _in_turns(fleet: Fleet, rounds: int) -> tuple[dict[str, dict[str, Any]], list[float]]:
    """Return the first round's figures, with the median times of loads, and Gavel's share of time in each round."""
    ours, theirs = [_gavel(fleet)], [_once(sides.peer("scikit", "load", fleet.file))]
    for _ in range(rounds - 1):
        ours.append(_once(sides.gavel("load", fleet.file)))
        theirs.append(_once(sides.peer("scikit", "load", fleet.file)))
    found = {}
    for name, answers in (("Gavel", ours), ("scikit-learn", theirs)):
        seconds = [answer["seconds"] for answer in answers]
        found[name] = answers[0] | {"seconds": median(seconds), "loads": seconds}
    return found, [a["seconds"] / b["seconds"] for a, b in zip(ours, theirs, strict=True)]


def _once(side: Side) -> dict[str, Any]:
    with side:
        return side.answer()


def _gavel(fleet: Fleet) -> dict[str, Any]:
    """Load the fleet, then again in a second process beside the first."""
    with sides.gavel("load", fleet.file) as first:
        found = first.answer()
        with sides.gavel("load", fleet.file) as second:
            found["second_private_kb"] = second.answer()["called"]["private_kb"]
            found["second"] = second.ask()
    return found


class Apart:
    """A copy of the fleet whose models have objects of their own: what the object store saves."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._home = fleet, fleet.directory / "apart"

    def __enter__(self) -> Path:
        store = self._fleet.directory / "store"
        for model, _ in self._fleet.models:
            to = self._home / model
            shutil.copytree(store / model, to, dirs_exist_ok=True)
            (to / "objects").mkdir(exist_ok=True)
            plan = msgpack.unpackb((to / "1/plan/plan.msgpack").read_bytes())
            for sha256 in {sum_ for node in plan["nodes"] for sum_ in node["obj"].values()}:
                shutil.copyfile(store / "objects" / sha256, to / "objects" / sha256)
        return self._fleet.variant("apart", store=str(self._home), apart=True)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._home, ignore_errors=True)


def _show(fleet: Fleet, found: dict[str, Any]) -> None:
    rows = []
    for side, f in found.items():
        if "error" in f:
            say(f"{fleet.name}: {side}: {f['error']}")
            continue
        mb = [f"{f[when]['pss_kb'] / 1024:,.0f}" for when in ("before", "loaded", "called")]
        times = [f"{f['cold'][k]:,.0f}" for k in ("p50_us", "p99_us", "worst_us")] + [
            f"{f['hot'][k]:,.0f}" for k in ("p50_us", "p99_us")
        ]
        rows.append([side, str(f["models"]), f"{f['seconds']:.2f}", *mb, *times])
    columns = ["", "models", "load s", "MB before", "loaded", "called", "cold p50 µs", "p99", "worst", "hot p50", "p99"]
    table(f"{fleet.name}: memory (PSS) and first calls", columns, rows)
