"""MLServer with its adaptive batching. This file is its runtime; as a program it writes the settings and starts it."""

import json
import os
import sys
from pathlib import Path

import engine
from engine import MAX_BATCH, option
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Bench(MLModel):
    async def load(self) -> bool:
        self.model = engine.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("probability", self.model(rows)[:, None])
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=[output])


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": int(option("WORKERS", "0")),
        "debug": False,
        "use_structured_logging": False,
    }
    model = {"name": "bench", "implementation": "mlserver_app.Bench"}
    if option("BATCH", "own") == "own":
        model |= {"max_batch_size": MAX_BATCH, "max_batch_time": float(option("WAIT_MS", "2")) / 1e3}
    Path("settings.json").write_text(json.dumps(server))
    Path("model-settings.json").write_text(json.dumps(model))
    here = str(Path(__file__).resolve().parent)
    program = Path(sys.executable).with_name("mlserver")
    os.execve(program, [str(program), "start", "."], os.environ | {"PYTHONPATH": here})
