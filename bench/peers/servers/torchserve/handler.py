"""TorchServe's handler: a batch of requests in, as many answers out. It runs TensorFlow."""

import os
import sys
from functools import cache
from typing import Any

sys.path.insert(0, os.environ["SERVERS"])

import engine
import numpy as np
import orjson


@cache
def model() -> engine.Predict:
    """The worker's model. The first call, before any request, loads it."""
    return engine.load()


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[bytes] | None:
    predict = model()
    if data is None:
        return None
    bodies = [request.get("body") or request.get("data") for request in data]
    rows = [(body if isinstance(body, dict) else orjson.loads(body))["instances"][0] for body in bodies]
    return [orjson.dumps({"predictions": [p]}) for p in predict(np.array(rows, np.int32)).tolist()]
