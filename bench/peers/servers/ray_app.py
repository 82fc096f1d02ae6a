"""Ray Serve with its own batching. Environment variables set its modes (HAProxy, throughput)."""

import os
import signal
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no usage reports over the network

import engine
import numpy as np
import orjson
import ray
from engine import MAX_BATCH, option
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(
    num_replicas=int(option("WORKERS", "1")), max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.5}
)
class Bench:
    def __init__(self) -> None:
        self.predict = engine.load()

    @serve.batch(
        max_batch_size=MAX_BATCH, batch_wait_timeout_s=float(option("WAIT_MS", "2")) / 1e3, max_concurrent_batches=1
    )
    async def batched(self, rows: list[list[int]]) -> list[float]:
        return self.predict(np.array(rows, np.int32)).tolist()

    async def __call__(self, request: Request) -> Response:
        row = orjson.loads(await request.body())["instances"][0]
        answer = orjson.dumps({"predictions": [await self.batched(row)]})
        return Response(answer, media_type="application/json")


if __name__ == "__main__":
    inherited = {name: value for name, value in os.environ.items() if name.isupper()}
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        object_store_memory=200 << 20,
        runtime_env={"env_vars": inherited | {"PYTHONPATH": str(Path(__file__).parent)}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Bench.bind(), route_prefix=engine.PATH, blocking=False)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
