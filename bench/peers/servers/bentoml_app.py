"""BentoML with its adaptive batching."""

import os
import sys
from pathlib import Path
from typing import Annotated

import bentoml
import engine
import numpy as np
from bentoml.validators import DType
from engine import MAX_BATCH, option


@bentoml.service(workers=int(option("WORKERS", "1")), traffic={"timeout": 10}, metrics={"enabled": False})
class Bench:
    def __init__(self) -> None:
        self.model = engine.load()

    @bentoml.api(
        route=engine.PATH,
        batchable=option("BATCH", "own") == "own",
        max_batch_size=MAX_BATCH,
        max_latency_ms=int(option("MAX_LATENCY_MS", "100")),
    )
    def predict(self, instances: Annotated[np.ndarray, DType("int32")]) -> np.ndarray:
        return self.model(instances)


if __name__ == "__main__":
    here = str(Path(__file__).resolve().parent)
    serve = [sys.executable, "-m", "bentoml", "serve", "bentoml_app:Bench", "--working-dir", here]
    os.execv(sys.executable, [*serve, "--host", "127.0.0.1", "--port", os.environ["PORT"]])
