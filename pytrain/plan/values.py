"""Values, which importers chain.

A `Value` is what a node of a plan computes, or an input. It holds the values it reads, so it is a whole graph, and
nothing else knows of it until a `Plan` names it as an output. Values with equal digests compute the same; a plan holds
them once. Three kinds of values are never written; `unsettled` has them, and *mixed columns* are here.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from pytrain.plan.chain import Chain, whole
from pytrain.plan.operators import DENSE, MOST_IN, MOST_WIDTH, Fault, Shape, shape_of
from pytrain.plan.places import at, here
from pytrain.plan.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pytrain.plan.unsettled import Inputs

# How much is known of a value's numbers.
ANY, NO_INFINITY, FINITE = 0, 1, 2

_KEEP = {"concat", "select", "dense", "add", "sub", "mul", "div", "clip", "normalize", "polynomial", "mean"}
_NEW = {"function": ANY, "cast": ANY, "parse": ANY, "equal_missing": NO_INFINITY}


class Value(Chain):
    """A value of a plan: what one node computes, or an input. It never changes.

    Attributes
    ----------
    op, inputs, settings, tensors, at
        The node. The op of an input is "input"; its name is `name`.
    type, width, sparse
        `float64`, `float32`, `int32` or `text`; for values that are never written also `open` and `mixed`.
    known
        ANY, NO_INFINITY (but maybe NaN) or FINITE.
    digest
        Equal for values that compute the same.
    """

    def __init__(
        self,
        op: str,
        inputs: Sequence[Value],
        settings: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        shape: Shape,
        name: str = "",
        known: int = ANY,
    ) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.settings = dict(settings)
        self.tensors = dict(tensors)
        self.shape = shape
        self.name = name
        self.known = known
        self.at = str(here()) if op != "input" else ""

    @property
    def type(self) -> str:
        """The type of its values."""
        return self.shape.type

    @property
    def width(self) -> int:
        """How many values a row has."""
        return self.shape.width

    @property
    def sparse(self) -> bool:
        """Whether its rows list only what is not 0."""
        return self.shape.sparse

    @cached_property
    def digest(self) -> bytes:
        """A checksum of what it computes."""
        node = [
            self.op,
            self.name,
            [self.type, self.width],
            sorted(self.settings.items()),
            sorted((name, tensor.sha256) for name, tensor in self.tensors.items()),
            [value.digest for value in self.inputs],
        ]
        return hashlib.sha256(msgpack.packb(node)).digest()

    def __repr__(self) -> str:
        sparse = "sparse " if self.sparse else ""
        return f"<{self.name or self.op}: {sparse}{self.type}[{self.width}]>"

    # What a value is read as.

    def numbers(self) -> Value:
        """Return it as float64, dense or sparse. An open column becomes an input of numbers.

        Raises
        ------
        Refusal
            It holds text.
        """
        if self.type in ("float32", "int32"):
            return node("cast", [self], {"to": "float64"})
        if self.type == "text":
            raise here().refuse(
                f"reads the text column {self.name or self.op!r} as numbers", "encode it first, as by OneHotEncoder"
            )
        return self

    def texts(self) -> Value:
        """Return it as one column of text. An open column becomes a text input.

        Raises
        ------
        Refusal
            It is not one column, or holds numbers.
        """
        if self.type != "text":
            raise here().refuse(f"reads {self.width} columns of numbers as text", "name one text column")
        if self.width > 1:
            raise here().refuse(f"reads {self.width} columns of text as one", "name one text column")
        return self

    def csv(self, columns: Mapping[str, str], *, separator: str = ",", missing: str | None = "") -> dict[str, Value]:
        """Read one column of text as lines of CSV, and return the fields by their names.

        A line is refused that has other quotes or another number of fields than docs/plan-format.md says, or, in a
        column that is used, a field that is no number.

        Parameters
        ----------
        columns
            Name and type (`text`, `float64`, `float32`, `int32`) of every field, in the order of the line.
        separator
            One ASCII character.
        missing
            What a missing field holds, with or without quotes: it is a missing text, or NaN. None: no field is
            missing.

        Raises
        ------
        Fault
            A type is unknown, there are no columns, or too many, or the separator is no such character.
        """
        kinds = ("text", *DENSE)
        for name, kind in columns.items():
            if kind not in kinds:
                raise Fault(f"csv: the column {name!r} is {kind!r}, not one of {', '.join(kinds)}")
        every = tuple(range(len(columns)))
        settings = {"separator": separator, "missing": missing, "fields": len(columns), "columns": every}
        place = here().part(f"csv of {len(columns)} columns")
        with at(place):
            line = node("csv", [self.texts()], settings)
        found = {}
        for i, (name, kind) in enumerate(columns.items()):
            with at(place.part(f"column {name}")):
                field = line.select([i])
                found[name] = field if kind == "text" else field.parse("int32" if kind == "int32" else "float64")
                if kind == "float32":
                    found[name] = found[name].cast("float32")
        return found

    def parse(self, to: str = "float64") -> Value:
        """Return the number that each text is, as `float64` or `int32`; a row with another text is refused."""
        return node("parse", [self.texts()], {"to": to})

    def columns(self) -> list[Value]:
        """Return its columns, each of width 1."""
        return [self.select([j]) for j in range(self.width)]

    def dense(self) -> Value:
        """Return it as dense numbers."""
        value = self.numbers()
        return node("dense", [value]) if value.sparse else value

    def narrow(self) -> Value:
        """Return it as dense float32, as trees of float32 read it."""
        return self.cast("float32")

    def _node(
        self,
        op: str,
        value: Value,
        settings: Mapping[str, Any] | None = None,
        tensors: Mapping[str, npt.NDArray[Any] | Tensor] | None = None,
    ) -> Value:
        return node(op, [value], settings, tensors)

    # Structure.

    def select(self, columns: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Value:
        """Return these columns, in this order."""
        chosen = whole(columns, "select: a column")
        if not chosen:
            raise here().refuse("reads no column", "leave it out")
        if chosen == tuple(range(self.width)):
            return self
        if self.op == "select":
            return self.inputs[0].select([self.settings["columns"][c] for c in chosen])
        if self.sparse and len(set(chosen)) < len(chosen):
            return concat([self.select([c]) for c in chosen])
        return node("select", [self], {"columns": chosen})

    def cast(self, to: str) -> Value:
        """Return it rounded to `float32` or `float64`."""
        value = self.dense()
        return value if value.type == to else node("cast", [value], {"to": to})

    def finite(self, *, nan: bool = False) -> Value:
        """Refuse rows with infinite numbers and, unless `nan`, with NaN."""
        value = self.numbers()
        return value if value.known >= (NO_INFINITY if nan else FINITE) else node("finite", [value], {"nan": nan})


class Input(Value):
    """An input of a plan that is built. `owner` keeps what is learnt about it on the way.

    Raises
    ------
    Fault
        The type is unknown, or the width is none; text has the width 1.
    """

    def __init__(self, name: str, kind: str, *, width: int = 1, owner: Inputs | None = None) -> None:
        if kind not in ("text", *DENSE) or not 1 <= width <= (1 if kind == "text" else MOST_WIDTH):
            types = f"text of width 1, {', '.join(DENSE)}"
            raise Fault(f"the input {name!r} is {kind!r} of width {width}; types are {types}")
        super().__init__("input", [], {}, {}, shape=Shape(kind, width), name=name)
        self.owner = owner


class MixedColumns(Value):
    """Columns that no operator holds together, since some are text or open."""

    def __init__(self, parts: Sequence[Value]) -> None:
        super().__init__("mixed", parts, {}, {}, shape=Shape("mixed", sum(p.width for p in parts)))

    def numbers(self) -> Value:
        """Read every column as numbers."""
        return concat([part.numbers() for part in self.inputs])

    def columns(self) -> list[Value]:
        """Return its columns, each of width 1."""
        return [column for part in self.inputs for column in part.columns()]

    def select(self, columns: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Value:
        """Return these columns, in this order."""
        if tuple(columns) == tuple(range(self.width)):
            return self
        if not len(columns):
            raise here().refuse("reads no column", "leave it out")
        everything = self.columns()
        return concat([everything[c] for c in whole(columns, "select: a column")])


def node(
    op: str,
    inputs: Sequence[Value],
    settings: Mapping[str, Any] | None = None,
    tensors: Mapping[str, npt.NDArray[Any] | Tensor] | None = None,
) -> Value:
    """Make a node; for operators that have no method of `Value`.

    Raises
    ------
    Fault
        The operator does not take these inputs, settings or tensors: the importer is wrong.
    Refusal
        An input is replaced text, which only `lookup` reads.
    """
    for value in inputs:
        if value.op == "replaced":
            raise here().refuse(
                "reads text whose missing values were filled", "fill them before the pipeline, or encode the column"
            )
        if value.type in ("open", "mixed"):
            raise Fault(f"{op} reads {value}, which is neither numbers() nor texts()")
    plain = {name: _plain(value) for name, value in (settings or {}).items()}
    objects = {name: v if isinstance(v, Tensor) else Tensor(v) for name, v in (tensors or {}).items()}
    try:
        shape = shape_of(op, [value.shape for value in inputs], plain, objects)
    except Fault as e:
        raise Fault(f"{here()}: {op}({', '.join(map(repr, inputs))}): {e}") from e
    return Value(op, inputs, plain, objects, shape=shape, known=_known(op, inputs, plain, objects))


def _plain(value: Any) -> Any:
    """Turn NumPy's scalars and lists into Python's scalars and tuples."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_plain(v) for v in value)
    return value.item() if isinstance(value, np.generic) else value


def _known(op: str, inputs: Sequence[Value], settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int:
    least = min(value.known for value in inputs)
    if op in _KEEP:
        return least
    if op == "finite":
        return NO_INFINITY if settings["nan"] else FINITE
    if op == "impute":
        return FINITE if least >= NO_INFINITY and np.isfinite(tensors["value"].array).all() else ANY
    if op == "lookup":
        codes = [*tensors["codes"].array, settings["unknown"] or 0.0]
        return FINITE if np.isfinite(codes).all() else NO_INFINITY
    if op == "equal_missing":
        return min(least, NO_INFINITY)
    return _NEW.get(op, FINITE)


def concat(values: Sequence[Value]) -> Value:
    """Return the columns of all values, one after another."""
    flat: list[Value] = []
    for value in values:
        for part in value.inputs if value.op in ("concat", "mixed") else (value,):
            last = flat[-1] if flat else None
            if last is not None and last.op == part.op == "select" and last.inputs[0] is part.inputs[0]:
                joined = (*last.settings["columns"], *part.settings["columns"])
                if not part.sparse or len(set(joined)) == len(joined):
                    flat[-1] = part.inputs[0].select(joined)
                    continue
            flat.append(part)
    if len(flat) == 1:
        return flat[0]
    if any(value.type in ("open", "text") for value in flat):
        return MixedColumns(flat)
    while len(flat) > MOST_IN:
        flat = [node("concat", flat[i : i + MOST_IN]) for i in range(0, len(flat), MOST_IN)]
    return node("concat", flat)


def mean(values: Sequence[Value]) -> Value:
    """Return (v0 + v1 + …) / m."""
    return node("mean", [value.dense() for value in values])
