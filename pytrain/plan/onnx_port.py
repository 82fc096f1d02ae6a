"""An ONNX model as a plan.

Its operators are those of FAMILIES. What differs from onnxruntime is the order in which sums are
added (MatMul, LinearClassifier, norms) and the last place of exp: the plan computes both in float64, and rounds to
float32. That is within the rounding of onnxruntime's own float32, which golden rows bound by 1e-6: rows whose answer
moves by more when inputs move by their last place are not asked, and if fewer than 16 are left, the model is refused.
Trees, scaling by one factor a column and lookups are equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # it ships none
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from pytrain import manifest as mf
from pytrain.errors import InputError
from pytrain.plan import onnx_categories, onnx_linear, onnx_numbers, onnx_structure, onnx_trees
from pytrain.plan.asking import take
from pytrain.plan.golden import beside, candidates, plain_rows
from pytrain.plan.graph import Plan
from pytrain.plan.onnx_graph import OPERATORS, TYPES, Known, Node
from pytrain.plan.places import Place, at
from pytrain.plan.values import Input, Value
from pytrain.plan.version import write_version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from pytrain.loop import Learnt
    from pytrain.plan.asking import Column

# Importing them registers their operators.
FAMILIES = (onnx_structure, onnx_numbers, onnx_categories, onnx_linear, onnx_trees)

_FEWEST_ROWS, _MOST_ROWS = 16, 128
_ULP = 2.0**-24
_SUMS = {"linear", "project", "normalize"}
_LINKS = {"link", "function"}
_EXACT = 1e-12

# What to use instead of what is often met and not supported.
SUBSTITUTES = {
    "ZipMap": "convert it with zipmap=False",
    "SVMClassifier": "port the scikit-learn model, a .skops file",
    "SVMRegressor": "port the scikit-learn model, a .skops file",
    "TfIdfVectorizer": "port the scikit-learn pipeline, a .skops file",
    "StringNormalizer": "lower-case texts before the model",
    "TreeEnsemble": "convert it with target_opset={'ai.onnx.ml': 3}",
    "Where": "use Imputer, Binarizer or trees",
    "Conv": "serve it in the format onnx",
}


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX model and its plan.

    Attributes
    ----------
    proto
        The model.
    plan
        What computes the same.
    names
        The model's own name of each output of the plan.
    """

    proto: onnx.ModelProto
    plan: Plan
    names: Mapping[str, str]


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read a model, with what it has in files beside it.

    Raises
    ------
    InputError
        It cannot be read, or is no valid model.
    """
    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(proto, full_check=False)
    except (OSError, ValueError, onnx.checker.ValidationError, DecodeError) as e:
        raise InputError(f"is no valid ONNX model: {e}", where=str(path), remedy="export it again") from e
    return proto


def import_onnx(proto: onnx.ModelProto, *, file: str) -> OnnxModel:
    """Turn an ONNX model into a plan.

    Raises
    ------
    Refusal
        No plan can express it. The message names operator and place.
    """
    place = Place((), file)
    constants = {t.name: Known("int", constant=numpy_helper.to_array(t)) for t in proto.graph.initializer}
    known: dict[str, Known | None] = {"": None, **constants}
    inputs = []
    for info in proto.graph.input:
        if info.name not in constants:
            found = _input(info, place)
            inputs.append(found)
            value = found if found.type == "text" else found.numbers()
            kind = {"text": "text", "int32": "int"}.get(found.type, found.type)
            shape = () if len(info.type.tensor_type.shape.dim) == 1 else (found.width,)
            known[info.name] = Known(kind, value, shape=shape)
    for proto_node in proto.graph.node:
        node = Node(proto_node, [known[name] for name in proto_node.input], file)
        known |= zip(proto_node.output, _results(node), strict=False)
    outputs, names, labels = _outputs(proto, known, place)
    plan = Plan(inputs=tuple(inputs), outputs=outputs, labels=labels, source=_source(proto))
    if not {v.op for v in plan.nodes} & (_SUMS | _LINKS):
        plan = replace(plan, tolerance=_EXACT)
    return OnnxModel(proto, plan, names)


def _source(proto: onnx.ModelProto) -> str:
    versions = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in proto.opset_import)
    return f"ONNX ({versions}) by {proto.producer_name or 'an unknown producer'} {proto.producer_version}".rstrip()


def _input(info: onnx.ValueInfoProto, place: Place) -> Value:
    kind = info.type.WhichOneof("value")
    tensor = info.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    if kind != "tensor_type" or tensor.elem_type not in TYPES:
        raise place.refuse(
            f"the input {info.name!r} is no tensor that a column can be", "use float, double, int or string"
        )
    if len(dims) not in (1, 2) or (len(dims) == 2 and not dims[1]):
        raise place.refuse(f"the input {info.name!r} has the shape {dims}", "use [N] or [N, k] with a fixed k")
    found = TYPES[tensor.elem_type]
    width = int(dims[1] or 1) if len(dims) == 2 else 1
    if found == "text" and width > 1:
        raise place.refuse(f"the input {info.name!r} has {width} columns of text", "make an input of each")
    return Input(info.name, "int32" if found == "int" else found, width=width)


def _results(node: Node) -> list[Known]:
    """Return what a node gives: computed here if all it reads are constants."""
    if all(i is None or i.constant is not None for i in node.inputs) and node.proto.domain in ("", "ai.onnx"):
        feeds = {n: i.constant for n, i in zip(node.proto.input, node.inputs, strict=True) if i is not None}
        results = ReferenceEvaluator(node.proto).run(None, feeds)
        return [Known("int", constant=np.asarray(r)) for r in results]
    domain = "" if node.proto.domain == "ai.onnx" else node.proto.domain
    function = OPERATORS.get((domain, node.proto.op_type))
    if function is None:
        remedy = SUBSTITUTES.get(node.proto.op_type, "serve it in the format onnx, or port the model's own file")
        raise node.refuse(f"no plan can express {domain or 'ai.onnx'}.{node.proto.op_type}", remedy)
    with at(node.place):
        found: list[Known] = function(node)
    return found


def _outputs(
    proto: onnx.ModelProto, known: Mapping[str, Known | None], place: Place
) -> tuple[dict[str, Value], dict[str, str], tuple[Any, ...]]:
    """Return the outputs by the plan's names, the model's names of them, and the classes."""
    found: dict[str, Known] = {}
    labels: tuple[Any, ...] = ()
    for info in proto.graph.output:
        result = known[info.name]
        if result is not None and result.labels:
            labels = result.labels
            continue
        if result is None or result.value is None or result.type not in ("float32", "float64"):
            raise place.refuse(f"the output {info.name!r} is no float that rows decide", "cast it, or remove it")
        found[info.name] = result
    if not found:
        raise place.refuse("gives labels alone", "export it with its probabilities")
    outputs, names = {}, {}
    for name, result in found.items():
        called = "value" if len(found) == 1 else name
        if labels and result.width == len(labels):
            called = "probability"
        value = result.columns
        outputs[called] = value.cast("float32") if result.type == "float32" else value.dense()
        names[called] = name
    if labels and "probability" not in outputs:
        raise place.refuse(
            f"has {len(labels)} classes, and no output with a column for each", "export its probabilities"
        )
    if len(outputs) < len(found):
        raise place.refuse("has two outputs with a column for each class", "remove one of them")
    return outputs, names, labels


def ask(model: OnnxModel, rows: Mapping[str, Column]) -> tuple[dict[str, Any], npt.NDArray[np.bool_]]:
    """Ask onnxruntime.

    Parameters
    ----------
    rows
        Values of each input by its name: texts, or numbers (n, width).

    Returns
    -------
    The outputs (n, width) by the plan's names, and which rows onnxruntime answers (n,).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {i.name: _tensor(i, rows[i.name]) for i in session.get_inputs()}
    n = len(next(iter(rows.values())))
    outputs = {name: np.full((n, value.width), np.nan) for name, value in model.plan.outputs.items()}
    answered = np.zeros(n, bool)
    groups = [np.arange(n)]
    while groups:  # halves of what fails, until only the rows that fail are left
        group = groups.pop()
        try:
            got = session.run(list(model.names.values()), {name: feed[group] for name, feed in feeds.items()})
        except Exception:  # noqa: BLE001 - onnxruntime's own exceptions have no base of their own
            groups += [g for g in np.array_split(group, 2) if len(g)] if len(group) > 1 else []
            continue
        answered[group] = True
        for name, array in zip(model.names, got, strict=True):
            outputs[name][group] = np.reshape(array, (len(group), -1))
    return outputs, answered


_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def _tensor(info: Any, column: Column) -> npt.NDArray[Any]:
    if info.type == "tensor(string)":
        array: npt.NDArray[Any] = np.array(["" if t is None else t for t in column], object)
    else:
        array = np.asarray(column).astype(_DTYPES[info.type])
    return array.reshape((len(column), -1) if len(info.shape) == 2 else (len(column),))


def fitting(plan: Plan, rows: Mapping[str, Column]) -> dict[str, Column]:
    """Return rows as the plan's inputs hold them: rounded to their types, and no text missing."""
    found: dict[str, Column] = {}
    for value in plan.inputs:
        column = rows[value.name]
        if not isinstance(column, np.ndarray):
            found[value.name] = ["" if t is None else t for t in column]
        elif value.type == "int32":
            found[value.name] = np.clip(np.nan_to_num(np.rint(column)), -(2.0**31), 2.0**31 - 1)
        else:
            with np.errstate(over="ignore"):
                found[value.name] = column.astype(value.type).astype(np.float64)
    return found


def golden_rows(model: OnnxModel, *, seed: int) -> tuple[dict[str, Column], dict[str, Any]]:
    """Choose rows at the edges of a model that onnxruntime answers, and whose answers its rounding does not move."""
    rng = np.random.default_rng(seed)
    rows, outputs = _answered(model, candidates(model.plan, rng, most=4 * _MOST_ROWS), rng)
    n = len(next(iter(outputs.values())))
    chosen = np.arange(n)
    if n > _MOST_ROWS:
        chosen = np.sort(np.concatenate([chosen[:8], rng.choice(chosen[8:], _MOST_ROWS - 8, replace=False)]))
    elif n < _MOST_ROWS:
        more, found = _answered(model, plain_rows(model.plan, rng, most=_MOST_ROWS), rng)
        rows, outputs = beside(rows, more), beside(outputs, found)
        chosen = np.arange(min(_MOST_ROWS, len(next(iter(outputs.values())))))
    return {name: take(column, chosen) for name, column in rows.items()}, {n: o[chosen] for n, o in outputs.items()}


def _answered(
    model: OnnxModel, wanted: Mapping[str, Column], rng: np.random.Generator
) -> tuple[dict[str, Column], dict[str, Any]]:
    """Return the rows, as inputs hold them, that onnxruntime answers, and by numbers that rounding does not move."""
    rows = fitting(model.plan, wanted)
    outputs, answered = ask(model, rows)
    for output in outputs.values():
        answered &= np.isfinite(output).all(axis=1)
    if {v.op for v in model.plan.nodes} & _SUMS:
        for _ in range(3):
            moved, _refused = ask(model, fitting(model.plan, _moved(model.plan, rows, rng)))
            for name, output in moved.items():
                with np.errstate(invalid="ignore"):
                    by = np.abs(output - outputs[name]) / np.maximum(1, np.abs(outputs[name]))
                answered &= (by <= model.plan.tolerance / 4).all(axis=1)
    kept = np.flatnonzero(answered)
    return {name: take(column, kept) for name, column in rows.items()}, {n: o[kept] for n, o in outputs.items()}


def _moved(plan: Plan, rows: Mapping[str, Column], rng: np.random.Generator) -> dict[str, Column]:
    """Return rows with each number moved by about its last place in float32."""
    moved: dict[str, Column] = {}
    for value in plan.inputs:
        column = rows[value.name]
        if isinstance(column, np.ndarray) and value.type != "int32":
            column = column * (1 + 2 * _ULP * rng.choice([-1, 1], column.shape))
        moved[value.name] = column
    return moved


@dataclass(frozen=True)
class OnnxPlanWriter:
    """Writes versions of one ported ONNX model; the attributes are those of `version.PlanWriter`."""

    model: OnnxModel
    name: str
    label: str
    objects: Path
    where: str

    def write(self, directory: Path, version: int, learnt: Learnt) -> None:
        """Fill an empty directory with a complete version; the caller syncs and renames it.

        Raises
        ------
        InputError
            onnxruntime answers too few rows to prove the version by.
        VersionError
            What was written cannot be read.
        """
        inputs, outputs = golden_rows(self.model, seed=0)
        rows = len(next(iter(outputs.values())))
        if rows < _FEWEST_ROWS:
            raise InputError(
                f"has {rows} golden rows whose answers float32's rounding does not move; {_FEWEST_ROWS} are needed",
                where=self.where,
                remedy="scale its inputs, or serve it in the format onnx",
            )
        write_version(
            directory,
            self.model.plan,
            inputs,
            outputs,
            objects=self.objects,
            described={"model": self.name, "version": version, "label": self.label, "metrics": learnt.metrics},
            trained=mf.TrainedOn(rows=learnt.rows, from_ms=learnt.from_ms, to_ms=learnt.to_ms),
        )
