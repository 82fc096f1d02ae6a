"""ONNX's operators that move columns: shapes, types, selection."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from pytrain.plan.onnx_graph import ML, TYPES, Known, Node, operator, rounded
from pytrain.plan.values import concat


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
    known = n.any_rows(0)
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
