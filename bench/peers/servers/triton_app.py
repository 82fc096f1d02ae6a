"""Triton through nvidia-pytriton: the real server with its dynamic batcher. The model runs in this process."""

import os

import engine
import numpy as np
from engine import MAX_BATCH, option
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

if __name__ == "__main__":
    model = engine.load()

    @batch
    def infer(rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"probability": model(rows)[:, None]}

    port = int(os.environ["PORT"])
    loopback = {f"{kind}_address": "127.0.0.1" for kind in ("http", "grpc", "metrics")}
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    threads = {"http_thread_count": int(option("HTTP_THREADS", "8"))}
    delay = DynamicBatcher(max_queue_delay_microseconds=int(float(option("WAIT_MS", "2")) * 1e3))
    with Triton(config=TritonConfig(**loopback, **ports, **threads, log_verbose=0)) as triton:
        triton.bind(
            model_name="bench",
            infer_func=[infer] * int(option("WORKERS", "1")),
            inputs=[Tensor(name="rows", dtype=np.int32, shape=(32,))],
            outputs=[Tensor(name="probability", dtype=np.float32, shape=(1,))],
            config=ModelConfig(max_batch_size=MAX_BATCH, batcher=delay),
            strict=False,
        )
        triton.serve()
