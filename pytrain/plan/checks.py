"""Leaving out checks that a later one makes anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrain.plan.graph import FINITE, Value, node
from pytrain.plan.places import Place, at

if TYPE_CHECKING:
    from collections.abc import Mapping

# A number that is not finite stays so through these, in some column that is kept.
_PASS = {"concat", "dense", "add", "sub", "mul", "div", "normalize"}
_FULL = {"linear", "project", "distances", "nearest"}


def without_needless_checks(outputs: Mapping[str, Value]) -> dict[str, Value]:
    """Return the same outputs without the checks that another makes anyway.

    A `finite` goes if the rows it refuses are refused further on in any case, a model's own check if it reads only
    numbers that must be finite.

    So a chain of scalers before a linear model has no check but that model's own, and can be folded into it.
    """
    order = _order(outputs)
    readers: dict[bytes, list[Value]] = {value.digest: [] for value in order}
    for value in order:
        for read in value.inputs:
            readers[read.digest].append(value)
    named = {value.digest for value in outputs.values()}
    # Whether a row with NaN, or with an infinity, in the value is refused by what reads it.
    refused: dict[bytes, tuple[bool, bool]] = {}
    for value in reversed(order):
        found = [_refuses(reader, refused[reader.digest]) for reader in readers[value.digest]]
        every = value.digest not in named and bool(found)
        refused[value.digest] = (every and all(n for n, _ in found), every and all(i for _, i in found))
    new: dict[bytes, Value] = {}
    for value in order:
        inputs = [new[v.digest] for v in value.inputs]
        nan, infinite = refused[value.digest]
        if value.op == "finite" and infinite and (nan or value.settings["nan"]):
            new[value.digest] = inputs[0]
        elif inputs:
            settings = dict(value.settings)
            if "finite" in settings:
                settings["finite"] = settings["finite"] and inputs[0].known < FINITE
            with at(Place((value.at,))):
                new[value.digest] = node(value.op, inputs, settings, value.tensors)
        else:
            new[value.digest] = value
    return {name: new[value.digest] for name, value in outputs.items()}


def _refuses(reader: Value, after: tuple[bool, bool]) -> tuple[bool, bool]:
    nan, infinite = after
    if reader.op == "finite":
        return (nan or not reader.settings["nan"], True)
    if reader.op in _FULL:
        return (True, True) if reader.settings["finite"] else (False, False)
    if reader.op in _PASS:
        return (nan, infinite)
    if reader.op == "impute":
        return (False, infinite)
    return (False, False)


def _order(outputs: Mapping[str, Value]) -> list[Value]:
    """Return all distinct values, each after those it reads."""
    order: dict[bytes, Value] = {}
    stack = list(outputs.values())
    while stack:
        top = stack[-1]
        waiting = [v for v in top.inputs if v.digest not in order]
        if top.digest in order or not waiting:
            order.setdefault(top.digest, top)
            stack.pop()
        else:
            stack += waiting
    return list(order.values())
