"""onnxruntime with a session a model, one thread each; the models are fitted pipelines that skl2onnx converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import onnxruntime

from bench.plans.peers.serving import Scorer, main
from pytrain.plan.columns import read_columns


class Columns:
    """Rows as sessions read them: texts (n, 1), and numbers (n, width) as float32, by name."""

    def __init__(self, by_name: dict[str, Any]) -> None:
        self._by_name = by_name

    def __len__(self) -> int:
        return len(next(iter(self._by_name.values())))

    def __getitem__(self, chosen: Any) -> dict[str, Any]:
        return {name: values[chosen] for name, values in self._by_name.items()}


def load(fleet: dict[str, Any], model: dict[str, str]) -> Scorer:
    return scorer((Path(fleet["onnx"]) / f"{model['name']}.onnx").read_bytes())


def scorer(graph: bytes) -> Scorer:
    """Make a session of a graph; it runs in the caller's thread alone."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    outputs = [o.name for o in session.get_outputs() if "prob" in o.name.lower()] or None
    if len(names) == 1:
        return lambda rows: session.run(outputs, rows)[0]
    return lambda rows: session.run(outputs, {name: rows[name] for name in names})[0]


def read(file: Path) -> Columns:
    """Read a table; a missing text is an empty one, since ONNX has no other."""
    by_name = read_columns(msgpack.unpackb(file.with_suffix(".msgpack").read_bytes()))
    return Columns(
        {
            name: values.astype(np.float32)
            if isinstance(values, np.ndarray)
            else np.array([text or "" for text in values], object)[:, None]
            for name, values in by_name.items()
        }
    )


if __name__ == "__main__":
    main(load, read)
