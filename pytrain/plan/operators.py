"""The operators of docs/plan-format.md: their settings and objects, and the shape of what they return.

One table checks what importers build and what `read_plan` reads. The engine checks again, in Go. It checks the contents
of objects too (trees, dictionaries), which are its concern.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from pytrain.plan.tensors import Tensor

MOST_WIDTH = 1 << 24
MOST_INPUTS = 4_096
MOST_NODES = 65_536
MOST_IN = 1_024
MOST_FIELDS = 65_536

FUNCTIONS = (
    *("log", "log1p", "log2", "log10", "exp", "expm1", "sqrt", "cbrt", "square", "abs", "negative", "reciprocal"),
    *("sign", "sin", "cos", "tanh", "floor", "ceil", "rint"),
)
LINKS = ("sigmoid", "binary", "softmax", "ovr", "exp", "huber", "shares", "parts")
DENSE = ("float64", "float32", "int32")
_ASCII = 0x80


class Fault(ValueError):
    """A node that no plan may hold."""


@dataclass(frozen=True)
class Shape:
    """What a value is: its type, its values a row, and whether it is sparse."""

    type: str
    width: int
    sparse: bool = False


Settings = Mapping[str, Any]
Tensors = Mapping[str, Tensor]
_Result = Callable[[Sequence[Shape], Settings, Tensors], Shape]


@dataclass(frozen=True)
class _Operator:
    result: _Result
    settings: Mapping[str, Any] = field(default_factory=dict)  # name → type, or the texts it may be; "name?" may lack
    tensors: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # name → dtype, dimensions; "name?" may lack
    more: str = ""  # prefixes of further tensors


def shape_of(op: str, inputs: Sequence[Shape], settings: Settings, tensors: Tensors) -> Shape:
    """Check a node and return what it computes.

    Raises
    ------
    Fault
        The operator is unknown, or does not take these inputs, settings or objects.
    """
    operator = _OPERATORS.get(op)
    if operator is None:
        raise Fault(f"{op!r} is no operator")
    if not 1 <= len(inputs) <= MOST_IN:
        raise Fault(f"{op} reads {len(inputs)} values; from 1 to {MOST_IN} are allowed")
    _check_names(op, "setting", operator.settings, settings)
    for name, value in settings.items():
        kind = operator.settings.get(name, operator.settings.get(f"{name}?"))
        if not _fits(value, kind):
            raise Fault(f"{op}: the setting {name} is {value!r}")
    further = {name for name in tensors if operator.more and name.startswith(tuple(operator.more.split()))}
    _check_names(op, "object", operator.tensors, tensors.keys() - further)
    for name in tensors.keys() - further:
        dtype, dimensions = operator.tensors.get(name) or operator.tensors[f"{name}?"]
        array = tensors[name].array
        if array.dtype.name != dtype or array.ndim != dimensions:
            raise Fault(f"{op}: the object {name} is {array.dtype}{list(array.shape)}, not {dtype}, {dimensions}-d")
    shape = operator.result(inputs, settings, tensors)
    if not 1 <= shape.width <= MOST_WIDTH:
        raise Fault(f"{op} returns {shape.width} columns; from 1 to {MOST_WIDTH} are allowed")
    return shape


def _check_names(op: str, what: str, known: Mapping[str, Any], given: Any) -> None:
    names = {name.removesuffix("?") for name in known}
    for name in sorted(set(given) - names):
        raise Fault(f"{op} has no {what} {name!r}")
    for name in known:
        if not name.endswith("?") and name not in given:
            raise Fault(f"{op} lacks the {what} {name!r}")


_TYPES = {"int": int, "float": float, "bool": bool, "text": str}


def _fits(value: object, kind: Any) -> bool:
    if kind == "ints":
        return isinstance(value, tuple) and all(type(v) is int for v in value)
    if isinstance(kind, str):
        name = kind.removesuffix(" or none")
        return (value is None and name != kind) or type(value) is _TYPES[name]
    return isinstance(value, str) and value in kind


def _one(inputs: Sequence[Shape], *types: str, sparse: bool = False, width: int | None = None) -> Shape:
    if len(inputs) != 1:
        raise Fault(f"reads {len(inputs)} values instead of 1")
    shape = inputs[0]
    if shape.type not in types or (shape.sparse and not sparse) or (width is not None and shape.width != width):
        raise Fault(f"does not take a {'sparse ' if shape.sparse else ''}{shape.type} of width {shape.width}")
    return shape


def _same(*, sparse: bool = False) -> _Result:
    return lambda inputs, _s, _t: _one(inputs, "float64", sparse=sparse)


def _size(tensors: Tensors, name: str, dimension: int = 0) -> int:
    return int(tensors[name].array.shape[dimension])


def _require(true: bool, message: str) -> None:
    if not true:
        raise Fault(message)


def _per_column(*, sparse: bool = False, name: str = "value") -> _Result:
    def result(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
        shape = _one(inputs, "float64", sparse=sparse)
        _require(_size(tensors, name) == shape.width, f"{name} has {_size(tensors, name)} values for {shape.width}")
        return shape

    return result


def _concat(inputs: Sequence[Shape], _s: Settings, _t: Tensors) -> Shape:
    _require(all(s.type == "float64" for s in inputs), "concat takes float64 only")
    return Shape("float64", sum(s.width for s in inputs), any(s.sparse for s in inputs))


def _select(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    shape = _one(inputs, *DENSE, "text", sparse=True)
    columns = settings["columns"]
    _require(all(0 <= c < shape.width for c in columns), f"selects a column beyond the {shape.width} there are")
    _require(not shape.sparse or len(set(columns)) == len(columns), "selects a sparse column twice")
    return Shape(shape.type, len(columns), shape.sparse)


def _mean(inputs: Sequence[Shape], _s: Settings, _t: Tensors) -> Shape:
    _require(len(set(inputs)) == 1, "mean takes values of one width")
    return _one(inputs[:1], "float64")


def _normalize(inputs: Sequence[Shape], _s: Settings, _t: Tensors) -> Shape:
    return _one(inputs, "float64", sparse=True)


def _binarize(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    return _one(inputs, "float64", sparse=settings["threshold"] >= 0)


def _bins(inputs: Sequence[Shape], settings: Settings, tensors: Tensors) -> Shape:
    shape = _one(inputs, "float64")
    counts = settings["counts"]
    _require(len(counts) == shape.width and min(counts, default=0) >= 0, f"counts has {len(counts)} values")
    _require(sum(counts) == _size(tensors, "edges"), "edges are not as many as counts say")
    return shape


def _polynomial(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
    shape = _one(inputs, "float64")
    _require(_size(tensors, "powers", 1) == shape.width, "powers has another width")
    return Shape("float64", _size(tensors, "powers"))


def _lookup(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
    shape = _one(inputs, "text", "float64", width=1)
    if shape.type == "text":
        _check_names("lookup of text", "object", {"bytes": 0, "offsets": 0, "table": 0, "codes": 0}, tensors)
        count = _size(tensors, "offsets") - 1
    else:
        _check_names("lookup of numbers", "object", {"keys": 0, "codes": 0}, tensors)
        keys = tensors["keys"].array
        count = len(keys)
        ascending = keys[:-1] < keys[1:]
        ascending[-1:] |= np.isnan(keys[-1:]) & ~np.isnan(keys[-2:-1])
        _require(bool(ascending.all()), "lookup's keys do not ascend")
    _require(_size(tensors, "codes") == count, f"lookup has {_size(tensors, 'codes')} codes for {count} keys")
    return Shape("float64", 1)


def _expand(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    shape = _one(inputs, "float64")
    sizes = settings["sizes"]
    _require(len(sizes) == shape.width and min(sizes, default=0) >= 0, f"expand has {len(sizes)} sizes")
    return Shape("float64", sum(sizes), sparse=True)


def _gather(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
    _one(inputs, "float64", width=1)
    return Shape("float64", _size(tensors, "table", 1))


def _csv(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    _one(inputs, "text", width=1)
    separator, fields, columns = settings["separator"], settings["fields"], settings["columns"]
    fits = len(separator) == 1 and 0 < ord(separator) < _ASCII and separator not in '"\n\r'
    _require(fits, f"the separator {separator!r} is not one ASCII character, or a quote or the end of a line")
    _require(1 <= fields <= MOST_FIELDS, f"a line has {fields} fields; from 1 to {MOST_FIELDS} are allowed")
    _require(all(0 <= c < fields for c in columns), f"a column is beyond the {fields} fields")
    _require(all(a < b for a, b in pairwise(columns)), "the columns do not ascend")
    return Shape("text", len(columns))


def _parse(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    _one(inputs, "text", width=1)
    return Shape(settings["to"], 1)


def _text(inputs: Sequence[Shape], _s: Settings, _t: Tensors) -> Shape:
    return _one(inputs, "text", width=1)


def _ngrams(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
    _one(inputs, "text", width=1)
    return Shape("float64", _size(tensors, "offsets") - 1, sparse=True)


def _hashing(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    _one(inputs, "text", width=1)
    return Shape("float64", settings["width"], sparse=True)


def _tfidf(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
    shape = _one(inputs, "float64", sparse=True)
    _require(shape.sparse, "tfidf takes a sparse value")
    _require("idf" not in tensors or _size(tensors, "idf") == shape.width, "idf has another width")
    return shape


def _rows_by(name: str, *, one: bool = False) -> _Result:
    """One column a row of the object `name`, or one in all; its rows are as wide as what is read."""

    def result(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
        shape = _one(inputs, "float64", sparse=True)
        k, width = tensors[name].array.shape
        _require(width == shape.width, f"{name} is {width} wide and reads {shape.width} columns")
        _require("intercept" not in tensors or _size(tensors, "intercept") == k, "intercept has another width")
        return Shape("float64", 1 if one else k)

    return result


def _link(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    shape = _one(inputs, "float64")
    if settings["kind"] == "binary":
        _one(inputs, "float64", width=1)
        return Shape("float64", 2)
    return shape


def _argmax(inputs: Sequence[Shape], _s: Settings, _t: Tensors) -> Shape:
    _one(inputs, "float64")
    return Shape("float64", 1)


def _calibration(inputs: Sequence[Shape], _s: Settings, _t: Tensors) -> Shape:
    return _one(inputs, "float64", width=1)


def _isotonic(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
    _require(0 < _size(tensors, "x") == _size(tensors, "y"), "x and y have different lengths, or none")
    _require(bool((np.diff(tensors["x"].array) > 0).all()), "x does not ascend")
    return _one(inputs, "float64", width=1)


def _trees(inputs: Sequence[Shape], settings: Settings, tensors: Tensors) -> Shape:
    _one(inputs, "float64", "float32")
    columns = settings.get("columns")
    if columns is not None:
        _require(_size(tensors, "values", 1) == 1, "columns needs values of width 1")
        _require(len(columns) == _size(tensors, "roots"), f"columns has {len(columns)} values")
        _require(all(0 <= c < _size(tensors, "base") for c in columns), "a tree's column is beyond those of base")
    else:
        _require(_size(tensors, "values", 1) == _size(tensors, "base"), "values and base have different widths")
    return Shape("float64", _size(tensors, "base"))


def _leaves(inputs: Sequence[Shape], _s: Settings, tensors: Tensors) -> Shape:
    _one(inputs, "float64", "float32")
    return Shape("float64", _size(tensors, "roots"))


def _indices(inputs: Sequence[Shape], _s: Settings, _t: Tensors) -> Shape:
    _one(inputs, "int32")
    return Shape("float32", 1)


def _cast(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    return Shape(settings["to"], _one(inputs, *DENSE).width)


def _dense(inputs: Sequence[Shape], _s: Settings, _t: Tensors) -> Shape:
    return Shape("float64", _one(inputs, "float64", sparse=True).width)


def _clip(inputs: Sequence[Shape], settings: Settings, _t: Tensors) -> Shape:
    _require(settings["low"] <= settings["high"], "clip's low is above its high")
    return _one(inputs, "float64")


_VALUE = {"value": ("float64", 1)}
_UNICODE = {"blocks": ("uint8", 1), "classes": ("uint8", 1), "lower": ("int32", 1), "special": ("int32", 2)}
_DICTIONARY = {"bytes": ("uint8", 1), "offsets": ("uint32", 1), "table": ("uint64", 2)}
_STOP = {f"stop_{name}?": kind for name, kind in _DICTIONARY.items()}
_NGRAMS = {"analyzer": ("word", "char", "char_wb"), "low": "int", "high": "int", "token?": "int", "binary": "bool"}
_SUMS = {"finite?": "bool", "fused?": "bool"}
_TREES = {
    "roots": ("int32", 1),
    "feature": ("int32", 1),
    "threshold": ("float64", 1),
    "left": ("int32", 1),
    "right": ("int32", 1),
    "leaf": ("int32", 1),
    "flags": ("uint8", 1),
    "bits?": ("uint32", 1),
    "bit_start?": ("int32", 1),
    "bit_count?": ("int32", 1),
    "values": ("float64", 2),
    "base": ("float64", 1),
}
_TREE_SETTINGS = {
    "compare": ("le", "lt"),
    "columns?": "ints",
    "divide?": "float",
    "precision?": ("float64", "float32"),
    "nan?": "bool",
    "accepts?": ("any", "no_infinity", "finite"),
}

_OPERATORS: Mapping[str, _Operator] = {
    "concat": _Operator(_concat),
    "select": _Operator(_select, {"columns": "ints"}),
    "cast": _Operator(_cast, {"to": ("float32", "float64")}),
    "dense": _Operator(_dense),
    "mean": _Operator(_mean),
    "finite": _Operator(_same(sparse=True), {"nan": "bool"}),
    "add": _Operator(_per_column(), {}, _VALUE),
    "sub": _Operator(_per_column(), {}, _VALUE),
    "mul": _Operator(_per_column(sparse=True), {}, _VALUE),
    "div": _Operator(_per_column(sparse=True), {}, _VALUE),
    "clip": _Operator(_clip, {"low": "float", "high": "float"}),
    "impute": _Operator(_per_column(), {}, _VALUE),
    "missing": _Operator(_same()),
    "equal_missing": _Operator(_same(), {"value": "float"}),
    "normalize": _Operator(_normalize, {"norm": ("l1", "l2", "max")}),
    "binarize": _Operator(_binarize, {"threshold": "float"}),
    "function": _Operator(_same(), {"name": FUNCTIONS}),
    "bins": _Operator(_bins, {"counts": "ints"}, {"edges": ("float64", 1)}),
    "polynomial": _Operator(_polynomial, {}, {"powers": ("int32", 2)}),
    "lookup": _Operator(
        _lookup,
        {"unknown": "float or none"},
        {f"{name}?": kind for name, kind in _DICTIONARY.items()} | {"keys?": ("float64", 1), "codes": ("float64", 1)},
    ),
    "expand": _Operator(_expand, {"sizes": "ints"}),
    "gather": _Operator(_gather, {}, {"table": ("float64", 2)}),
    "csv": _Operator(_csv, {"separator": "text", "missing": "text or none", "fields": "int", "columns": "ints"}),
    "parse": _Operator(_parse, {"to": ("float64", "int32")}),
    "lower": _Operator(_text, {}, _UNICODE),
    "replace_characters": _Operator(
        _text, {}, {"blocks": ("uint8", 1), "rows": ("int32", 1), "bytes": ("uint8", 1), "offsets": ("uint32", 1)}
    ),
    "ngrams": _Operator(_ngrams, _NGRAMS, _DICTIONARY | {f"{n}?": k for n, k in _UNICODE.items()} | _STOP),
    "hashing": _Operator(
        _hashing,
        _NGRAMS | {"width": "int", "alternate_sign": "bool"},
        {f"{n}?": k for n, k in _UNICODE.items()} | _STOP,
    ),
    "tfidf": _Operator(_tfidf, {"sublinear": "bool"}, {"idf?": ("float64", 1)}),
    "linear": _Operator(_rows_by("coef"), _SUMS, {"coef": ("float64", 2), "intercept": ("float64", 1)}),
    "project": _Operator(_rows_by("matrix"), _SUMS, {"matrix": ("float64", 2)}),
    "distances": _Operator(_rows_by("centers"), _SUMS, {"centers": ("float64", 2)}),
    "nearest": _Operator(_rows_by("centers", one=True), _SUMS, {"centers": ("float64", 2)}),
    "link": _Operator(_link, {"kind": LINKS}),
    "argmax": _Operator(_argmax),
    "sigmoid_calibration": _Operator(_calibration, {"a": "float", "b": "float"}),
    "isotonic": _Operator(_isotonic, {}, {"x": ("float64", 1), "y": ("float64", 1)}),
    "trees": _Operator(_trees, _TREE_SETTINGS, _TREES),
    "leaves": _Operator(
        _leaves, {k: v for k, v in _TREE_SETTINGS.items() if k in ("compare", "nan?", "accepts?")}, _TREES
    ),
    "indices_linear": _Operator(_indices, {}, {"table": ("float32", 2), "bias": ("float32", 1)}),
    "fm": _Operator(_indices, {}, {"table": ("float32", 2), "bias": ("float32", 1)}),
    "deepfm": _Operator(
        _indices,
        {"layers": "int"},
        {"table": ("float32", 2), "bias": ("float32", 1), "head": ("float32", 2)},
        more="kernel layer_bias",
    ),
}
OPERATORS = tuple(_OPERATORS)
