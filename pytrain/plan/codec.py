"""plan.msgpack: writing plans, and reading them strictly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgpack

from pytrain.errors import VersionError
from pytrain.plan import tensors
from pytrain.plan.graph import Plan
from pytrain.plan.listed import restored, stored
from pytrain.plan.operators import Fault
from pytrain.plan.places import Place, at
from pytrain.plan.values import Input, Value, node
from pytrain.store import write_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytrain.plan.tensors import Tensor

PLAN = "plan/plan.msgpack"
_FORMAT = 1
_MOST_BYTES = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REMEDY = "port the model again; a version is never repaired in place"


def encode(plan: Plan, objects: Sequence[Mapping[str, Tensor]]) -> bytes:
    """Return the bytes of plan.msgpack. `objects` are those of each node, by their names."""
    nodes = [
        {
            "op": value.op,
            "in": [plan.numbers[v.digest] for v in value.inputs],
            "set": value.settings,
            "obj": {name: tensor.sha256 for name, tensor in named.items()},
            "at": value.at,
        }
        for value, named in zip(plan.nodes, objects, strict=True)
    ]
    whole = {
        "plan": _FORMAT,
        "inputs": [{"name": v.name, "type": v.type, "width": v.width} for v in plan.inputs],
        "nodes": nodes,
        "outputs": [{"name": name, "value": plan.numbers[v.digest]} for name, v in plan.outputs.items()],
        "labels": list(plan.labels),
        "tolerance": plan.tolerance,
        "source": plan.source,
    }
    data = bytes(msgpack.packb(whole))
    if len(data) > _MOST_BYTES:
        raise Fault(f"the plan is {len(data)} bytes long; at most {_MOST_BYTES} are allowed")
    return data


def write_plan(plan: Plan, directory: Path, objects: Path) -> dict[str, int]:
    """Write a plan into a version's directory, and its parameters among the objects that are not there yet.

    Returns
    -------
    The size in bytes of every object that the plan names, by its sha256: the manifest's `objects`.

    Raises
    ------
    OSError
        The file system refuses.
    """
    named = [stored(value) for value in plan.nodes]
    data = encode(plan, named)
    written: dict[str, int] = {}
    for of_node in named:
        for tensor in of_node.values():
            if tensor.sha256 not in written:
                tensor.write(objects)
                written[tensor.sha256] = tensor.file_bytes
    path = directory / PLAN
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, data)
    return dict(sorted(written.items()))


def read_plan(directory: Path, objects: Path) -> Plan:
    """Read a version's plan and its objects, and check all of it.

    Raises
    ------
    VersionError
        It is absent, damaged, or not as docs/plan-format.md has it.
    """
    path = directory / PLAN
    try:
        data = path.read_bytes()
    except OSError as e:
        raise VersionError(f"cannot be read: {e.strerror or e}", where=str(path), remedy=_REMEDY) from e
    found: dict[str, Tensor] = {}

    def tensor(sha256: str) -> Tensor:
        if sha256 not in found:
            found[sha256] = tensors.read(objects, sha256)
        return found[sha256]

    if len(data) > _MOST_BYTES:
        raise VersionError(f"is {len(data)} bytes long; at most {_MOST_BYTES}", where=str(path), remedy=_REMEDY)
    try:
        return _plan(msgpack.unpackb(data, object_pairs_hook=_once), tensor)
    except (Fault, ValueError, TypeError, msgpack.UnpackException) as e:
        raise VersionError(str(e), where=str(path), remedy=_REMEDY) from e


def _once(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str) or key in result:
            raise Fault(f"the key {key!r} is no text, or there twice")
        result[key] = value
    return result


def _fields(raw: object, what: str, **kinds: Any) -> list[Any]:
    """Return a map's values in the order of `kinds`; every key must be there, of its kind, and no other."""
    if not isinstance(raw, dict) or raw.keys() != kinds.keys():
        keys = sorted(raw) if isinstance(raw, dict) else type(raw).__name__
        raise Fault(f"{what} has {keys} instead of {sorted(kinds)}")
    for key, kind in kinds.items():
        if type(raw[key]) is not kind:
            raise Fault(f"{what}: {key} is {raw[key]!r}")
    return [raw[key] for key in kinds]


def _plan(raw: object, tensor: Any) -> Plan:
    number, inputs, nodes, outputs, labels, tolerance, source = _fields(
        raw, "the plan", plan=int, inputs=list, nodes=list, outputs=list, labels=list, tolerance=float, source=str
    )
    if number != _FORMAT:
        raise Fault(f"is of format {number}, and this reads {_FORMAT}")
    values = [_input(r, f"inputs[{i}]") for i, r in enumerate(inputs)]
    for i, r in enumerate(nodes):
        try:
            values.append(_node(r, values, tensor))
        except Fault as e:
            raise Fault(f"nodes[{i}]: {e}") from e
    named: dict[str, Value] = {}
    for i, r in enumerate(outputs):
        name, value = _fields(r, f"outputs[{i}]", name=str, value=int)
        if name in named or not 0 <= value < len(values):
            raise Fault(f"outputs[{i}]: {name!r} is there twice, or names no value")
        named[name] = values[value]
    return Plan(
        inputs=tuple(values[: len(inputs)]), outputs=named, labels=tuple(labels), tolerance=tolerance, source=source
    )


def _input(raw: object, what: str) -> Value:
    name, kind, width = _fields(raw, what, name=str, type=str, width=int)
    return Input(name, kind, width=width)


def _node(raw: object, values: list[Value], tensor: Any) -> Value:
    kinds = {"op": str, "in": list, "set": dict, "obj": dict, "at": str}
    op, reads, settings, objects, place = _fields(raw, "a node", **kinds)
    if any(type(v) is not int or not 0 <= v < len(values) for v in reads):
        raise Fault(f"{op} reads {reads}, not all of which are before it")
    bad = [sha for sha in objects.values() if not isinstance(sha, str) or not _SHA256.fullmatch(sha)]
    if bad:
        raise Fault(f"{op} names the object {bad[0]!r}")
    parameters: Mapping[str, Tensor] = {name: tensor(sha) for name, sha in objects.items()}
    if reads:
        parameters = restored(op, parameters, values[reads[0]].width)
    with at(Place((place,) if place else ())):
        return node(op, [values[v] for v in reads], settings, parameters)
