"""MLServer with its scikit-learn runtime, in the peers' environment `mlserver`: the fitted pipelines over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers.environments import ensure
from bench.plans.fleets import Fleet
from bench.report import say
from scripts.loop.processes import Child, LoopError, start, wait_ready

READY_S, STOPS_S = 120.0, 30.0
LIMIT_KB = 12 << 20  # of address space; the server ends if its models need more


@contextmanager
def running(home: Path, fleets: Sequence[Fleet]) -> Iterator[MLServer]:
    """Run MLServer with as many models of each fleet as its memory allows: all, or else half as many as before.

    Raises
    ------
    Unavailable
        Its environment cannot be made.
    LoopError
        It does not start with one model of each fleet.
    """
    python = ensure("mlserver")
    models = {fleet.name: fleet.models for fleet in fleets}
    while True:
        try:
            server = _start(python, home, fleets, models)
            break
        except LoopError:
            if max(map(len, models.values())) == 1:
                raise
            models = {name: of[: max(1, len(of) // 2)] for name, of in models.items()}
            say(f"MLServer is started anew with {', '.join(f'{len(of)} {name}' for name, of in models.items())} models")
    try:
        yield server
    finally:
        server.child.stop(wait_s=STOPS_S)


@dataclass(frozen=True)
class MLServer:
    """A running server. It is one process: its workers would each hold all models."""

    address: str
    models: dict[str, list[tuple[str, str]]]  # that are loaded, by fleet
    child: Child

    def memory_mb(self) -> float:
        """Return the process's resident memory."""
        pages = int(Path(f"/proc/{self.child.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _start(python: Path, home: Path, fleets: Sequence[Fleet], models: dict[str, list[tuple[str, str]]]) -> MLServer:
    """Write the settings, start the server, and wait until all models are loaded."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    ports = _free_ports(3)
    settings = {
        "host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2],
        "parallel_workers": 0, "debug": False, "use_structured_logging": False,
    }  # fmt: skip
    (home / "settings.json").write_text(json.dumps(settings))
    for fleet in fleets:
        for name, table in models[fleet.name]:
            model = {
                "name": name,
                "implementation": "mlserver_sklearn.SKLearnModel",
                "parameters": {
                    "uri": str(fleet.directory / "fitted" / f"{name}.pickle"),
                    "extra": {"predict_fn": "predict" if table == "abalone" else "predict_proba"},
                },
            }
            (home / name).mkdir()
            (home / name / "model-settings.json").write_text(json.dumps(model))
    one = [f"{name}=1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")]
    bounded = ["bash", "-c", f'ulimit -v {LIMIT_KB}; exec "$@"', "mlserver"]
    child = start(
        "MLServer",
        ["env", "-u", "PYTHONPATH", *one, *bounded, python, python.with_name("mlserver"), "start", home],
        log=home / "log",
    )
    address = f"127.0.0.1:{ports[0]}"
    try:
        ready = f"http://{address}/v2/health/ready"
        wait_ready(child, ready, timeout_s=READY_S, interrupted=lambda: False)
    except BaseException:
        child.stop(wait_s=STOPS_S)
        raise
    return MLServer(address, models, child)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
