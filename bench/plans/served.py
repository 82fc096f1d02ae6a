"""End to end over HTTP: the bidder serves both fleets by discovery, MLServer the fitted pipelines, in the same run.

Both get the same requests of the Open Inference Protocol, of the same client. scikit-learn stands behind nothing: its
rows are ready, and no byte is parsed.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.bidder import Bidder, running
from bench.peers.environments import Unavailable
from bench.plans import infer, mlserver, sides
from bench.plans.fleets import BUILD, Fleet
from bench.plans.keys import Found
from bench.plans.rows import Asking, turns
from bench.plans.sides import Side
from bench.plans.world import PlanWorld
from bench.report import median, number, say, table
from scripts.loop.processes import LoopError
from scripts.loop.settings import Ports

ROWS = (1, 100)  # of a request
CONNECTIONS = (1, 8)  # one for latency, several for rows a second
SECONDS = 1.0  # of a round
MOST_ROUNDS = 3
CALLS = {1: 100, 100: 40}  # of scikit-learn in a round, by rows
CHECKED = 20  # models of a fleet whose answers are compared with scikit-learn's
DISCOVERED_S = 60.0
SETTINGS: dict[str, Any] = {"discover.enabled": True, "predict.timeout": "10s"}  # MLServer has no timeout


@dataclass(frozen=True)
class Server:
    """A server under test and the models that it has loaded, by fleet."""

    name: str
    address: str
    models: dict[str, list[tuple[str, str]]]
    memory_mb: float


def run(made: dict[str, Fleet], found: Found, *, rounds: int) -> None:
    """Measure both servers and scikit-learn, with each fleet."""
    home = BUILD / "http" / made["text"].directory.parent.name
    raw: dict[str, Any] = {"servers": {}, "fleets": {}}
    with ExitStack() as stack:
        servers = [_gavel(stack, made), *_mlserver(stack, home, made, raw)]
        for fleet in made.values():
            raw["fleets"][fleet.name] = _measure(home, fleet, servers, rounds, raw)
    found.raw["http"] = raw


def _gavel(stack: ExitStack, made: dict[str, Fleet]) -> Server:
    """Start a bidder that discovers all models, and wait until it serves them."""
    world = PlanWorld.of(*made.values())
    world.prepare()
    address = f"127.0.0.1:{Ports.free().bid}"
    bidder = stack.enter_context(running(world, "http", SETTINGS | {"predict.listen": address}))
    _wait(bidder, address, sum(len(fleet.models) for fleet in made.values()))
    return Server("Gavel", address, {fleet.name: fleet.models for fleet in made.values()}, bidder.rss_mib())


def _wait(bidder: Bidder, address: str, models: int) -> None:
    """Poll until so many models are there and ready."""
    deadline = time.monotonic() + DISCOVERED_S
    while time.monotonic() < deadline:
        if why := bidder.child.died():
            raise LoopError(why)
        there = httpx.get(f"http://{address}/v1/models").json()["models"]
        ready = httpx.get(f"http://{address}/v2/health/ready").status_code == httpx.codes.OK
        if len(there) > models and ready:  # the model that bids is one more
            return
        time.sleep(0.1)
    raise LoopError(f"the bidder served {len(there)} models after {DISCOVERED_S:.0f} s; {models} were published")


def _mlserver(stack: ExitStack, home: Path, made: dict[str, Fleet], raw: dict[str, Any]) -> list[Server]:
    """Start MLServer with as many models as its memory allows; none, and the reason, if it cannot run here."""
    try:
        server = stack.enter_context(mlserver.running(home / "mlserver", list(made.values())))
    except (Unavailable, LoopError) as e:
        raw["servers"]["MLServer"] = {"error": str(e)}
        say(f"no MLServer: {e}")
        return []
    return [Server("MLServer", server.address, server.models, server.memory_mb())]


def _measure(home: Path, fleet: Fleet, servers: list[Server], rounds: int, raw: dict[str, Any]) -> dict[str, Any]:
    """Measure a fleet: servers in turns, by rows and connections."""
    tables = {name: infer.complete_rows(fleet, name) for name in sorted({table for _, table in fleet.models})}
    bodies = {name: infer.bodies(rows) for name, rows in tables.items()}
    askings: dict[str, Asking] = {}
    with ExitStack() as stack:
        for server in servers:
            models = server.models[fleet.name]
            told = raw["servers"].setdefault(server.name, {"memory_mb": server.memory_mb})
            told[fleet.name] = {
                "models": len(models), "of": len(fleet.models),
                "worst": infer.check(server.address, fleet, models[:: max(1, len(models) // CHECKED)], tables),
            }  # fmt: skip
            file = home / f"{server.name}-{fleet.name}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            named = [{"name": name, "table": of} for name, of in models]
            file.write_text(json.dumps({"address": server.address, "models": named, "bodies": bodies}))
            client = stack.enter_context(sides.gavel("http", file))
            for rows in ROWS:
                for connections in CONNECTIONS:
                    askings[_key(server.name, rows, connections)] = _over(client, rows, connections)
        peers = [stack.enter_context(sides.peer("scikit", "rows", fleet.file)) for _ in range(2)]
        for rows in ROWS:
            askings[_key("scikit-learn", rows, 1)] = _alone(peers[0], rows)
            askings[_key("scikit-learn", rows, CONNECTIONS[-1])] = _both(peers, rows)
        measured = turns(askings, min(rounds, MOST_ROUNDS))
    _show(fleet.name, measured)
    return measured


def _key(name: str, rows: int, connections: int) -> str:
    return f"{name} {rows} {connections}"


def _over(client: Side, rows: int, connections: int) -> Asking:
    return lambda seed: client.ask(rows=rows, connections=connections, seconds=SECONDS, seed=seed)


def _alone(peer: Side, rows: int) -> Asking:
    def ask(seed: int) -> dict[str, Any]:
        answer = peer.ask(calls=CALLS[rows], batch=rows, seed=seed)
        return answer | {"rows_per_second": 1e6 / answer["row_us"]}

    return ask


def _both(peers: list[Side], rows: int) -> Asking:
    """Ask two processes at once, for two cores."""

    def ask(seed: int) -> dict[str, Any]:
        for i, peer in enumerate(peers):
            peer.send(calls=CALLS[rows], batch=rows, seed=2 * seed + i)
        answers = [peer.answer() for peer in peers]
        worst = max(answers, key=lambda a: float(a["p99_us"]))
        return worst | {"rows_per_second": sum(1e6 / a["row_us"] for a in answers)}

    return ask


def sides_of(measured: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the sides that were measured."""
    return [side for side in dict.fromkeys(key.split()[0] for key in measured) if of(measured, side, 1, 1)]


def of(measured: dict[str, list[dict[str, Any]]], side: str, rows: int, connections: int) -> list[dict[str, Any]]:
    """Return a side's rounds."""
    return measured[_key(side, rows, connections)]


def summary(measured: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """Return a line a side and size of request: p50, p99 in µs of one connection; rows a second of several; refused."""
    lines = []
    for rows in ROWS:
        for side in sides_of(measured):
            one, several = (of(measured, side, rows, n) for n in CONNECTIONS)
            p50, p99 = (number(median([r[key] for r in one])) for key in ("p50_us", "p99_us"))
            rate = median([r["rows_per_second"] for r in several])
            refused = sum(r.get("refused", 0) for r in [*one, *several])
            lines.append([f"{side}, {rows}", p50, p99, f"{rate:,.0f}", str(refused)])
    return lines


def _show(name: str, measured: dict[str, list[dict[str, Any]]]) -> None:
    columns = ["rows a request", "p50 µs", "p99", f"rows/s, {CONNECTIONS[-1]} connections", "refused"]
    table(f"{name}: over HTTP, scikit-learn behind nothing", columns, summary(measured))
