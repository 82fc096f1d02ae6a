"""onnxruntime with a session a model, one thread each; the models are fitted pipelines that skl2onnx converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from bench.plans.peers.serving import Scorer, main


def load(fleet: dict[str, Any], model: dict[str, str]) -> Scorer:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    file = Path(fleet["onnx"]) / f"{model['name']}.onnx"
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    outputs = [o.name for o in session.get_outputs() if "prob" in o.name.lower()] or None
    name = inputs[0].name
    if inputs[0].type == "tensor(string)":
        return lambda rows: session.run(outputs, {name: rows[:, None]})
    return lambda rows: session.run(outputs, {name: rows})


def narrow(rows: Any) -> Any:
    """Turn numbers into float32, which converted trees read, before any clock starts."""
    return rows if rows.dtype == object else rows.astype(np.float32)


if __name__ == "__main__":
    main(load, narrow)
