"""Versions that pytrain learnt as ONNX models: the serving graph (export.py), operator by operator.

    rows int32[N, F] → probability float[N]

The operators are those of ONNX itself (opset 18), so that any runtime has them. Their arithmetic is float32, as
TensorFlow's is. `check` proves by the version's golden rows that nothing else differs.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from pytrain import build
from pytrain import manifest as mf
from pytrain.errors import ConfigError, VersionError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from pytrain.frames import Float32s, Int32s
    from pytrain.loop import Learnt
    from pytrain.plan.learned import Weights
    from pytrain.recipe import Recipe

FORMAT = "onnx"  # also the folder of its files in a version
OPSET, IR_VERSION = 18, 9  # what runtimes of the last three years read
_MOST_BYTES = 2**31 - 2**20  # of one message of protobuf


class _Graph:
    """Nodes and constants that are chained."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **settings: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **settings))
        return output


def model_of(recipe: Recipe, weights: Weights, *, where: str) -> onnx.ModelProto:
    """Return the ONNX model of a recipe's weights.

    Parameters
    ----------
    where
        What to call the version in messages.

    Raises
    ------
    ConfigError
        The table is larger than an ONNX file can be.
    """
    if weights.table.nbytes > _MOST_BYTES:
        raise ConfigError(
            f"has a table of {weights.table.nbytes} bytes, and an ONNX file at most 2 GB",
            where=where,
            remedy="serve the SavedModel, or give the recipe fewer buckets",
        )
    g = _Graph()
    bias = g.constant("bias", weights.bias)
    axis = g.constant("fields_axis", np.array([1], np.int64))
    if weights.head is None:
        table = g.constant("table", weights.table[:, 0])
        found = g.add("Gather", [table, "rows"], "weights", axis=0)  # (N, F)
        logit = g.add("Add", [g.add("ReduceSum", [found, axis], "sum", keepdims=0), bias], "logit")
    else:
        table = g.constant("table", weights.table)
        found = g.add("Gather", [table, "rows"], "embeddings", axis=0)  # (N, F, 1 + k)
        s = g.add("ReduceSum", [found, axis], "sum", keepdims=0)
        q = g.add("ReduceSum", [g.add("Mul", [found, found], "squares"), axis], "sum_of_squares", keepdims=0)
        pairs = g.add("Sub", [g.add("Mul", [s, s], "square_of_sum"), q], "pairs")
        parts = [s, pairs]
        if weights.kernels:
            shape = g.constant("row", np.array([-1, len(weights.kernels[0])], np.int64))
            h = g.add("Reshape", [found, shape], "flattened")  # (N, F·(1 + k))
            for i, (kernel, layer_bias) in enumerate(zip(weights.kernels, weights.biases, strict=True)):
                layer = [h, g.constant(f"kernel{i}", kernel), g.constant(f"layer_bias{i}", layer_bias)]
                h = g.add("Relu", [g.add("Gemm", layer, f"layer{i}")], f"hidden{i}")
            parts.append(h)
        head = g.constant("head", weights.head)
        logits = g.add("Gemm", [g.add("Concat", parts, "parts", axis=1), head, bias], "logits")  # (N, 1)
        logit = g.add("Reshape", [logits, g.constant("flat", np.array([-1], np.int64))], "logit")
    g.add("Sigmoid", [logit], "probability")
    version, _ = build.version_and_commit()
    rows = helper.make_tensor_value_info("rows", TensorProto.INT32, ["N", recipe.space.row_len])
    probability = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])
    return helper.make_model(
        helper.make_graph(g.nodes, recipe.model, [rows], [probability], g.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="pytrain",
        producer_version=version,
    )


def check(data: bytes, x: Int32s, p: Float32s, *, where: str) -> float:
    """Run a model in onnxruntime; return how far it is from golden rows x (n, F) with probabilities p (n,).

    Raises
    ------
    VersionError
        It is more than the tolerance of golden rows.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"rows": x})
    worst = float(np.abs(got - p).max())
    if not worst <= mf.TOLERANCE:
        raise VersionError(
            f"as an ONNX model it is off its golden rows by {worst:.2g}, more than {mf.TOLERANCE}",
            where=where,
            remedy="report this with the recipe; nothing was written",
        )
    return worst


@dataclass(frozen=True)
class OnnxWriter:
    """Writes versions of the format onnx: an exported model with the recipe and golden rows of the version it is from.

    Attributes
    ----------
    data
        The serialised model.
    source
        The version's directory.
    name
        The model's name in the store.
    """

    data: bytes
    source: Path
    manifest: mf.Manifest
    name: str

    def write(self, directory: Path, version: int, learnt: Learnt) -> None:
        """Fill an empty directory with a complete version; the caller syncs and renames it."""
        (directory / FORMAT).mkdir()
        (directory / FORMAT / "model.onnx").write_bytes(self.data)
        (directory / mf.GOLDEN).parent.mkdir()
        for kept in (mf.RECIPE, mf.GOLDEN):
            (directory / kept).write_bytes((self.source / kept).read_bytes())
        document = mf.Manifest(
            model=self.name,
            version=version,
            label=self.manifest.label,
            created=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            row_len=self.manifest.row_len,
            table_rows=self.manifest.table_rows,
            formats=(FORMAT,),
            files=mf.hash_files(directory),
            training=self.manifest.training,
            metrics=learnt.metrics,
        )
        (directory / mf.MANIFEST).write_bytes(document.dump())
