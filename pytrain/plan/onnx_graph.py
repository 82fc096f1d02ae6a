"""The graph of an ONNX file while it becomes a plan.

ONNX computes in float32 where scikit-learn computes in float64. Values of plans that stand for float32 tensors are
float64 that hold float32 numbers: `rounded` is called after each operator. One addition, subtraction, multiplication or
division in float64, rounded to float32, is the same as in float32, since 53 bits are at least 2 · 24 + 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from pytrain.plan.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import onnx

    from pytrain.errors import Refusal
    from pytrain.plan.values import Value

# The types of tensors, as columns of plans have them. Whole numbers are float64 that hold them.
TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT32: "int",
    TensorProto.INT64: "int",
    TensorProto.STRING: "text",
}


@dataclass(frozen=True)
class Known:
    """A tensor: one that rows decide, or a constant.

    Attributes
    ----------
    value
        The columns of each row; None for a constant.
    constant
        The whole tensor; None if rows decide it.
    type
        `float32`, `float64`, `int` or `text`.
    shape
        Of one row: () for a tensor [N].
    labels
        It is the label that a classifier of these classes gives.
    shares
        Its columns sum to 1.
    """

    type: str
    value: Value | None = None
    constant: npt.NDArray[Any] | None = None
    shape: tuple[int, ...] = ()
    labels: tuple[Any, ...] = ()
    shares: bool = False

    @property
    def columns(self) -> Value:
        """What rows decide."""
        if self.value is None:
            raise ValueError("a constant, or the label of a classifier, has no columns")
        return self.value

    @property
    def width(self) -> int:
        """Values a row."""
        return math.prod(self.shape)


def rounded(value: Value, kind: str) -> Value:
    """Return a value as numbers of that type."""
    return value.cast("float32").numbers() if kind == "float32" else value.numbers()


def like(known: Known, value: Value, shape: tuple[int, ...] | None = None) -> list[Known]:
    """Return the result of an operator: of the type of its input, rounded to it."""
    return [Known(known.type, rounded(value, known.type), shape=known.shape if shape is None else shape)]


_ROUNDS = {"linear", "project", "normalize", "link"}
_STEPS = {"abs", "negative", "floor", "ceil", "rint", "sign"}


def inexact(value: Value) -> bool:
    """Whether its numbers may be others than onnxruntime's in their last places."""
    stack, seen = [value], set()
    while stack:
        found = stack.pop()
        if found.op in _ROUNDS or (found.op == "function" and found.settings["name"] not in _STEPS):
            return True
        stack += [v for v in found.inputs if v.digest not in seen]
        seen |= {v.digest for v in found.inputs}
    return False


def narrow(known: Known) -> Value:
    """Return it as trees read it: float32 if it holds such numbers."""
    return known.columns.narrow() if known.type == "float32" else known.columns.dense()


@dataclass
class Node:
    """A node of the graph: what an operator's importer is given."""

    proto: onnx.NodeProto
    inputs: list[Known | None]  # None: an optional one that is left out
    file: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for attribute in self.proto.attribute:
            self.settings[attribute.name] = _plain(helper.get_attribute_value(attribute))

    @property
    def place(self) -> Place:
        """Where it is, as `model.onnx: scale: Scaler`."""
        return Place((f"{self.proto.name or self.proto.output[0]}: {self.proto.op_type}",), self.file)

    def refuse(self, message: str, remedy: str) -> Refusal:
        """Return the error to raise where no plan can express it."""
        return self.place.refuse(message, remedy)

    def get(self, name: str, default: Any) -> Any:
        """Return an attribute."""
        return self.settings.get(name, default)

    def floats(self, name: str) -> npt.NDArray[np.float64]:
        """Return an attribute that is a list of floats, or `name`_as_tensor. Floats are float32."""
        tensor = self.settings.get(f"{name}_as_tensor")
        if tensor is not None:
            return np.asarray(tensor, np.float64)
        return np.asarray(self.settings.get(name, ()), np.float32).astype(np.float64)

    def only(self, allowed: dict[str, tuple[Any, ...]]) -> None:
        """Refuse other values of attributes than these; the first of each is the default."""
        for name, values in allowed.items():
            got = self.get(name, values[0])
            if got not in values:
                raise self.refuse(f"has {name} = {got!r}", f"export it with {name} = {values[0]!r}")

    def rows(self, i: int = 0) -> Known:
        """Return an input that rows decide; numbers.

        Raises
        ------
        Refusal
            It is a constant, text, or the label of a classifier.
        """
        known = self.inputs[i] if i < len(self.inputs) else None
        if known is None or known.value is None:
            what = "the label of a classifier" if known is not None and known.labels else "a constant"
            raise self.refuse(f"reads {what} as its input {i}", "port the model without this operator")
        if known.type == "text":
            raise self.refuse("reads text", "encode it first, as by OneHotEncoder or LabelEncoder")
        return known

    def any_rows(self, i: int = 0) -> Known:
        """Return an input that rows decide; text too.

        Raises
        ------
        Refusal
            It is a constant, or the label of a classifier.
        """
        known = self.inputs[i] if i < len(self.inputs) else None
        return known if known is not None and known.type == "text" and known.value is not None else self.rows(i)

    def refuse_enlarged(self, known: Known) -> None:
        """Refuse to enlarge differences in last places: those of numbers near 0, where they are not small beside them.

        Raises
        ------
        Refusal
            The input is a sum, a probability or another result that onnxruntime rounds in its own way.
        """
        if not known.shares and inexact(known.columns):
            raise self.refuse(
                "would enlarge how float32 rounds what it reads, which may be near 0",
                "port the model's own file, as a scikit-learn model's .skops, or serve it in the format onnx",
            )

    def constant(self, i: int) -> npt.NDArray[Any]:
        """Return an input that is a constant.

        Raises
        ------
        Refusal
            Rows decide it.
        """
        known = self.inputs[i] if i < len(self.inputs) else None
        if known is None or known.constant is None:
            raise self.refuse(f"its input {i} is no constant", "fold what computes it into a constant")
        return known.constant


def _plain(value: Any) -> Any:
    """Turn bytes into texts, and tensors into arrays."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    return value


OPERATORS: dict[tuple[str, str], Any] = {}
ML = "ai.onnx.ml"


def operator(*names: str, domain: str = "") -> Callable[[Any], Any]:
    """Register a function as the importer of these operators: from a node to what it gives."""

    def register(function: Any) -> Any:
        for name in names:
            OPERATORS[(domain, name)] = function
        return function

    return register
