"""TorchServe with its own batching: archive the handler, write the configuration, start the server."""

import os
import subprocess
import sys
from pathlib import Path

from engine import MAX_BATCH, option

HERE = Path(__file__).resolve().parent
LOG4J = """<?xml version="1.0"?>
<Configuration status="warn">
  <Appenders><Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%d %p %c %m%n"/></Console></Appenders>
  <Loggers><Root level="error"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


def main() -> None:
    port, tuned = int(os.environ["PORT"]), option("SERVER", "tuned") == "tuned"
    workers, wait_ms = option("WORKERS", "1"), option("WAIT_MS", "2")
    model = {"minWorkers": workers, "maxWorkers": workers, "responseTimeout": "120"}
    if option("BATCH", "own") == "own":
        model |= {"batchSize": str(MAX_BATCH), "maxBatchDelay": wait_ms}
    Path("model.yaml").write_text("".join(f"{key}: {value}\n" for key, value in model.items()))
    Path("store").mkdir(exist_ok=True)
    archiver = Path(sys.executable).with_name("torch-model-archiver")
    archive = [archiver, "--force", "--model-name", "bench", "--version", "1.0", "--config-file", "model.yaml"]
    subprocess.run([*archive, "--handler", HERE / "torchserve/handler.py", "--export-path", "store"], check=True)
    config = {
        "inference_address": f"http://127.0.0.1:{port}",
        "management_address": f"http://127.0.0.1:{port + 1}",
        "metrics_address": f"http://127.0.0.1:{port + 2}",
        "grpc_inference_port": port + 3,
        "grpc_management_port": port + 4,
        "model_store": "store",
        "load_models": "bench.mar",
        "disable_token_authorization": "true",
        "job_queue_size": 1000,
    }
    if tuned:
        config |= {
            "disable_system_metrics": "true",
            "enable_metrics_api": "false",
            "number_of_netty_threads": option("NETTY", "1"),
            "netty_client_threads": "1",
            "use_native_io": "true",
            "prefer_direct_buffer": "true",
        }
    Path("config.properties").write_text("".join(f"{key}={value}\n" for key, value in config.items()))
    command = ["torchserve", "--start", "--foreground", "--ts-config", "config.properties"]
    if tuned:
        Path("log4j2.xml").write_text(LOG4J)
        command += ["--log-config", "log4j2.xml"]
    environment = os.environ | {
        "PYTHONPATH": str(HERE / "torchserve"),
        "SERVERS": str(HERE),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(Path.cwd()),  # its pid file
    }
    os.execve(Path(sys.executable).with_name("torchserve"), command, environment)


if __name__ == "__main__":
    main()
