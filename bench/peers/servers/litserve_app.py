"""LitServe with its own batching, or one request at a time (BATCH=none)."""

import os

import engine
import litserve
import numpy as np
from engine import MAX_BATCH, option

BATCHED = option("BATCH", "own") == "own"


class Bench(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = engine.load()

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["instances"][0], np.int32)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model(rows if BATCHED else rows[None])

    def unbatch(self, output: np.ndarray) -> list[float]:
        return output.tolist()

    def encode_response(self, output: float) -> dict:
        return {"predictions": [output if BATCHED else float(output[0])]}


if __name__ == "__main__":
    batching = {"max_batch_size": MAX_BATCH, "batch_timeout": float(option("WAIT_MS", "2")) / 1e3} if BATCHED else {}
    server = litserve.LitServer(
        Bench(api_path=engine.PATH, **batching),
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=option("FAST_QUEUE", "1") == "1",
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=int(option("WORKERS", "1")),
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
