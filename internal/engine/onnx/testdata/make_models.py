"""The ONNX models of the engine's tests: NAME/model.onnx below the directory that is given.

A row of `indices` is 8 indices into a table of 100; `golden.json` beside it has rows and what onnxruntime answers in
Python. The other models are described where they are made.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

F, D, I32, I64, S = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64, TensorProto.STRING)
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
Shape = list[str | int | None]


def tensor(name: str, array: object, dtype: type) -> onnx.TensorProto:
    """Return an initializer."""
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[tuple[str, int, Shape]],
    outputs: list[onnx.ValueInfoProto | tuple[str, int, Shape]],
    constants: list[onnx.TensorProto] | None = None,
) -> onnx.ModelProto:
    """Return a model, unchecked: some are not to be loaded."""
    infos = [o if isinstance(o, onnx.ValueInfoProto) else helper.make_tensor_value_info(*o) for o in outputs]
    ins = [helper.make_tensor_value_info(*i) for i in inputs]
    graph = helper.make_graph(nodes, "test", ins, infos, constants or [])
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=9)


def indices() -> onnx.ModelProto:
    """Return a logistic regression over int32[N, 8]."""
    weights = np.random.default_rng(1).normal(size=100)
    return model(
        [
            helper.make_node("Gather", ["table", "rows"], ["e"], name="look_up"),
            helper.make_node("ReduceSum", ["e", "axes"], ["sum"], keepdims=0),
            helper.make_node("Sigmoid", ["sum"], ["probability"]),
        ],
        [("rows", I32, ["N", 8])],
        [("probability", F, ["N"])],
        [tensor("table", weights, np.float32), tensor("axes", [1], np.int64)],
    )


def mixed() -> onnx.ModelProto:
    """Return a model of every type: `sum` is a0 + a1 + a2, `more` b + (c0, c1) + 10 · code(d), `e_too` e.

    The code of x is 1, of y 2, of any other text 0.
    """
    return model(
        [
            helper.make_node("ReduceSum", ["a", "axes"], ["sum"], keepdims=1),
            helper.make_node("Cast", ["c"], ["c_double"], to=D),
            helper.make_node(
                "LabelEncoder",
                ["d"],
                ["code"],
                domain="ai.onnx.ml",
                keys_strings=["x", "y"],
                values_floats=[1.0, 2.0],
                default_float=0.0,
            ),
            helper.make_node("Cast", ["code"], ["code_double"], to=D),
            helper.make_node("Mul", ["code_double", "ten"], ["tens"]),
            helper.make_node("Add", ["b", "c_double"], ["b_and_c"]),
            helper.make_node("Add", ["b_and_c", "tens"], ["more"]),
            helper.make_node("Cast", ["e"], ["e_too"], to=F),
        ],
        [("a", F, [None, 3]), ("b", D, ["n", 1]), ("c", I64, ["n", 2]), ("d", S, ["n", 1]), ("e", I32, ["n"])],
        [("sum", F, ["n", 1]), ("more", D, ["n", 2]), ("e_too", F, ["n"])],
        [tensor("axes", [1], np.int64), tensor("ten", 10.0, np.float64)],
    )


def classifier(labels: dict[str, object], kind: int) -> onnx.ModelProto:
    """Return a linear classifier of three classes, with its labels."""
    return model(
        [
            helper.make_node(
                "LinearClassifier",
                ["x"],
                ["which", "scores"],
                domain="ai.onnx.ml",
                name="linear",
                coefficients=[1.0, 0.0, 0.0, 1.0, -1.0, -1.0],
                intercepts=[0.0, 0.0, 0.5],
                multi_class=0,
                post_transform="SOFTMAX",
                **labels,
            ),
            helper.make_node("Identity", ["which"], ["label"]),
        ],
        [("x", F, [None, 2])],
        [("label", kind, [None]), ("scores", F, [None, 3])],
    )


def zipmap() -> onnx.ModelProto:
    """Return a classifier whose probabilities are a list of maps."""
    proto = classifier({"classlabels_ints": [1, 2, 3]}, I64)
    proto.graph.node.append(
        helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[1, 2, 3])
    )
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(I64, helper.make_tensor_type_proto(F, None)))
    proto.graph.output[1].CopyFrom(helper.make_value_info("maps", maps))
    return proto


def wide() -> onnx.ModelProto:
    """Return a model that needs 16 KB for each row on the way to one number."""
    return model(
        [
            helper.make_node("MatMul", ["x", "w"], ["hidden"]),
            helper.make_node("Sin", ["hidden"], ["bent"]),
            helper.make_node("ReduceSum", ["bent", "axes"], ["y"], keepdims=0),
        ],
        [("x", F, ["n", 2])],
        [("y", F, ["n"])],
        [tensor("w", np.ones((2, 4096)), np.float32), tensor("axes", [1], np.int64)],
    )


def labels_alone() -> onnx.ModelProto:
    """Return a classifier that gives no probabilities."""
    proto = classifier({"classlabels_ints": [1, 2, 3]}, I64)
    del proto.graph.output[1]
    return proto


def same(shape: Shape, kind: int = F, to: int = F) -> onnx.ModelProto:
    """Return a model that casts its one input."""
    return model([helper.make_node("Cast", ["x"], ["y"], to=to)], [("x", kind, shape)], [("y", to, shape)])


def external(location: str, folder: Path) -> onnx.ModelProto:
    """Return a model whose table is in a file."""
    proto = indices()
    table = next(t for t in proto.graph.initializer if t.name == "table")
    (folder / "table.bin").write_bytes(table.raw_data)
    table.ClearField("raw_data")
    table.data_location = TensorProto.EXTERNAL
    table.external_data.add(key="location", value=location)
    return proto


def main(root: Path) -> None:
    """Write all of them."""
    models = {
        "indices": indices(),
        "mixed": mixed(),
        "classifier": classifier({"classlabels_strings": ["a", "b", "c"]}, S),
        "numbered": classifier({"classlabels_ints": [7, 8, 9]}, I64),
        "zipmap": zipmap(),
        "more_labels": classifier({"classlabels_ints": [7, 8, 9, 10]}, I64),
        "labels_alone": labels_alone(),
        "wide": wide(),
        "fixed": same([4, 2]),
        "scalar": same([]),
        "cube": same(["n", 2, 2]),
        "any_width": same(["n", "k"]),
        "bytes": same(["n", 2], TensorProto.UINT8),
        "counts": same(["n", 2], to=I64),
        "no_rows": model([helper.make_node("Unique", ["x"], ["y"])], [("x", F, ["n", 2])], [("y", F, ["m"])]),
        "texts": same(["n", 2], S),
        "unknown_operator": model([helper.make_node("NoSuch", ["x"], ["y"])], [("x", F, ["n"])], [("y", F, ["n"])]),
        "nan": model([helper.make_node("Log", ["x"], ["y"])], [("x", F, ["n"])], [("y", F, ["n"])]),
    }
    for name in ("external", "escapes", "lacks_data", "linked"):
        (root / name).mkdir(parents=True)
    models["external"] = external("table.bin", root / "external")
    models["escapes"] = external("../external/table.bin", root / "escapes")
    models["lacks_data"] = external("other.bin", root / "lacks_data")
    models["linked"] = external("link.bin", root / "linked")
    (root / "linked" / "link.bin").symlink_to(root / "external" / "table.bin")
    for name, proto in models.items():
        (root / name).mkdir(exist_ok=True)
        (root / name / "model.onnx").write_bytes(proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(root / "indices" / "model.onnx"))
    x = np.random.default_rng(2).integers(0, 100, (40, 8), np.int32)
    (p,) = session.run(None, {"rows": x})
    (root / "golden.json").write_text(json.dumps({"x": x.tolist(), "p": p.tolist()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
