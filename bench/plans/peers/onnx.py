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
    outputs = [o.name for o in session.get_outputs() if "prob" in o.name.lower()] or None
    inputs = session.get_inputs()
    if len(inputs) == 1 and inputs[0].type == "tensor(string)":
        return lambda rows: session.run(outputs, {inputs[0].name: rows[:, None]})
    if len(inputs) == 1:
        return lambda rows: session.run(outputs, {inputs[0].name: rows.astype(np.float32)})
    texts = {i.name: i.type == "tensor(string)" for i in inputs}

    def table(rows: Any) -> Any:
        columns = {}
        for name, is_text in texts.items():
            values = rows[name].to_numpy()
            columns[name] = (values if is_text else values.astype(np.float32))[:, None]
        return session.run(outputs, columns)

    return table


if __name__ == "__main__":
    main(load)
