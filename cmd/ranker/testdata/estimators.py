"""Write classifiers of four campaigns for three scorers, and what they give for a profile, as JSON, to stdout.

Below the directory that is given: `estimators` of workers for shoes and hats, `onnx` for boots, and the model store
`store` with a plan for socks.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pytrain import loop
from pytrain.cli_fit import publish
from pytrain.plan.importing import import_model
from pytrain.plan.version import PlanWriter
from pytrain.recipe import OBJECTS
from pytrain.workers.files import write_one_hot, write_onnx

directory, version = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(version)
x = np.stack([rng.choice(["DE", "PL", "FR"], 300), rng.choice(["mobile", "desktop"], 300)], axis=1).astype(object)
y = rng.integers(0, 2, 300)
FIELDS = [("country",), ("device",)]
encoder = OneHotEncoder(handle_unknown="ignore").fit(x)
rows = encoder.transform(x)
row = encoder.transform(np.array([["DE", "mobile"]], dtype=object))
golden = [{"country": "DE", "device": "mobile"}]
want = {}
for name in ("estimators", "onnx", "store"):
    (directory / name).mkdir(exist_ok=True)
for campaign, estimator in (("shoes", LogisticRegression()), ("hats", BernoulliNB())):
    fitted = estimator.fit(rows, y)
    write_one_hot(directory / "estimators", campaign, fitted, encoder, FIELDS, version=version, golden=golden)
    want[campaign] = float(fitted.predict_proba(row)[0, 1])

linear = LogisticRegression().fit(rows, y)
want["boots"] = float(linear.predict_proba(row)[0, 1])
node = helper.make_node(
    "LinearClassifier",
    ["x"],
    ["label", "scores"],
    domain="ai.onnx.ml",
    coefficients=[*(-linear.coef_[0]), *linear.coef_[0]],
    intercepts=[-linear.intercept_[0], linear.intercept_[0]],
    classlabels_ints=[0, 1],
    post_transform="LOGISTIC",
)
graph = helper.make_graph(
    [node],
    "classifier",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, rows.shape[1]])],
    [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2]),
    ],
)
opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
write_onnx(
    directory / "onnx",
    "boots",
    model,
    encoder=encoder,
    fields=FIELDS,
    version=version,
    golden=golden,
    probabilities=[want["boots"]],
)

frame = pd.DataFrame({"country": x[:, 0], "device": x[:, 1]})
pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(C=2)).fit(frame, y)
want["socks"] = float(pipeline.predict_proba(pd.DataFrame([{"country": "DE", "device": "mobile"}]))[0, 1])
store = directory / "store"
writer = PlanWriter(
    import_model(pipeline, file="socks"), name="socks", label="sale", objects=store / OBJECTS, where="socks"
)
publish(store, "socks", writer, loop.Learnt(rows=300, pos=None, from_ms=0, to_ms=0, metrics={}))
json.dump(want, sys.stdout)
