"""The servers, and the configurations they are measured in.

`best` is a peer's best configuration here, `default` the one of its guide, and `tried` were not better. The figures are
in docs/decisions/0007-peers.md. A server's options are explained in its script. Gavel's are keys of its configuration
and environment variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.peers.protocol import Protocol, instances, v2

Role = Literal["best", "default", "tried"]


@dataclass(frozen=True)
class Server:
    """One server in one configuration. Peers are in `servers/`, each with its own virtual environment."""

    peer: str  # the server's short name
    title: str  # the name in tables
    environment: str = ""  # build/peers/<environment>; empty: Gavel itself
    script: str = ""  # servers/<script>
    settings: Mapping[str, str] = field(default_factory=dict)  # environment variables of the script; see GAVEL
    protocol: Protocol = field(default_factory=instances)
    python: str = ""  # the interpreter that it needs; empty: Gavel's
    programs: tuple[str, ...] = ()  # other programs that it needs
    isolate: bool = False  # it listens on every interface, so it needs its own network
    role: Role = "best"
    variant: str = ""  # which configuration, unless it is the best

    @property
    def name(self) -> str:
        """The unique name of the configuration."""
        return f"{self.peer}:{self.variant}" if self.variant else self.peer

    def also(self, variant: str, role: Role = "tried", **settings: str) -> Server:
        """Return another configuration of the same peer."""
        title = f"{self.title}, {variant.replace('-', ' ')}"
        return replace(self, variant=variant, title=title, role=role, settings={**self.settings, **settings})


# In a closed loop a batch gains nothing by waiting for all callers (docs/decisions/0012-direct.md). Eigen's kernels are
# faster for single rows (0010-onednn.md). With GOMAXPROCS=4, runners in TensorFlow do not take the loop's P.
GAVEL = Server("gavel", "Gavel", settings={"batcher.policy": "eager", "TF_ENABLE_ONEDNN_OPTS": "0", "GOMAXPROCS": "4"})

QUEUE = Server(
    "fastapi-queue",
    "FastAPI + TensorFlow, own queue",
    environment="fastapi",
    script="fastapi_app.py",
    settings={"WORKERS": "2", "RUN": "inline", "WAIT_MS": "0"},
)
TENSORFLOW = Server(
    "fastapi-tensorflow",
    "FastAPI + TensorFlow, unbatched",
    environment="fastapi",
    script="fastapi_app.py",
    settings={"BATCH": "none", "WORKERS": "2"},
)
ONNX_QUEUE = Server(
    "fastapi-onnx-queue",
    "FastAPI + onnxruntime, own queue",
    environment="onnx",
    script="fastapi_app.py",
    settings={"ENGINE": "onnx", "WORKERS": "2", "RUN": "thread", "WAIT_MS": "0"},
)
ONNX = Server(
    "fastapi-onnx",
    "FastAPI + onnxruntime, unbatched",
    environment="onnx",
    script="fastapi_app.py",
    settings={"ENGINE": "onnx", "BATCH": "none", "WORKERS": "2"},
)
TORCHSERVE = Server(
    "torchserve",
    "TorchServe",
    environment="torchserve",
    script="torchserve_app.py",
    protocol=instances("/predictions/bench"),
    settings={"WORKERS": "1", "WAIT_MS": "2", "NETTY": "2"},
    programs=("java",),
)
TRITON = Server(
    "triton",
    "Triton (pytriton)",
    environment="triton",
    script="triton_app.py",
    settings={"WORKERS": "1", "WAIT_MS": "2"},
    protocol=v2(),
    python="/usr/bin/python3.11",  # its stub crashes under other builds
)
RAY = Server(
    "ray",
    "Ray Serve",
    environment="ray",
    script="ray_app.py",
    settings={"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
    isolate=True,
)
MLSERVER = Server(
    "mlserver",
    "MLServer",
    environment="mlserver",
    script="mlserver_app.py",
    settings={"WORKERS": "0", "WAIT_MS": "2"},
    protocol=v2(),
)
BENTOML = Server(
    "bentoml",
    "BentoML",
    environment="bentoml",
    script="bentoml_app.py",
    settings={"WORKERS": "1", "MAX_LATENCY_MS": "1000"},  # with the default of 100 ms it refuses a tenth
)
LITSERVE = Server(
    "litserve",
    "LitServe",
    environment="litserve",
    script="litserve_app.py",
    settings={"WORKERS": "2", "FAST_QUEUE": "1"},
)
KSERVE = Server("kserve", "KServe, unbatched", environment="kserve", script="kserve_app.py", isolate=True)

PLAIN = {"BODY": "pydantic", "TF": "default", "GC": "default", "WORKERS": "1"}
SERVERS: tuple[Server, ...] = (
    GAVEL,
    GAVEL.also(
        "as-shipped", "default", **{"batcher.policy": "adaptive", "TF_ENABLE_ONEDNN_OPTS": "1", "GOMAXPROCS": ""}
    ),
    QUEUE,
    QUEUE.also("one-worker", WORKERS="1"),
    QUEUE.also("in-a-thread", RUN="thread"),
    QUEUE.also("1-ms-wait", WAIT_MS="1"),
    TENSORFLOW,
    TENSORFLOW.also("one-worker", WORKERS="1"),
    TENSORFLOW.also("default", "default", **PLAIN),
    ONNX_QUEUE,
    ONNX_QUEUE.also("one-worker", WORKERS="1", RUN="inline"),
    ONNX_QUEUE.also("in-the-event-loop", RUN="inline"),
    ONNX_QUEUE.also("1-ms-wait", WAIT_MS="1"),
    ONNX,
    ONNX.also("one-worker", WORKERS="1"),
    TORCHSERVE,
    TORCHSERVE.also("two-workers", WORKERS="2"),
    TORCHSERVE.also("default", "default", SERVER="default", BATCH="none"),
    TRITON,
    TRITON.also("two-instances-no-wait", WORKERS="2", WAIT_MS="0", HTTP_THREADS="1"),
    RAY,
    RAY.also("two-replicas", WORKERS="2"),
    RAY.also("default", "default", RAY_SERVE_ENABLE_HA_PROXY="0", RAY_SERVE_THROUGHPUT_OPTIMIZED="0"),
    MLSERVER,
    MLSERVER.also("unbatched", BATCH="none"),
    MLSERVER.also("two-workers", WORKERS="2"),
    BENTOML,
    BENTOML.also("100-ms-latency", "default", MAX_LATENCY_MS="100"),
    BENTOML.also("two-workers", WORKERS="2"),
    LITSERVE,
    LITSERVE.also("one-front-end", "default", WORKERS="1", FAST_QUEUE="0"),
    KSERVE,
)


def find(name: str) -> Server:
    """Return the configuration with this name. KeyError if there is none."""
    return {server.name: server for server in SERVERS}[name]
