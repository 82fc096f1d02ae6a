"""One server under load: predictions a second, CPU and latency, kept as raw JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.load import command
from bench.peers import accounting
from bench.peers.catalogue import Server
from bench.peers.environments import Unavailable
from bench.peers.running import Place, Running, running
from bench.report import say

PAUSED_S = 0.5  # a sleep that lasts this much longer means that the machine was paused
ATTEMPTS = 5


@dataclass(frozen=True)
class Plan:
    """The load for every server: a closed loop at each number of connections."""

    seconds: float
    repeats: int
    connections: tuple[int, ...]
    warmup_s: float = 3.0

    def alike(self, server: Server) -> dict[str, Any]:
        """Return what must be equal for two measurements to be comparable."""
        shared = {"seconds": self.seconds, "warmup_s": self.warmup_s, "connections": list(self.connections)}
        return shared | {"settings": dict(server.settings)}


@dataclass(frozen=True)
class Measurement:
    """One measurement of one server at one number of connections. Latencies are of answered predictions, in ms."""

    connections: int
    requests_per_s: float  # answered with a prediction
    refused_per_s: float  # answered with another status, failed, or not answered
    cpu_ms: float  # a prediction, all processes of the server
    p50_ms: float
    p99_ms: float
    memory_mib: float  # all processes of the server
    others_cores: float  # cores that other programs on the machine used

    @staticmethod
    def of(
        result: Mapping[str, Any], *, cpu_s: float, span_s: float, memory_mib: float, others_s: float
    ) -> Measurement:
        """Read the generator's result, which has answers. The CPU is of span_s seconds of the measured time."""
        seconds = float(result["seconds"])
        answered = float(result["status"]["200"])
        refused = float(result["answered"]) - answered + float(result["failed"]) + float(result["unanswered"])
        latency = result["latency_ms_by_status"]["200"]
        return Measurement(
            connections=int(result["connections"]),
            requests_per_s=answered / seconds,
            refused_per_s=refused / seconds,
            cpu_ms=1e3 * (cpu_s / span_s) / (answered / seconds),
            p50_ms=float(latency["p50"]),
            p99_ms=float(latency["p99"]),
            memory_mib=memory_mib,
            others_cores=max(others_s / span_s, 0.0),
        )


def measure(server: Server, place: Place, plan: Plan, repeat: int) -> list[Measurement]:
    """Start a server, measure it at every number of connections, stop it, and keep the generator's results.

    Raises
    ------
    Unavailable
        It cannot be installed, does not start, answers wrongly or refuses connections.
    """
    began = time.monotonic()
    with running(server, place) as started:
        ready_s = time.monotonic() - began
        taken = [_offer(started, plan, connections) for connections in plan.connections]
    document = {
        "server": server.name,
        "repeat": repeat,
        "plan": plan.alike(server),
        "ready_s": ready_s,
        "worst_answer": started.worst,
        "measurements": [asdict(measurement) for measurement, _ in taken],
        "generator": [result for _, result in taken],
    }
    raw_path(place, server, repeat).write_text(json.dumps(document, indent=1))
    return [measurement for measurement, _ in taken]


def raw_path(place: Place, server: Server, repeat: int) -> Path:
    """Return the file of a measurement."""
    return place.directory / f"{server.name.replace(':', '-')}.{repeat}.json"


def kept(place: Place, server: Server, plan: Plan, repeat: int) -> list[Measurement] | None:
    """Return the measurement of an earlier run by the same plan, or None."""
    try:
        document = json.loads(raw_path(place, server, repeat).read_text())
    except (OSError, ValueError):
        return None
    if document.get("plan") != plan.alike(server):
        return None
    return [Measurement(**measurement) for measurement in document["measurements"]]


class Paused(Exception):
    """All processes stood still for a while (as on a suspended machine), so the measurement is invalid."""


def _offer(started: Running, plan: Plan, connections: int) -> tuple[Measurement, Mapping[str, Any]]:
    """Measure a server, and again if the machine was paused."""
    for _ in range(ATTEMPTS):
        try:
            return _offer_once(started, plan, connections)
        except Paused:
            say(f"{started.server.title}, {connections} connections: everything stood still for a while; again")
    raise Unavailable(f"it was paused {ATTEMPTS} times")


def _offer_once(started: Running, plan: Plan, connections: int) -> tuple[Measurement, Mapping[str, Any]]:
    """Measure a server. Its CPU counts from the end of the warm-up to the end of the measured time."""
    bodies = started.place.model.bodies(started.server.protocol)
    generator = started.beside(
        command(started.url, bodies, rate=0, seconds=plan.seconds, warmup_s=plan.warmup_s, connections=connections)
    )
    began = time.monotonic()
    time.sleep(plan.warmup_s)
    at, before = time.monotonic(), _used(generator.pid)
    time.sleep(plan.seconds)
    span_s, after = time.monotonic() - at, _used(generator.pid)
    paused = time.monotonic() - began > plan.warmup_s + plan.seconds + PAUSED_S
    memory_mib = accounting.memory_mib(without=[generator.pid])
    out, err = generator.communicate()
    if generator.returncode:
        raise Unavailable(f"the generator failed: {err.strip()}")
    if paused:
        raise Paused
    result = json.loads(out.splitlines()[-1])
    if not result["status"].get("200"):
        raise Unavailable(f"it answered nothing at {connections} connections (status {result['status']})")
    server_s, generator_s, machine_s = (b - a for a, b in zip(before, after, strict=True))
    measurement = Measurement.of(
        result,
        cpu_s=server_s,
        span_s=span_s,
        memory_mib=memory_mib,
        others_s=machine_s - server_s - generator_s,
    )
    say(
        f"{started.server.title}, {connections} connections: {measurement.requests_per_s:,.0f}/s, "
        f"{measurement.cpu_ms:.3f} CPU-ms, p99 {measurement.p99_ms:.1f} ms"
        f" (others used {measurement.others_cores:.1f} cores)"
    )
    return measurement, result


def _used(generator: int) -> tuple[float, float, float]:
    """Return the CPU seconds of the server, the generator, and the whole machine."""
    return (
        accounting.cpu_s(without=[generator]),
        accounting.process_cpu_s(generator),
        accounting.machine_cpu_s(),
    )
