"""What is left out of a graph before it is written: checks that a later one makes anyway, and dense copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrain.plan.places import Place, at
from pytrain.plan.values import FINITE, Value, node

if TYPE_CHECKING:
    from collections.abc import Mapping

# A number that is not finite stays so through these, in some column that is kept.
_PASS = {"concat", "cast", "dense", "add", "sub", "mul", "div", "normalize"}
_FULL = {"linear", "project", "distances", "nearest"}
# These compute the same of sparse values, but not "normalize", which leaves tiny rows of dense values as they are.
_SPARSE = {"concat", "select", "mul", "div", "finite", *_FULL}


def simplified(outputs: Mapping[str, Value]) -> dict[str, Value]:
    """Return outputs that compute the same by fewer nodes.

    A `finite` goes if the rows it refuses are refused further on in any case, and a model's own check if it reads only
    numbers that must be finite. So a chain of scalers before a linear model has no check but that model's own, and can
    be folded into it. A `dense` moves to where dense values are needed; importers put one wherever scikit-learn has a
    dense array. What is summed up without it keeps the order of dense sums: setting `fused`.
    """
    order = _order(outputs)
    refused = _refused(order, {value.digest for value in outputs.values()})
    new: dict[bytes, Value] = {}
    for value in order:
        inputs = [new[v.digest] for v in value.inputs]
        if not inputs:
            new[value.digest] = value
            continue
        nan, infinite = refused[value.digest]
        if value.op == "dense" or (value.op == "finite" and infinite and (nan or value.settings["nan"])):
            new[value.digest] = inputs[0]
            continue
        takes_sparse = value.op in _SPARSE or (value.op == "binarize" and value.settings["threshold"] >= 0)
        settings = dict(value.settings)
        with at(Place((value.at,))):
            if not takes_sparse or _repeats(value):
                inputs = [_as(a, b) for a, b in zip(inputs, value.inputs, strict=True)]
            if value.op in _FULL and inputs[0].sparse and not value.inputs[0].sparse:
                settings["fused"] = True
            if "finite" in settings:
                settings["finite"] = settings["finite"] and inputs[0].known < FINITE
            new[value.digest] = node(value.op, inputs, settings, value.tensors)
    return {name: _as(new[value.digest], value) for name, value in outputs.items()}


def _as(new: Value, old: Value) -> Value:
    return new.dense() if new.sparse and not old.sparse else new


def _repeats(value: Value) -> bool:
    columns = value.settings.get("columns", ())
    return value.op == "select" and len(set(columns)) < len(columns)


def _refused(order: list[Value], named: set[bytes]) -> dict[bytes, tuple[bool, bool]]:
    """Return by digest whether a row with NaN, or with an infinity, in the value is refused by what reads it."""
    readers: dict[bytes, list[Value]] = {value.digest: [] for value in order}
    for value in order:
        for read in value.inputs:
            readers[read.digest].append(value)
    refused: dict[bytes, tuple[bool, bool]] = {}
    for value in reversed(order):
        found = [_refuses(reader, refused[reader.digest]) for reader in readers[value.digest]]
        every = value.digest not in named and bool(found)
        refused[value.digest] = (every and all(n for n, _ in found), every and all(i for _, i in found))
    return refused


def _refuses(reader: Value, after: tuple[bool, bool]) -> tuple[bool, bool]:
    nan, infinite = after
    if reader.op == "finite":
        return (nan or not reader.settings["nan"], True)
    if reader.op in _FULL:
        return (True, True) if reader.settings["finite"] else (False, False)
    accepts = reader.settings.get("accepts", "any")
    if accepts != "any":
        return (accepts == "finite", True)
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
