"""ONNX models as plans: what they give is what onnxruntime gives, and what no plan can express is refused by name."""

from __future__ import annotations

import json
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pytrain.cli_plan import port
from pytrain.errors import InputError, Refusal
from pytrain.plan.onnx_port import OnnxModel, ask, fitting, golden_rows, import_onnx, read_onnx
from tests.pytrain.plan.reference import run

ROOT = Path(__file__).resolve().parents[3]
F, D, I64, S = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
Info = tuple[str, int, list[Any]]
X: list[Info] = [("x", F, ["n", 3])]
Y: list[Info] = [("y", F, ["n", 3])]
COLUMN: list[Info] = [("y", F, ["n", 1])]


def i64(values: Any) -> Any:
    return np.array(values, np.int64)


def f32(values: Any) -> Any:
    return np.array(values, np.float32)


def f64(values: Any) -> Any:
    return np.array(values, np.float64)


def model(nodes: list[onnx.NodeProto], inputs: list[Info], outputs: list[Info], **constants: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=9)


def op(name: str, inputs: str, outputs: str, **settings: Any) -> onnx.NodeProto:
    return helper.make_node(name, inputs.split(), outputs.split(), name=name.lower(), **settings)


def ml(name: str, inputs: str, outputs: str, **settings: Any) -> onnx.NodeProto:
    return op(name, inputs, outputs, domain="ai.onnx.ml", **settings)


def agrees(proto: onnx.ModelProto, *, exact: bool) -> OnnxModel:
    """Check a plan against onnxruntime on random and on golden rows."""
    ported = import_onnx(proto, file="m.onnx")
    plan = ported.plan
    rng = np.random.default_rng(5)
    random: Any = {v.name: ["x"] * 200 if v.type == "text" else rng.normal(0, 2, (200, v.width)) for v in plan.inputs}
    golden, outputs = golden_rows(ported, seed=0)
    assert len(next(iter(outputs.values()))) >= 16
    rows = fitting(plan, random)
    for given, (want, answered) in ((rows, ask(ported, rows)), (golden, (outputs, None))):
        got, refused = run(plan, given)
        kept = np.ones(len(refused), bool) if answered is None else answered
        assert not (refused & kept).any()
        for name, value in want.items():
            a, b = got[name][kept], value[kept]
            close = np.abs(a - b) <= plan.tolerance * np.maximum(1, np.abs(b))
            assert (close | (np.isnan(a) & np.isnan(b))).all(), np.abs(a - b).max()
    assert plan.tolerance == (1e-12 if exact else 1e-6)
    return ported


def trees(
    name: str,
    kind: str,
    columns: int,
    *,
    positive: bool = False,
    one_each: bool = False,
    reads: str = "x",
    **settings: Any,
) -> Any:
    """Return a node of 30 random trees of depth 2, with branches of every mode."""
    rng = np.random.default_rng(columns)
    nodes: dict[str, list[Any]] = {
        f"nodes_{n}": [] for n in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    nodes["nodes_missing_value_tracks_true"] = []
    leaves: dict[str, list[Any]] = {f"{kind}_{n}": [] for n in ("treeids", "nodeids", "ids", "weights")}
    modes = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE")
    for tree, node in product(range(30), range(7)):
        leaf = node > 2
        row: tuple[Any, ...] = (
            tree,
            node,
            0 if leaf else int(rng.integers(3)),
            0.0 if leaf else float(np.float32(rng.normal())),
        )
        row += ("LEAF" if leaf else str(rng.choice(modes)), 0 if leaf else 2 * node + 1, 0 if leaf else 2 * node + 2)
        for key, value in zip(nodes, (*row, int(rng.integers(2))), strict=True):
            nodes[key].append(value)
        for column in ([tree % columns] if one_each else range(columns)) if leaf else ():
            weight = float(rng.normal())
            for key, value in zip(leaves, (tree, node, column, abs(weight) if positive else weight), strict=True):
                leaves[key].append(value)
    outputs = "y" if kind == "target" else "label y"
    return ml(name, reads, outputs, **nodes, **leaves, **settings)


@pytest.mark.parametrize(
    ("targets", "one_each", "base", "aggregate"),
    list(product((1, 3), (False, True), (False, True), ("SUM", "AVERAGE"))),
)
def test_tree_regressors_are_equal_to_the_last_bit(targets: int, one_each: bool, base: bool, aggregate: str) -> None:
    settings: Any = {"base_values": [0.3] * targets} if base else {}
    node = trees(
        "TreeEnsembleRegressor", "target", targets, one_each=one_each, n_targets=targets, aggregate_function=aggregate,
        **settings,
    )  # fmt: skip
    ported = agrees(model([node], X, [("y", F, ["n", targets])]), exact=True)
    assert list(ported.plan.outputs) == ["value"]


@pytest.mark.parametrize(
    ("columns", "labels", "positive", "post"),
    [
        (1, [0, 1], True, "NONE"),
        (1, [0, 1], False, "NONE"),
        (1, [0, 1], False, "LOGISTIC"),
        (2, [3, 5], False, "SOFTMAX"),
        (3, [4, 5, 6], False, "LOGISTIC"),
        (3, [4, 5, 6], True, "NONE"),
    ],
)
def test_tree_classifiers(columns: int, labels: list[int], positive: bool, post: str) -> None:
    node = trees(
        "TreeEnsembleClassifier", "class", columns, positive=positive, post_transform=post, classlabels_int64s=labels
    )
    outputs: list[Info] = [("label", I64, ["n"]), ("y", F, ["n", len(labels)])]
    ported = agrees(model([node], X, outputs), exact=post == "NONE")
    assert list(ported.plan.outputs) == ["probability"]
    assert ported.plan.labels == tuple(labels)


SCALER = {"offset": [0.1, 0.2, 0.3], "scale": [1.5, 0.3, 7.0]}
C = f32([0.1, 3, 7])
EXACT = {
    **{f"{name} a constant": model([op(name, "x c", "y")], X, Y, c=C) for name in ("Add", "Sub", "Mul", "Div")},
    **{f"{name} of a constant": model([op(name, "c x", "y")], X, Y, c=C[None]) for name in ("Add", "Sub", "Mul")},
    "Scaler": model([ml("Scaler", "x", "y", **SCALER)], X, Y),
    "Scaler and trees": model(
        [
            ml("Scaler", "x", "s", **SCALER),
            op("Identity", "s", "s2"),
            trees("TreeEnsembleRegressor", "target", 1, n_targets=1, reads="s2"),
        ],
        X,
        COLUMN,
    ),
    "Imputer": model(
        [ml("Imputer", "x", "y", imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=float("nan"))], X, Y
    ),
    "Binarizer": model([ml("Binarizer", "x", "y", threshold=0.5)], X, Y),
    "Relu": model([op("Relu", "x", "y")], X, Y),
    "columns": model(
        [
            ml("ArrayFeatureExtractor", "x c", "a"),
            op("Gather", "x last", "b", axis=1),
            op("Unsqueeze", "b one", "b2"),
            op("Concat", "a b2", "j", axis=1),
            ml("FeatureVectorizer", "j x", "y", inputdimensions=[3, 3]),
        ],
        X,
        [("y", F, ["n", 6])],
        c=i64([2, 0]),
        last=i64(-1),
        one=i64([1]),
    ),
    "OneHotEncoder": model(
        [ml("OneHotEncoder", "c", "h", cats_int64s=[0, 1, -2, 5]), op("Reshape", "h s", "y")],
        [("c", I64, ["n", 2])],
        [("y", F, ["n", 8])],
        s=i64([-1, 8]),
    ),
    "OneHotEncoder that refuses": model(
        [ml("OneHotEncoder", "c", "h", cats_int64s=[0, 1, -2, 2, -1], zeros=0), op("Flatten", "h", "y")],
        [("c", I64, ["n", 2])],
        [("y", F, ["n", 10])],
    ),
    "LabelEncoder of text": model(
        [ml("LabelEncoder", "d", "y", keys_strings=["x", "y"], values_floats=[1.0, 2.5], default_float=-1.0)],
        [("d", S, ["n", 1])],
        COLUMN,
    ),
    "LabelEncoder of whole numbers": model(
        [
            ml("LabelEncoder", "c", "e", keys_int64s=[0, -2], values_int64s=[7, 8], default_int64=9),
            op("Cast", "e", "y", to=F),
        ],
        [("c", I64, ["n", 1])],
        COLUMN,
    ),
    "constants that are computed": model([op("Neg", "c", "d"), op("Mul", "x d", "y")], X, Y, c=C),
}  # fmt: skip
W = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
LINEAR = {"coefficients": W.ravel().tolist(), "intercepts": [0.1, 0.2]}
OPPOSITE = {"coefficients": [*W[:, 0].tolist(), *(-W[:, 0]).tolist()], "intercepts": [0.1, -0.1]}
P: list[Info] = [("y", F, ["n", 2])]
CLOSE = {
    "logistic regression": model(
        [op("MatMul", "x w", "m"), op("Add", "m b", "a"), op("Sigmoid", "a", "y")], X, P, w=W, b=f32([0.1, 0.2])
    ),
    "Gemm of doubles": model(
        [op("Cast", "x", "d", to=D), op("Gemm", "d w b", "y", transB=1)],
        X,
        [("y", D, ["n", 2])],
        w=W.T.astype(np.float64),
        b=f64([0.1, 0.2]),
    ),
    "layers": model([op("Gemm", "x w b", "h"), op("Tanh", "h", "t"), op("Softmax", "t", "y")], X, P, w=W, b=W[0]),
    "Normalizer": model([ml("Scaler", "x", "s", **SCALER), ml("Normalizer", "s", "y", norm="L2")], X, Y),
    **{
        f"LinearRegressor {post}": model(
            [ml("LinearRegressor", "x", "y", targets=2, post_transform=post, **LINEAR)], X, P
        )
        for post in ("NONE", "LOGISTIC", "SOFTMAX")
    },
    **{
        f"LinearClassifier {post}": model(
            [
                ml("LinearClassifier", "x", "l p", post_transform=post, classlabels_strings=["no", "yes"], **OPPOSITE),
                ml("Normalizer", "p", "y", norm="L1"),
            ],
            X,
            [("l", S, ["n"]), *P],
        )
        for post in ("LOGISTIC", "SOFTMAX")
    },
    **{name: model([op(name, "x", "y")], X, Y) for name in ("Exp", "Log", "Sqrt", "Sin", "Reciprocal", "Abs", "Floor")},
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_equal_to_the_last_bit(name: str) -> None:
    agrees(EXACT[name], exact=True)


@pytest.mark.parametrize("name", CLOSE)
def test_what_is_within_the_rounding_of_float32(name: str) -> None:
    ported = agrees(CLOSE[name], exact=False)
    if name.startswith("LinearClassifier"):
        assert ported.plan.labels == ("no", "yes")


def test_refusals_name_operator_place_and_substitute() -> None:
    def f(proto: onnx.ModelProto, *wants: str) -> None:
        with pytest.raises(Refusal) as e:
            import_onnx(proto, file="m.onnx")
        assert not [want for want in wants if want not in str(e.value)], str(e.value)

    f(model([op("Conv", "x w", "y")], X, Y, w=C), "m.onnx: conv: Conv: no plan can express ai.onnx.Conv", "format onnx")
    f(model([ml("SVMRegressor", "x", "y")], X, Y), "ai.onnx.ml.SVMRegressor", ".skops")
    f(model([op("Add", "x x", "y")], X, Y), "add: Add: computes with two tensors that rows decide")
    f(model([op("Div", "c x", "y")], X, Y, c=C), "div: Div", "use Reciprocal and Mul")
    f(model([op("Cast", "x", "y", to=I64)], X, [("y", I64, ["n", 3])]), "casts float32 to INT64")
    f(model([op("Reshape", "x s", "y")], X, Y, s=i64([-1])), "joins or splits rows", "[-1, k]")
    f(model([ml("Normalizer", "x", "y", norm="MAX")], X, Y), "has norm 'MAX'", "use L1 or L2")
    f(model([ml("Imputer", "x", "y", imputed_value_floats=[1.0], replaced_value_float=2.0)], X, Y), "and NaN stays")
    f(
        model([trees("TreeEnsembleRegressor", "target", 1, post_transform="LOGISTIC")], X, COLUMN),
        "treeensembleregressor: TreeEnsembleRegressor: has post_transform = 'LOGISTIC'",
    )
    one_by_one = ml("LinearClassifier", "x", "l p", post_transform="LOGISTIC", classlabels_ints=[0, 1], **LINEAR)
    f(
        model([one_by_one, ml("Normalizer", "p", "y", norm="L1")], X, P),
        "normalizer: Normalizer: would enlarge how float32 rounds what it reads",
        ".skops",
    )
    equal = trees("TreeEnsembleRegressor", "target", 1, n_targets=1)
    next(a for a in equal.attribute if a.name == "nodes_modes").strings[0] = b"BRANCH_EQ"
    f(model([equal], X, COLUMN), "has nodes of mode BRANCH_EQ", ".txt")
    f(model([op("Identity", "x", "y")], [("x", F, ["n", "k"])], Y), "the input 'x' has the shape [None, None]")


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    for data in (b"", b"no model", EXACT["Scaler"].SerializeToString()[:-20]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="is no valid ONNX model"):
            read_onnx(path)
    with pytest.raises(InputError, match=r"is no valid ONNX model: .*No such file"):
        read_onnx(tmp_path / "other.onnx")


def test_the_engine_gives_what_onnxruntime_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classifier = trees(
        "TreeEnsembleClassifier", "class", 3, post_transform="SOFTMAX", classlabels_strings=["a", "b", "c"]
    )
    outputs: list[Info] = [("label", S, ["n"]), ("y", F, ["n", 3])]
    for name, proto in {
        "deep": model([classifier], X, outputs),
        "logistic": CLOSE["logistic regression"],
        "categories": EXACT["OneHotEncoder that refuses"],
        "scaled": EXACT["Scaler"],
        "columns": EXACT["columns"],
    }.items():
        onnx.save_model(proto, tmp_path / f"{name}.onnx")
        port(tmp_path / f"{name}.onnx", store_dir=tmp_path / "store", model=name)
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["version"] == 1
        verify = [ROOT / "bin/bidder", "verify", tmp_path / "store" / name / "1"]
        verified = subprocess.run([str(word) for word in verify], capture_output=True, text=True, check=False)
        assert verified.returncode == 0, verified.stderr
