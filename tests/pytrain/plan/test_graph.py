from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
import pytest

from pytrain.errors import Refusal, VersionError
from pytrain.plan import Input, Inputs, Plan, Tensor, Value, concat, mean, node, read_plan, tensors, write_plan
from pytrain.plan.operators import Fault
from pytrain.plan.places import Place
from pytrain.plan.registry import convert

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def x(width: int = 3) -> Value:
    return Inputs([f"c{i}" for i in range(width)], together=True).value()


def plan_of(value: Value, **options: Any) -> Plan:
    return Plan(inputs=(x(),), outputs={"value": value}, **options)


def test_values_are_chained_and_checked() -> None:
    value = x().sub([1, 2, 3]).div(2).linear(np.ones((2, 3)), [0, 1])
    assert (value.op, value.type, value.width, value.sparse) == ("linear", "float64", 2, False)
    with pytest.raises(Fault, match="value has 3 values for 2"):
        node("sub", [value], tensors={"value": np.zeros(3)})
    with pytest.raises(Fault, match="has no setting 'speed'"):
        node("argmax", [value], {"speed": 1})
    with pytest.raises(Fault, match="lacks the object 'coef'"):
        node("linear", [value], {}, {"intercept": np.zeros(1)})
    with pytest.raises(Fault, match="'magic' is no operator"):
        node("magic", [value])


def test_what_must_be_whole_is_not_cut_off() -> None:
    made: list[Callable[[], Value]] = [
        lambda: x(1).expand([2.5]),  # type: ignore[list-item] # that is the fault
        lambda: x(1).expand([2.0]),  # type: ignore[list-item]
        lambda: x(2).select([1.5]),  # type: ignore[list-item]
        lambda: x(2).select([True, False]),
        lambda: x(1).polynomial(np.array([[0.5]])),
    ]
    for make in made:
        with pytest.raises(Fault, match="no integer"):
            make()
    assert x(1).expand([3]).width == 3


def test_equal_nodes_are_written_once() -> None:
    def scaled() -> Value:
        return x().sub([1, 2, 3])

    plan = plan_of(concat([scaled().div(2), scaled().div(4), scaled().div(2)]))
    assert [v.op for v in plan.nodes] == ["sub", "div", "div", "concat"]
    assert len(plan.nodes[-1].inputs) == 3


def test_select_and_concat_need_no_nodes_where_nothing_changes() -> None:
    value = x(4)
    assert value.select([0, 1, 2, 3]) is value
    assert value.select([3, 1]).select([1]).settings == {"columns": (1,)}
    assert concat(value.columns()) is value
    assert concat([value]) is value
    assert len(concat([concat([value.sub(1), value.sub(2)]), value.sub(3)]).inputs) == 3
    wide = concat([value.sub(i) for i in range(3000)])
    assert wide.width == 12000
    assert len(wide.inputs) == 3


def test_open_columns_become_what_reads_them() -> None:
    inputs = Inputs(["age", "city", "unused"])
    columns = inputs.value()
    assert columns.select([0]).numbers().type == "float64"
    assert columns.select([1]).texts().type == "text"
    assert [(v.name, v.type) for v in inputs.used()] == [("age", "float64"), ("city", "text")]
    with pytest.raises(Refusal, match="'city' as numbers"):
        columns.numbers()


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    value = mean([x().select([2, 0]).linear(np.eye(2), 0).link("softmax"), x().select([1, 0]).clip(-1, 1)])
    plan = plan_of(value, labels=("a", "b"), tolerance=1e-12, source="a test")
    written = write_plan(plan, tmp_path / "1", tmp_path / "objects")
    assert {p.name for p in (tmp_path / "objects").glob("[0-9a-f]*")} == set(written)
    read = read_plan(tmp_path / "1", tmp_path / "objects")
    assert [v.digest for v in read.nodes] == [v.digest for v in plan.nodes]
    assert (read.labels, read.tolerance, read.source) == (plan.labels, plan.tolerance, plan.source)


def test_a_plan_that_the_bidder_would_refuse_is_refused() -> None:
    def f(message: str, **options: Any) -> None:
        given = {"inputs": (x(),), "outputs": {"value": x().add(1)}} | options
        with pytest.raises(Fault, match=message):
            Plan(**given)

    f("from 1 to 4096 are allowed", inputs=())
    f("a plan has no outputs", outputs={})
    f("the name '' of an input or output", outputs={"": x().add(1)})
    f("has the tolerance 0.001", tolerance=1e-3)
    f("not all texts, all integers or all floats", labels=("a", 1))
    f("has 2 labels, and 3 columns of probability", outputs={"probability": x().add(1)}, labels=("a", "b"))
    for kind, width in (("float", 1), ("float64", 0), ("text", 2)):
        with pytest.raises(Fault, match=f"the input 'age' is '{kind}' of width {width}"):
            Input("age", kind, width=width)


FAULTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "an unknown key": lambda p: p | {"more": 1},
    "a missing key": lambda p: {k: v for k, v in p.items() if k != "labels"},
    "another format": lambda p: p | {"plan": 2},
    "another tolerance": lambda p: p | {"tolerance": 0.1},
    "a cycle": lambda p: p | {"nodes": [n | {"in": [2]} for n in p["nodes"]]},
    "an unknown operator": lambda p: p | {"nodes": [n | {"op": "magic"} for n in p["nodes"]]},
    "a boolean for a number": lambda p: p | {"nodes": [n | {"in": [False]} for n in p["nodes"]]},
    "a list for a map": lambda p: p | {"nodes": [n | {"set": []} for n in p["nodes"]]},
    "a short name": lambda p: p | {"nodes": [n | {"obj": {"value": "ab"}} for n in p["nodes"]]},
    "an absent object": lambda p: p | {"nodes": [n | {"obj": {"value": "0" * 64}} for n in p["nodes"]]},
    "a text of several columns": lambda p: p | {"inputs": [{"name": "x", "type": "text", "width": 3}]},
    "an output of nothing": lambda p: p | {"outputs": [{"name": "value", "value": 9}]},
    "no outputs": lambda p: p | {"outputs": []},
    "a width that does not fit": lambda p: p | {"inputs": [{"name": "x", "type": "float64", "width": 2}]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused(tmp_path: Path, fault: str) -> None:
    write_plan(plan_of(x().sub([1, 2, 3])), tmp_path, tmp_path / "objects")
    path = tmp_path / "plan" / "plan.msgpack"
    path.write_bytes(msgpack.packb(FAULTS[fault](msgpack.unpackb(path.read_bytes()))))
    with pytest.raises(VersionError):
        read_plan(tmp_path, tmp_path / "objects")


def test_repeated_keys_are_refused(tmp_path: Path) -> None:
    write_plan(plan_of(x().sub([1, 2, 3])), tmp_path, tmp_path / "objects")
    path = tmp_path / "plan" / "plan.msgpack"
    path.write_bytes(b"\x88" + path.read_bytes()[1:] + b"\xa4plan\x01")
    with pytest.raises(VersionError, match="twice"):
        read_plan(tmp_path, tmp_path / "objects")


def test_objects() -> None:
    tensor = Tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    data = tensor.encode()
    assert len(data) == 64 + 24
    assert data[:24] == b"GAVELOBJ" + bytes([1, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(tensors.decode(data, where="t").array, tensor.array)
    for damaged in (data[:-1], data + b"\0", b"X" + data[1:], data[:20] + b"\1" + data[21:], data[:40]):
        with pytest.raises(VersionError):
            tensors.decode(damaged, where="t")
    with pytest.raises(ValueError, match="no object holds"):
        Tensor(np.zeros(3, bool))


def test_a_damaged_object_is_refused(tmp_path: Path) -> None:
    path = Tensor(np.zeros(3)).write(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(VersionError, match="another sha256"):
        tensors.read(tmp_path, path.name)


def test_what_has_no_importer_is_refused_by_name() -> None:
    with pytest.raises(Refusal, match=r"steps\[1\] odd: object: no plan can express builtins.object"):
        convert(object(), x(), Place().child("steps[1] odd", object()))
