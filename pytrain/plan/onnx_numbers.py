"""ONNX's operators on numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytrain.plan.onnx_graph import ML, Known, Node, like, operator, rounded

if TYPE_CHECKING:
    import numpy.typing as npt

_LARGEST = float(np.finfo(np.float32).max)


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
