"""The model of the Python servers: int32 rows (n, F) to float32 probabilities (n,), on one thread.

TensorFlow is called through a session's callable, which needs two thirds of the CPU of the SavedModel's signature. The
session has Gavel's settings: one thread inside an operation, and the graph runs on the caller's thread.
"""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

MODEL = Path(os.environ["MODEL"])  # the version's directory
MAX_BATCH = 128
PATH = "/v1/models/bench:predict"

Predict = Callable[[np.ndarray], np.ndarray]


def option(name: str, default: str) -> str:
    """Return a setting of the server's configuration, an environment variable."""
    return os.environ.get(name, default)


def load() -> Predict:
    """Return the warm model. Unless GC=default, objects allocated so far are exempt from garbage collection."""
    predict = onnx() if option("ENGINE", "tensorflow") == "onnx" else tensorflow()
    for n in range(1, MAX_BATCH + 1):
        predict(np.zeros((n, 32), np.int32))
    if option("GC", "freeze") == "freeze":
        gc.collect()
        gc.freeze()
    return predict


def tensorflow() -> Predict:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    if option("TF", "tuned") == "default":  # as in TensorFlow's guide
        served = tf.saved_model.load(str(MODEL)).signatures["serving_default"]
        return lambda rows: served(rows=tf.constant(rows))["probability"].numpy()
    one_thread = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1)
    session = tf.compat.v1.Session(graph=tf.Graph(), config=one_thread)
    with session.graph.as_default():
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(MODEL)).signature_def["serving_default"]
    return session.make_callable(signature.outputs["probability"].name, [signature.inputs["rows"].name])


def onnx() -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.environ["ONNX"], options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"rows": rows})[0]
