"""Values, which importers chain, and plans.

A `Value` is what a node of a plan computes, or an input. It holds the values it reads, so it is a whole graph, and
nothing else knows of it until a `Plan` names it as an output. Values with equal digests compute the same; a plan holds
them once.

Three kinds of values are never written; they disappear as the graph is built:
- an *open column*: an input whose type is not known yet, since scikit-learn keeps only its name. What reads it first
  settles whether it is text or float64 (`texts`, `numbers`);
- *mixed columns*: some of them text, so that no operator could hold them together;
- *replaced text*: a text column some of whose texts stand for others, as SimpleImputer has it. `lookup` folds it in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from pytrain.plan.operators import DENSE, MOST_IN, MOST_INPUTS, MOST_NODES, Fault, Shape, shape_of
from pytrain.plan.places import at, here
from pytrain.plan.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any] | Tensor | Sequence[float]

Label = str | int | float
Text = str | None  # None is a missing text

# How much is known of a value's numbers.
ANY, NO_INFINITY, FINITE = 0, 1, 2

_KEEP = {"concat", "select", "dense", "add", "sub", "mul", "div", "clip", "normalize", "polynomial", "mean"}
_NEW = {"function": ANY, "cast": ANY, "parse": ANY, "equal_missing": NO_INFINITY}


class Value:
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

    # Structure.

    def select(self, columns: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Value:
        """Return these columns, in this order."""
        chosen = tuple(int(c) for c in columns)
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

    # Numbers. Arguments of one value a column may be single numbers.

    def _each(self, op: str, value: Array | float, *, sparse: bool = False) -> Value:
        of = self.numbers() if sparse else self.dense()
        values = np.broadcast_to(np.asarray(value, np.float64), (of.width,))
        return node(op, [of], tensors={"value": values})

    def add(self, value: Array | float) -> Value:
        """Return x + value."""
        return self._each("add", value)

    def sub(self, value: Array | float) -> Value:
        """Return x − value."""
        return self._each("sub", value)

    def mul(self, value: Array | float) -> Value:
        """Return x · value; sparse stays sparse."""
        return self._each("mul", value, sparse=True)

    def div(self, value: Array | float) -> Value:
        """Return x / value; sparse stays sparse."""
        return self._each("div", value, sparse=True)

    def clip(self, low: float, high: float) -> Value:
        """Return x within [low, high]."""
        return node("clip", [self.dense()], {"low": float(low), "high": float(high)})

    def impute(self, value: Array | float) -> Value:
        """Return x, or value where x is NaN."""
        return self._each("impute", value)

    def missing(self) -> Value:
        """Return 1 where x is NaN, else 0."""
        return node("missing", [self.dense()])

    def equal_missing(self, value: float) -> Value:
        """Return NaN where x equals value, else x."""
        return node("equal_missing", [self.dense()], {"value": float(value)})

    def normalize(self, norm: str) -> Value:
        """Return rows divided by their norm: `l1`, `l2` or `max`."""
        return node("normalize", [self.numbers()], {"norm": norm})

    def binarize(self, threshold: float) -> Value:
        """Return 1 where x > threshold, else 0."""
        value = self.numbers() if threshold >= 0 else self.dense()
        return node("binarize", [value], {"threshold": float(threshold)})

    def function(self, name: str) -> Value:
        """Return NumPy's function of that name of x."""
        return node("function", [self.dense()], {"name": name})

    def bins(self, edges: Sequence[npt.NDArray[Any]]) -> Value:
        """Return how many of a column's edges are ≤ x."""
        flat = np.concatenate([np.zeros(0), *edges]).astype(np.float64)
        return node("bins", [self.dense()], {"counts": tuple(len(e) for e in edges)}, {"edges": flat})

    def polynomial(self, powers: npt.NDArray[Any]) -> Value:
        """Return Π x_j ^ powers[i, j] for each row i of powers."""
        return node("polynomial", [self.dense()], tensors={"powers": np.asarray(powers, np.int32)})

    # Categories.

    def lookup_numbers(self, codes: Mapping[float, float], *, unknown: float | None) -> Value:
        """Return the code of a number. NaN may be a key. With unknown None, a row with another number is refused."""
        finite = sorted((float(k) + 0.0, float(v)) for k, v in codes.items() if k == k)  # noqa: PLR0124 - not NaN
        nan = [(float("nan"), float(v)) for k, v in codes.items() if k != k]  # noqa: PLR0124
        pairs = np.array([*finite, *nan[:1]], np.float64).reshape(-1, 2)
        settings = {"unknown": None if unknown is None else float(unknown)}
        return node("lookup", [self.dense()], settings, {"keys": pairs[:, 0], "codes": pairs[:, 1]})

    def lookup_texts(self, codes: Mapping[Text, float], *, unknown: float | None) -> Value:
        """Return the code of a text. None is a missing text. With unknown None, a row with another text is refused."""
        from pytrain.plan.dictionary import dictionary  # noqa: PLC0415 - it needs graph

        value, found, checked = self.texts(), dict(codes), False
        if isinstance(value, ReplacedText):
            for text, other in value.replaced.items():
                code = codes.get(other, unknown)
                found.pop(text, None)
                if code is not None:
                    found[text] = code
            if value.refuses_missing:
                found[None], checked = float("nan"), True
            value = value.original
        keys = list(found)
        tensors = dictionary([b"\xff" if k is None else k.encode() for k in keys])
        values = np.array([found[k] for k in keys], np.float64)
        settings = {"unknown": None if unknown is None else float(unknown)}
        result = node("lookup", [value], settings, tensors | {"codes": Tensor(values)})
        return result.finite() if checked else result

    def expand(self, sizes: Sequence[int]) -> Value:
        """Return column j as sizes[j] columns with a 1 at its value; sparse."""
        return node("expand", [self.dense()], {"sizes": tuple(int(s) for s in sizes)})

    def gather(self, table: npt.NDArray[Any]) -> Value:
        """Return the row of the table that the one column names."""
        return node("gather", [self.dense()], tensors={"table": np.asarray(table, np.float64)})

    # Models.

    def linear(self, coef: npt.NDArray[Any], intercept: Array | float, *, finite: bool = True) -> Value:
        """Return coef (k, w) · x + intercept (k,). If `finite`, rows with other numbers are refused."""
        value = self.numbers()
        matrix = np.atleast_2d(np.asarray(coef, np.float64))
        bias = np.broadcast_to(np.asarray(intercept, np.float64), (len(matrix),))
        return node("linear", [value], {"finite": finite}, {"coef": matrix, "intercept": bias})

    def _rows(self, op: str, name: str, matrix: npt.NDArray[Any]) -> Value:
        value = self.numbers()
        return node(op, [value], {"finite": True}, {name: np.asarray(matrix, np.float64)})

    def project(self, matrix: npt.NDArray[Any]) -> Value:
        """Return matrix (k, w) · x."""
        return self._rows("project", "matrix", matrix)

    def distances(self, centers: npt.NDArray[Any]) -> Value:
        """Return the distances to the centers (k, w)."""
        return self._rows("distances", "centers", centers)

    def nearest(self, centers: npt.NDArray[Any]) -> Value:
        """Return the number of the nearest center (k, w)."""
        return self._rows("nearest", "centers", centers)

    def link(self, kind: str) -> Value:
        """Return probabilities, or the inverse of a regression's link."""
        return node("link", [self.dense()], {"kind": kind})

    def argmax(self) -> Value:
        """Return the first column of the greatest value; with one column 1 where x > 0."""
        return node("argmax", [self.dense()])

    def sigmoid_calibration(self, a: float, b: float) -> Value:
        """Return 1 / (1 + exp(a·x + b))."""
        return node("sigmoid_calibration", [self.dense()], {"a": float(a), "b": float(b)})

    def isotonic(self, x: Array, y: Array) -> Value:
        """Return the line through the points (x, y), constant outside."""
        tensors = {"x": np.asarray(x, np.float64), "y": np.asarray(y, np.float64)}
        return node("isotonic", [self.dense()], tensors=tensors)


class Input(Value):
    """An input of a plan that is built. `owner` keeps what is learnt about it on the way."""

    def __init__(self, name: str, kind: str, *, width: int = 1, owner: Inputs | None = None) -> None:
        super().__init__("input", [], {}, {}, shape=Shape(kind, width), name=name)
        self.owner = owner


class OpenColumn(Value):
    """An input whose type is settled by what reads it first."""

    def __init__(self, inputs: Inputs, name: str, *, width: int = 1) -> None:
        super().__init__("open", [], {}, {}, shape=Shape("open", width), name=name)
        self._inputs = inputs

    def numbers(self) -> Value:
        """Settle it as float64."""
        return self._inputs.settle(self.name, "float64")

    def texts(self) -> Value:
        """Settle it as text."""
        return self._inputs.settle(self.name, "text")


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
        return concat([everything[c] for c in columns])


class ReplacedText(Value):
    """A text column some of whose texts stand for others: `replaced` has them, None for missing ones."""

    def __init__(self, original: Value, replaced: Mapping[Text, Text], *, refuses_missing: bool) -> None:
        super().__init__("replaced", [original], {}, {}, shape=Shape("text", 1), name=original.name)
        self.original = original
        self.replaced = dict(replaced)
        self.refuses_missing = refuses_missing


def note_missing(value: Value, kind: float | None) -> None:
    """Note that missing texts of this column are None, or NaN, in Python. A plan has only one missing text.

    Raises
    ------
    Refusal
        Elsewhere the column's missing texts are of the other kind.
    """
    column = value.original if isinstance(value, ReplacedText) else value
    if not isinstance(column, Input) or column.owner is None:
        return
    known = column.owner.missing.setdefault(column.name, kind)
    if (known is None) != (kind is None):
        raise here().refuse(
            f"the column {column.name!r} has both None and NaN as missing texts", "keep one of them, and fit again"
        )


def replace_texts(value: Value, replaced: Mapping[Text, Text], *, refuses_missing: bool = False) -> Value:
    """Return a text column where each key of `replaced` stands for its value; maybe refuse rows where it is missing."""
    value = value.texts()
    refused = refuses_missing
    if isinstance(value, ReplacedText):
        before = {text: replaced.get(other, other) for text, other in value.replaced.items()}
        replaced = {**replaced, **before}
        refused = value.refuses_missing or (refused and None not in value.replaced)
        value = value.original
    return ReplacedText(value, replaced, refuses_missing=refused)


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
        if isinstance(value, ReplacedText):
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


class Inputs:
    """The inputs of a plan while it is built.

    Parameters
    ----------
    names
        The columns, in the order of the fitted data.
    together
        They are one input of numbers named `x`, as of a model that was fitted on an array.
    """

    def __init__(self, names: Sequence[str], *, together: bool = False) -> None:
        self.names = tuple(names)
        self.together = together
        self.settled: dict[str, Value] = {}
        self.missing: dict[str, object] = {}  # how a missing text looks to scikit-learn: None or NaN
        if together:
            self.settled["x"] = Input("x", "float64", width=len(names), owner=self)

    def value(self) -> Value:
        """Return all columns."""
        return self.settled["x"] if self.together else concat([OpenColumn(self, name) for name in self.names])

    def settle(self, name: str, kind: str) -> Value:
        """Return the input of that name and type.

        Raises
        ------
        Refusal
            It was read as the other type elsewhere.
        """
        found = self.settled.setdefault(name, Input(name, kind, owner=self))
        if found.type != kind:
            raise here().refuse(
                f"reads the column {name!r} as {'text' if kind == 'text' else 'numbers'}, but another step does not",
                "copy the column under a second name, and fit again",
            )
        return found

    def used(self) -> tuple[Value, ...]:
        """Return the inputs that were read, in the order of the fitted data."""
        return tuple(self.settled[name] for name in (("x",) if self.together else self.names) if name in self.settled)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a predictor offers; what it does not is None.

    Attributes
    ----------
    labels
        The classes; empty for a regression.
    decision
        scikit-learn's decision_function: one column for two classes, else one a class.
    probability
        predict_proba: a column a class.
    value
        predict of a regression: one column an output.
    index
        predict of a classifier, as the place in `labels`; from decision or probability if not given.
    transform
        transform, of the few predictors that have it.
    """

    labels: tuple[Label, ...] = ()
    decision: Value | None = None
    probability: Value | None = None
    value: Value | None = None
    index: Value | None = None
    transform: Value | None = None

    def classes(self) -> Value | None:
        """Return `index`, or the greatest of the decision or the probabilities."""
        if self.index is not None:
            return self.index
        best = self.decision if self.decision is not None else self.probability
        return best.argmax() if best is not None else None

    def outputs(self) -> dict[str, Value]:
        """Return the outputs of a plan that ends here: the value, the probabilities, or the class and what it is by."""
        if self.value is not None:
            return {"value": self.value}
        if self.probability is not None:
            return {"probability": self.probability}
        found = {"class": self.classes(), "decision": self.decision}
        return {name: value.dense() for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole graph. `nodes` holds each distinct value that the outputs need, once, after those it reads.

    Attributes
    ----------
    inputs
        In the order of their numbers.
    outputs
        Dense values of float64 or float32 by their names.
    labels
        The classes, in the order of the columns of `probability`; empty for a regression.
    tolerance
        The largest difference from the golden outputs: 1e-12 or 1e-6.
    source
        Library, its version, and the model as its library prints it.
    """

    inputs: tuple[Value, ...]
    outputs: Mapping[str, Value]
    labels: tuple[Label, ...] = ()
    tolerance: float = 1e-6
    source: str = ""
    nodes: tuple[Value, ...] = field(init=False)
    numbers: Mapping[bytes, int] = field(init=False, repr=False)  # digest → number of the value

    def __post_init__(self) -> None:
        if not 1 <= len(self.inputs) <= MOST_INPUTS:
            raise Fault(f"a plan has {len(self.inputs)} inputs; from 1 to {MOST_INPUTS} are allowed")
        if len({value.name for value in self.inputs}) < len(self.inputs):
            raise Fault("two inputs share a name")
        numbers = {value.digest: i for i, value in enumerate(self.inputs)}
        nodes: list[Value] = []
        for name, value in self.outputs.items():
            if value.type not in ("float64", "float32") or value.sparse:
                raise Fault(f"the output {name} is {value}, not dense numbers")
            for found in _in_order(value, numbers):
                if found.op == "input":
                    raise Fault(f"the input {found.name!r} is not among the plan's")
                numbers[found.digest] = len(self.inputs) + len(nodes)
                nodes.append(found)
        if not self.outputs:
            raise Fault("a plan has no outputs")
        if len(nodes) > MOST_NODES:
            raise here().refuse(
                f"needs {len(nodes)} operators; a plan has at most {MOST_NODES}", "use fewer columns or estimators"
            )
        object.__setattr__(self, "nodes", tuple(nodes))
        object.__setattr__(self, "numbers", numbers)


def _in_order(value: Value, numbers: Mapping[bytes, int]) -> Iterator[Value]:
    """Yield the values that have no number yet, each after those it reads. The caller numbers each before the next."""
    stack = [value]
    while stack:
        top = stack[-1]
        if top.digest in numbers:
            stack.pop()
            continue
        missing = [v for v in reversed(top.inputs) if v.digest not in numbers]
        if missing:
            stack += missing
        else:
            stack.pop()
            yield top
