"""`python -m bench.plans.peers.trees_to_onnx MODEL.txt OUT.onnx`: convert a LightGBM model by onnxmltools."""

from __future__ import annotations

import sys
from pathlib import Path

import lightgbm
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

if __name__ == "__main__":
    source, out = sys.argv[1:]
    booster = lightgbm.Booster(model_file=source)
    types = [("x", FloatTensorType([None, booster.num_feature()]))]
    Path(out).write_bytes(convert_lightgbm(booster, initial_types=types, zipmap=False).SerializeToString())
