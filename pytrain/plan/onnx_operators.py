"""The operators of ONNX that plans have: numbers, structure, categories and linear models. Trees are in onnx_trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from pytrain.plan.graph import Value, concat
from pytrain.plan.onnx_graph import ML, TYPES, Known, Node, operator, rounded

if TYPE_CHECKING:
    import numpy.typing as npt

_MOST_WHOLE = 2**53
_LARGEST = float(np.finfo(np.float32).max)


def like(known: Known, value: Value, shape: tuple[int, ...] | None = None) -> list[Known]:
    """Return the result of an operator: of the type of its input, rounded to it."""
    return [Known(known.type, rounded(value, known.type), shape=known.shape if shape is None else shape)]


# --- structure


@operator("Identity", "Dropout")
def identity(n: Node) -> list[Known]:
    """Return the input."""
    known = n.inputs[0]
    assert known is not None  # noqa: S101 - ONNX requires it
    return [known]


@operator("Cast")
def cast(n: Node) -> list[Known]:
    """Change the type; the label of a classifier stays one."""
    known = n.inputs[0]
    if known is not None and known.labels:
        return [known]
    known, to = n.rows(), TYPES.get(n.settings["to"])
    if to is None or to == "text" or (to == "int" and known.type != "int"):
        name = TensorProto.DataType.Name(n.settings["to"])
        raise n.refuse(f"casts {known.type} to {name}", "cast to FLOAT or DOUBLE, or cast before the model")
    return [Known(to, rounded(known.columns, to), shape=known.shape)]


@operator("Reshape", "Squeeze", "Unsqueeze", "Flatten")
def reshape(n: Node) -> list[Known]:
    """Change the shape of a row. Its values and their order stay, and so must the rows."""
    known = n.inputs[0]
    if known is not None and known.labels:
        return [known]
    known = _any(n, 0)
    op, rank = n.proto.op_type, len(known.shape) + 1
    match op:
        case "Flatten":
            n.only({"axis": (1,)})
            shape: tuple[int, ...] = (known.width,)
        case "Reshape":
            n.only({"allowzero": (0,)})
            first, *rest = (int(d) for d in n.constant(1))
            shape = _reshaped(n, known, rest) if first in (-1, 0) else ()
            if first not in (-1, 0) or (first == -1 and -1 in rest):
                raise n.refuse(
                    f"has the shape {[first, *rest]}, which may join or split rows", "keep the rows: [-1, k]"
                )
        case _:
            axes = _axes(n, rank + (len(_axes(n, 0)) if op == "Unsqueeze" else 0))
            if 0 in axes:
                raise n.refuse("changes the dimension of the rows", "keep the first dimension")
            full = list(known.shape)
            if op == "Unsqueeze":
                for axis in sorted(axes):
                    full.insert(axis - 1, 1)
            else:
                full = [d for i, d in enumerate(full) if i + 1 not in axes] if axes else [d for d in full if d != 1]
            shape = tuple(full)
    return [Known(known.type, known.value, shape=shape)]


def _reshaped(n: Node, known: Known, rest: list[int]) -> tuple[int, ...]:
    dims = [known.shape[i] if d == 0 and i < len(known.shape) else d for i, d in enumerate(rest)]
    if -1 in dims:
        others = int(np.prod([d for d in dims if d != -1]))
        dims[dims.index(-1)] = known.width // max(others, 1)
    if int(np.prod(dims)) != known.width:
        raise n.refuse(
            f"makes {dims} of {known.width} values a row, which joins or splits rows", "keep the rows: [-1, k]"
        )
    return tuple(dims)


def _axes(n: Node, rank: int) -> list[int]:
    axes = n.constant(1).ravel().tolist() if len(n.inputs) > 1 else n.get("axes", ())
    return [int(a) + rank if a < 0 else int(a) for a in axes]


def _any(n: Node, i: int) -> Known:
    """Return an input that rows decide, text too."""
    known = n.inputs[i] if i < len(n.inputs) else None
    return known if known is not None and known.type == "text" and known.value is not None else n.rows(i)


@operator("Concat")
def join(n: Node) -> list[Known]:
    """Join columns."""
    parts = [n.rows(i) for i in range(len(n.inputs))]
    axis = n.settings["axis"]
    if any(len(p.shape) != 1 for p in parts) or axis not in (1, -1):
        raise n.refuse("joins along another axis than the columns", "use axis=1 over tensors [N, k]")
    if len({p.type for p in parts}) > 1:
        raise n.refuse("joins tensors of several types", "cast them to one")
    return [Known(parts[0].type, concat([p.columns for p in parts]), shape=(sum(p.width for p in parts),))]


@operator("FeatureVectorizer", domain=ML)
def feature_vectorizer(n: Node) -> list[Known]:
    """Join columns as float32."""
    parts = [n.rows(i) for i in range(len(n.inputs))]
    sizes = [p.width for p in parts]
    if list(n.get("inputdimensions", sizes)) != sizes:
        raise n.refuse(f"has inputdimensions {n.settings['inputdimensions']}, its inputs {sizes}", "export it again")
    return [Known("float32", concat([rounded(p.columns, "float32") for p in parts]), shape=(sum(sizes),))]


@operator("Gather")
def gather(n: Node) -> list[Known]:
    """Choose columns."""
    known, indices, axis = n.rows(), n.constant(1), n.get("axis", 0)
    if len(known.shape) != 1 or axis not in (1, -1) or indices.ndim > 1:
        raise n.refuse("chooses other than columns", "use axis=1 over a tensor [N, k]")
    columns = [int(i) + known.width if i < 0 else int(i) for i in indices.ravel()]
    return [Known(known.type, known.columns.select(columns), shape=(len(columns),) if indices.ndim else ())]


@operator("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(n: Node) -> list[Known]:
    """Choose columns of the last axis."""
    known, indices = n.rows(), n.constant(1)
    if len(known.shape) != 1:
        raise n.refuse("chooses of other than columns", "use it over a tensor [N, k]")
    return [Known(known.type, known.columns.select(indices.ravel()), shape=(indices.size,))]


# --- numbers


def _operand(n: Node, i: int, known: Known) -> npt.NDArray[np.float64]:
    """Return a constant that is the same for each row, a value a column."""
    constant = n.constant(i)
    found = constant
    if constant.ndim == len(known.shape) + 1 and constant.shape[0] == 1:
        found = constant[0]
    if found.ndim > len(known.shape) and found.size == 1:
        found = found.reshape(())
    if known.type != "int" and not np.isfinite(found).all():
        raise n.refuse("computes with a constant that is not finite", "train the model again")
    try:
        return np.broadcast_to(found.astype(np.float64), known.shape or (1,)).ravel()
    except ValueError:
        message = f"computes with a constant of shape {list(constant.shape)} and {list(known.shape)} values a row"
        raise n.refuse(message, "use a constant of one value a column") from None


@operator("Add", "Sub", "Mul", "Div")
def arithmetic(n: Node) -> list[Known]:
    """Compute with one constant a column. Rounded after the operator, it is what float32 gives."""
    second = n.inputs[1]
    first_is_constant = second is not None and second.constant is None
    at = 0 if first_is_constant else 1
    known = n.rows(1 - at)
    if n.inputs[at] is not None and getattr(n.inputs[at], "constant", None) is None:
        raise n.refuse(
            "computes with two tensors that rows decide", "let one operator of the model do it: MatMul of both, joined"
        )
    value, op = _operand(n, at, known), n.proto.op_type
    if known.type == "int" and op == "Div":
        raise n.refuse("divides whole numbers", "cast them to FLOAT first")
    x = known.columns
    match op, first_is_constant:
        case "Add", _:
            found = x.add(value)
        case "Mul", _:
            found = x.mul(value)
        case "Sub", False:
            found = x.sub(value)
        case "Sub", True:
            found = x.mul(-1.0).add(value)
        case "Div", False:
            found = x.div(value)
        case _:
            raise n.refuse("divides a constant by a column", "use Reciprocal and Mul")
    return like(known, found)


_FUNCTIONS = {
    "Abs": "abs",
    "Neg": "negative",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
    "Sin": "sin",
    "Cos": "cos",
    "Tanh": "tanh",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "rint",
    "Sign": "sign",
}


@operator(*_FUNCTIONS)
def function(n: Node) -> list[Known]:
    """Compute a function of each number."""
    known = n.rows()
    if n.proto.op_type in ("Log", "Reciprocal", "Sqrt"):
        n.refuse_enlarged(known)
    return like(known, known.columns.function(_FUNCTIONS[n.proto.op_type]))


@operator("Sigmoid")
def sigmoid(n: Node) -> list[Known]:
    """Compute 1 / (1 + exp(−x))."""
    known = n.rows()
    return like(known, known.columns.link("sigmoid"))


@operator("Softmax")
def softmax(n: Node) -> list[Known]:
    """Compute shares of the columns."""
    known = n.rows()
    if len(known.shape) != 1 or n.get("axis", -1) not in (1, -1):
        raise n.refuse("has another axis than the columns", "use axis=1 over a tensor [N, k]")
    return like(known, known.columns.link("softmax"))


@operator("Relu")
def relu(n: Node) -> list[Known]:
    """Compute max(x, 0)."""
    known = n.rows()
    return like(known, known.columns.clip(0.0, _LARGEST if known.type == "float32" else np.finfo(np.float64).max))


@operator("Scaler", domain=ML)
def scaler(n: Node) -> list[Known]:
    """Compute (x − offset) · scale, in float32."""
    known = n.rows()
    offset, scale = n.floats("offset"), n.floats("scale")
    if not {len(offset), len(scale)} <= {1, known.width}:
        raise n.refuse(
            f"has {len(offset)} offsets and {len(scale)} scales for {known.width} columns", "export it again"
        )
    moved = rounded(known.columns.sub(offset), "float32")
    return [Known("float32", rounded(moved.mul(scale), "float32"), shape=known.shape)]


@operator("Imputer", domain=ML)
def imputer(n: Node) -> list[Known]:
    """Replace one value, or NaN, by one number a column."""
    known = n.rows()
    if "imputed_value_int64s" in n.settings:
        values, replaced = (
            np.asarray(n.settings["imputed_value_int64s"], np.float64),
            float(n.get("replaced_value_int64", 0)),
        )
    else:
        values, replaced = n.floats("imputed_value_floats"), float(np.float32(n.get("replaced_value_float", 0.0)))
    if len(values) not in (1, known.width) or not np.isfinite(values).all():
        raise n.refuse(
            f"has {len(values)} values for {known.width} columns, or some that are not finite", "export it again"
        )
    if not np.isnan(replaced):
        raise n.refuse(f"replaces {replaced:g}, and NaN stays", "replace NaN, and write missing numbers as NaN")
    return [Known(known.type, known.columns.impute(values), shape=known.shape)]


@operator("Normalizer", domain=ML)
def normalizer(n: Node) -> list[Known]:
    """Divide a row by its norm."""
    known, norm = n.rows(), n.get("norm", "MAX")
    if norm not in ("L1", "L2"):
        raise n.refuse(f"has norm {norm!r}, whose sign onnxruntime keeps", "use L1 or L2")
    n.refuse_enlarged(known)
    return [Known("float32", rounded(known.columns.normalize(norm.lower()), "float32"), shape=known.shape)]


@operator("Binarizer", domain=ML)
def binarizer(n: Node) -> list[Known]:
    """Compute 1 where x > threshold, else 0."""
    known = n.rows()
    return like(known, known.columns.binarize(float(np.float32(n.get("threshold", 0.0)))))


# --- categories


def _whole(n: Node, values: Any) -> list[float]:
    if any(abs(v) > _MOST_WHOLE for v in values):
        raise n.refuse("has a whole number beyond 2^53", "use smaller ones")
    return [float(v) for v in values]


def _lookup(n: Node, known: Known, codes: dict[Any, float], unknown: float | None) -> Value:
    if known.width != 1:
        raise n.refuse(f"reads {known.width} columns", "give each column its own")
    if known.type == "text":
        return known.columns.lookup_texts(codes, unknown=unknown)
    return known.columns.lookup_numbers(codes, unknown=unknown)


@operator("LabelEncoder", domain=ML)
def label_encoder(n: Node) -> list[Known]:
    """Look a value up."""
    known = _any(n, 0)
    kinds = {"text": "strings", "int": "int64s"}
    kind = kinds.get(known.type, "floats")
    keys = n.get(f"keys_{kind}", n.get("classes_strings", ()) if kind == "strings" else ())
    if not keys:
        raise n.refuse(f"has no keys_{kind} for its {known.type} input", "export it for this type")
    unique: dict[Any, float] = {}
    if "values_strings" in n.settings or ("classes_strings" in n.settings and kind != "strings"):
        raise n.refuse("gives texts, which plans do not", "give whole numbers or floats")
    if "values_floats" in n.settings:
        to, values, default = (
            "float32",
            n.floats("values_floats").tolist(),
            float(np.float32(n.get("default_float", -0.0))),
        )
    elif "classes_strings" in n.settings:
        to, values, default = "int", [float(i) for i in range(len(keys))], float(n.get("default_int64", -1))
    elif "values_int64s" in n.settings:
        to, values, default = "int", _whole(n, n.settings["values_int64s"]), float(n.get("default_int64", -1))
    else:
        raise n.refuse("has its keys or values as tensors", "export it with ai.onnx.ml opset 2 or 3")
    read = _whole(n, keys) if kind == "int64s" else [float(np.float32(k)) if kind == "floats" else k for k in keys]
    for key, value in zip(read, values, strict=True):
        if key != key:  # noqa: PLR0124 - NaN
            raise n.refuse("has NaN as a key", "put an Imputer before it")
        unique.setdefault(key, value)
    return [Known(to, _lookup(n, known, unique, default), shape=known.shape)]


@operator("OneHotEncoder", domain=ML)
def one_hot_encoder(n: Node) -> list[Known]:
    """Make a column of each category."""
    known = _any(n, 0)
    categories: Any = n.get("cats_strings", ()) or _whole(n, n.get("cats_int64s", ()))
    if ("cats_strings" in n.settings) != (known.type == "text") or known.type in ("float32", "float64"):
        raise n.refuse(f"reads {known.type}", "give it text for cats_strings, and whole numbers for cats_int64s")
    parts = []
    for column in [known.columns] if known.type == "text" else known.columns.columns():
        part = Known(known.type, column, shape=(1,))
        unknown = float(len(categories)) if n.get("zeros", 1) else None
        codes = {category: float(i) for i, category in enumerate(categories)}
        parts.append(_lookup(n, part, codes, unknown).expand([len(categories)]).dense())
    return [Known("float32", concat(parts), shape=(*known.shape, len(categories)))]


# --- linear models


def _sum(n: Node, coef: npt.NDArray[Any], intercept: Any, known: Known) -> Value:
    """Return coef · x + intercept; the type's own sums differ from it in their last places."""
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise n.refuse("has a weight that is not finite", "train the model again")
    if coef.shape[1] != known.width:
        raise n.refuse(f"has {coef.shape[1]} weights for {known.width} columns", "export it again")
    return rounded(known.columns.linear(coef, intercept, finite=False), known.type)


@operator("MatMul", "Gemm")
def matrix(n: Node) -> list[Known]:
    """Multiply by a matrix, and maybe add."""
    known, weights = n.rows(), n.constant(1).astype(np.float64)
    if len(known.shape) != 1 or weights.ndim not in (1, 2):
        raise n.refuse("multiplies other than a tensor [N, k] by a matrix", "reshape it to [N, k]")
    if known.type == "int":
        raise n.refuse("multiplies whole numbers", "cast them to FLOAT first")
    n.only({"transA": (0,), "alpha": (1.0,), "beta": (1.0,), "transB": (0, 1)})
    coef = (weights if n.get("transB", 0) else weights.T) if weights.ndim == 2 else weights[None]
    intercept: Any = np.zeros(len(coef))
    if len(n.inputs) > 2 and n.inputs[2] is not None:
        added = n.constant(2).astype(np.float64)
        if added.size not in (1, len(coef)):
            raise n.refuse(f"adds a constant of shape {list(added.shape)}", "add one value a column")
        intercept = np.broadcast_to(added.ravel(), (len(coef),))
    value = _sum(n, np.ascontiguousarray(coef), intercept, known)
    return [Known(known.type, value, shape=(len(coef),) if weights.ndim == 2 else ())]


LINKS = {"NONE": "", "LOGISTIC": "sigmoid", "SOFTMAX": "softmax"}


def linked(n: Node, value: Value) -> Value:
    """Return what `post_transform` makes of scores, each in float32."""
    transform = n.get("post_transform", "NONE")
    if transform not in LINKS:
        raise n.refuse(f"has post_transform {transform!r}", f"use one of {', '.join(LINKS)}")
    return rounded(value.link(LINKS[transform]), "float32") if LINKS[transform] else value


@operator("LinearRegressor", domain=ML)
def linear_regressor(n: Node) -> list[Known]:
    """Compute sums, and their transform."""
    known, targets = n.rows(), int(n.get("targets", 1))
    coef = n.floats("coefficients").reshape(targets, -1)
    intercept = n.floats("intercepts") if "intercepts" in n.settings else np.zeros(targets)
    single = Known("float32", rounded(known.columns, "float32"), shape=known.shape)
    if targets == 1:
        n.only({"post_transform": ("NONE", "LOGISTIC")})
    return [Known("float32", linked(n, _sum(n, coef, intercept, single)), shape=(targets,))]


def labels_of(n: Node, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the classes of a classifier."""
    for name in names:
        if n.get(name, ()):
            return tuple(n.settings[name])
    raise n.refuse("has no classlabels", "export it again")


@operator("LinearClassifier", domain=ML)
def linear_classifier(n: Node) -> list[Known]:
    """Compute the scores of classes. Of one score, onnxruntime makes two."""
    known = n.rows()
    labels = labels_of(n, ("classlabels_strings", "classlabels_ints"))
    intercept = n.floats("intercepts")
    scores = len(intercept)
    coef = n.floats("coefficients").reshape(scores, -1)
    single = Known("float32", rounded(known.columns, "float32"), shape=known.shape)
    if scores != len(labels):
        raise n.refuse(f"has {scores} scores for {len(labels)} classes", "export it with a score for each class")
    value = linked(n, _sum(n, coef, intercept, single))
    opposite = scores == 2 and np.array_equal(coef[0], -coef[1]) and intercept[0] == -intercept[1]
    post = n.get("post_transform", "NONE")
    shares = post == "SOFTMAX" or (post == "LOGISTIC" and opposite)
    return [Known("text", labels=labels), Known("float32", value, shape=(scores,), shares=shares)]
