"""KServe's model server. Its batcher is a Kubernetes sidecar, so each request is computed alone."""

import os

import engine
import kserve
import numpy as np


class Bench(kserve.Model):
    def __init__(self) -> None:
        super().__init__("bench")
        self.model = engine.load()
        self.ready = True

    def predict(self, payload: dict, headers: object = None, response_headers: object = None) -> dict:
        return {"predictions": self.model(np.array(payload["instances"], np.int32)).tolist()}


if __name__ == "__main__":
    server = kserve.ModelServer(
        http_port=int(os.environ["PORT"]), enable_grpc=False, workers=1, enable_docs_url=False, access_log_format=None
    )
    server.start([Bench()])
