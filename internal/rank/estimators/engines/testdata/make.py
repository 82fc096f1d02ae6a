"""Write ONNX classifiers with their descriptions, as users do, and what scikit-learn gives, as JSON, to stdout."""

import json
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from pytrain.workers.files import Column, write_onnx

directory = Path(sys.argv[1])
rng = np.random.default_rng(4)
FIELDS = [("country",), ("device",), ("country", "hour")]
ML = "ai.onnx.ml"


def model(nodes, inputs):
    """Return a model of nodes that give `label` and `scores`, as skl2onnx writes them with zipmap=False."""
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2]),
    ]
    graph = helper.make_graph(nodes, "classifier", [helper.make_tensor_value_info(*i) for i in inputs], outputs)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def linear(coef, intercept, source="x"):
    """Return the node of a logistic regression."""
    return helper.make_node(
        "LinearClassifier",
        [source],
        ["label", "scores"],
        domain=ML,
        coefficients=[*(-coef), *coef],
        intercepts=[-intercept, intercept],
        classlabels_ints=[0, 1],
        multi_class=0,
        post_transform="LOGISTIC",
    )


def profile():
    """Return a profile, with values that no training saw, and fields that are absent."""
    p = {"country": str(rng.choice(["DE", "PL", "FR", "XX"])), "device": f"d{rng.integers(40)}"}
    return p | {"hour": str(rng.integers(5))} if rng.random() < 0.8 else p


def texts(profiles):
    """Return the features' texts."""
    return np.array([["\x1f".join(p.get(name, "") for name in of) for of in FIELDS] for p in profiles], dtype=object)


profiles = [profile() for _ in range(30)]
want = {}
for i, options in enumerate(
    [{"handle_unknown": "ignore"}, {"handle_unknown": "infrequent_if_exist", "min_frequency": 8}]
):
    seen = [p for p in (profile() for _ in range(300)) if p["country"] != "XX"]
    encoder = OneHotEncoder(**options).fit(texts(seen))
    fitted = LogisticRegression().fit(encoder.transform(texts(seen)), rng.integers(0, 2, len(seen)))
    name = f"linear {i}"
    want[name] = [float(p) for p in fitted.predict_proba(encoder.transform(texts(profiles)))[:, 1]]
    data = model(
        [linear(fitted.coef_[0], fitted.intercept_[0])], [("x", TensorProto.FLOAT, [None, fitted.coef_.shape[1]])]
    )
    write_onnx(
        directory,
        name,
        data,
        encoder=encoder,
        fields=FIELDS,
        version=7,
        variance=0.5,
        golden=profiles[:3],
        probabilities=want[name][:3],
    )

# Named inputs: the code of a country, a number and an integer.
nodes = [
    helper.make_node(
        "LabelEncoder",
        ["land"],
        ["code"],
        domain=ML,
        keys_strings=["DE", "PL"],
        values_floats=[1.0, -1.0],
        default_float=0.25,
    ),
    helper.make_node("Cast", ["hour"], ["hours"], to=TensorProto.FLOAT),
    helper.make_node("Concat", ["code", "price", "hours"], ["x"], axis=1),
    linear(np.array([0.5, -2.0, 0.125]), -1.0),
]
inputs = [
    (n, t, [None, 1])
    for n, t in (("land", TensorProto.STRING), ("price", TensorProto.FLOAT), ("hour", TensorProto.INT64))
]
named = [{"country": c, "price": str(p), "hour": str(h)} for c, p, h in (("DE", 0.5, 1), ("PL", 0.0, 23), ("", 2.0, 7))]
code = {"DE": 1.0, "PL": -1.0}
logits = [0.5 * code.get(p["country"], 0.25) - 2 * float(p["price"]) + 0.125 * int(p["hour"]) - 1 for p in named]
write_onnx(
    directory,
    "named",
    model(nodes, inputs),
    columns=[Column("land", ("country",)), Column("price", ("price",), "float64"), Column("hour", ("hour",), "int64")],
    version=3,
    golden=named,
    probabilities=[float(1 / (1 + np.exp(-z))) for z in logits],
)
json.dump({"profiles": profiles, "want": want, "named": named, "logits": logits}, sys.stdout)
