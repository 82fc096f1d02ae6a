"""`python to_onnx.py WEIGHTS.npz OUT.onnx`: write the version's serving graph as ONNX, with its weights."""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def build(weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The graph of pytrain/export.py: probability = σ([S, S² − Q, MLP(E)] · head + bias)."""
    width = weights["table"].shape[1]
    first = weights["kernels/0"].shape[0]
    layers = sum(name.startswith("kernels/") for name in weights)
    constants = weights | {"axis": np.array([1]), "flat": np.array([-1, first]), "vector": np.array([-1])}
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "rows"], ["e"]),  # (B, F, 1 + k)
        node("ReduceSum", ["e", "axis"], ["s"], keepdims=0),  # (B, 1 + k)
        node("Mul", ["e", "e"], ["e2"]),
        node("ReduceSum", ["e2", "axis"], ["q"], keepdims=0),
        node("Mul", ["s", "s"], ["s2"]),
        node("Sub", ["s2", "q"], ["pairs"]),
        node("Reshape", ["e", "flat"], ["h0"]),  # (B, F·(1 + k))
    ]
    for i in range(layers):
        nodes += [
            node("Gemm", [f"h{i}", f"kernels/{i}", f"biases/{i}"], [f"g{i}"]),
            node("Relu", [f"g{i}"], [f"h{i + 1}"]),
        ]
    nodes += [
        node("Concat", ["s", "pairs", f"h{layers}"], ["parts"], axis=1),
        node("Gemm", ["parts", "head", "bias"], ["logit"]),  # (B, 1)
        node("Sigmoid", ["logit"], ["p"]),
        node("Reshape", ["p", "vector"], ["probability"]),
    ]
    row_len = first // width
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("rows", TensorProto.INT32, [None, row_len])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    source, out = sys.argv[1:]
    onnx.save(build(dict(np.load(source))), out)
