"""A server under test: start it on the cores of the comparison, wait for it, check its answers, stop it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.peers import accounting, environments
from bench.peers.catalogue import Server
from bench.peers.environments import Unavailable
from bench.peers.model import Model
from bench.peers.network import Network, available
from bench.world import World, campaigns
from scripts.loop.processes import tail
from scripts.loop.settings import ROOT, Ports

SERVERS = Path(__file__).with_name("servers")
READY_S = 120.0
STOPS_S = 15.0
SETTLES_S = 15.0
SETTLED_CORES = 0.1  # below this use of CPU, all workers of the server have started
PORT = 18090  # a server's first port; without its own network, the search for free ports begins here
EPHEMERAL = 32768  # the kernel uses ports from here on for connections
PORTS = 5  # successive ports that a server may need


@dataclass(frozen=True)
class Place:
    """What servers share: directory, model, cores."""

    directory: Path
    model: Model
    cores: str  # as for taskset

    def scratch(self, server: Server) -> Path:
        """Return an empty directory for a server's files."""
        path = self.directory / "servers" / server.name.replace(":", "-")
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


@dataclass
class Running:
    """A running server."""

    server: Server
    process: subprocess.Popen[bytes]
    port: int
    network: Network
    place: Place
    worst: float = 1.0  # largest error of an answer against the golden probability

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.server.protocol.path}"

    def beside(self, command: Sequence[str | Path]) -> subprocess.Popen[str]:
        """Start a command in the server's network, on the same cores."""
        inside = self.network.join(self.process.pid, [str(part) for part in command])
        return subprocess.Popen(
            ["taskset", "--cpu-list", self.place.cores, *inside],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )


@contextmanager
def running(server: Server, place: Place) -> Iterator[Running]:
    """Run a server until the end of the block. Its answers to the golden rows have been checked.

    Raises
    ------
    Unavailable
        It cannot be installed, does not start, or answers wrongly.
    """
    network = available()
    if server.isolate and not network.own:
        raise Unavailable("it listens on every interface, and no network namespace can be made here")
    missing = [program for program in server.programs if not shutil.which(program)]
    if missing:
        raise Unavailable(f"it needs {', '.join(missing)}")
    scratch = place.scratch(server)
    port = PORT if network.own else free_base()
    command, environment = _command(server, place, scratch, port)
    log = scratch / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", place.cores, *network.begin([str(part) for part in command])],
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    started = Running(server, process, port, network, place)
    try:
        network.wait(process)
        started.worst = _probe(started, log)
        _settle()
        yield started
    finally:
        accounting.end_all(wait_s=STOPS_S, awaited=[process.pid])
        process.wait()


def _command(server: Server, place: Place, scratch: Path, port: int) -> tuple[list[str | Path], dict[str, str]]:
    if not server.environment:
        return _gavel(server, place, scratch, port)
    python = environments.ensure(server.environment, interpreter=server.python)
    settings = {"MODEL": place.model.version, "PORT": port, "TF_CPP_MIN_LOG_LEVEL": "2", **server.settings}
    if server.settings.get("ENGINE") == "onnx":
        settings["ONNX"] = _onnx(place.model, python)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return [python, SERVERS / server.script], environment | {key: str(value) for key, value in settings.items()}


def _gavel(server: Server, place: Place, scratch: Path, port: int) -> tuple[list[str | Path], dict[str, str]]:
    """Return the bidder's command and environment. Settings in capitals are environment variables."""
    variables = {key: value for key, value in server.settings.items() if key.isupper()}
    world = World(scratch)
    world.campaigns.write_text(yaml.safe_dump(campaigns(world.candidates)))
    settings: Mapping[str, Any] = {
        "model_store": str(place.model.store),
        "predict.listen": f"127.0.0.1:{port}",
        "predict.timeout": "10s",  # no peer has a shorter timeout
        **{key: value for key, value in server.settings.items() if key not in variables},
    }
    config = world.write_config("gavel", Ports.free(), settings)
    return [ROOT / "bin/bidder", "serve", "--config", config], dict(os.environ) | variables


def _onnx(model: Model, python: Path) -> Path:
    path = model.directory / "model.onnx"
    if not path.exists():
        subprocess.run([python, SERVERS / "to_onnx.py", model.weights, path], check=True)
    return path


def _probe(started: Running, log: Path) -> float:
    """Wait until the server answers the golden rows, and return the largest error."""
    version = started.place.model.version
    probe = started.beside([sys.executable, "-m", "bench.peers.probe", started.server.name, started.url, version])
    deadline = time.monotonic() + READY_S
    while probe.poll() is None:
        if started.process.poll() is not None:
            probe.kill()
            raise Unavailable(f"it ended with status {started.process.returncode} ({log}):\n{tail(log)}")
        if time.monotonic() > deadline:
            probe.kill()
            raise Unavailable(f"it did not answer within {READY_S:.0f} s ({log}):\n{tail(log)}")
        time.sleep(0.1)
    out, err = probe.communicate()
    if probe.returncode:
        raise Unavailable(f"{err.strip().splitlines()[-1]} ({log})")
    return float(json.loads(out)["worst"])


def _settle() -> None:
    """Wait until the server's processes are idle, but not for long, because some never are."""
    deadline = time.monotonic() + SETTLES_S
    used = accounting.cpu_s()
    while time.monotonic() < deadline:
        time.sleep(1)
        before, used = used, accounting.cpu_s()
        if used - before < SETTLED_CORES:
            return


def free_base() -> int:
    """Return the first of PORTS successive free ports below EPHEMERAL."""
    for base in range(PORT, EPHEMERAL, PORTS):
        with ExitStack() as stack:
            try:
                for port in range(base, base + PORTS):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise Unavailable(f"no {PORTS} ports in a row are free between {PORT} and {EPHEMERAL}")
