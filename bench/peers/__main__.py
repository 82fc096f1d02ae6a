"""`make bench-peers`: Gavel's prediction endpoint compared with other model servers.

Every server gets the same model, the same closed loop and the same two cores, one server at a time. Each round starts
every server once, so that noise on the machine affects all alike. A peer is skipped if it cannot be installed, does not
start or answers wrongly; the table has the reason. Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.peers import accounting, catalogue, environments, page, plots, table
from bench.peers.catalogue import Server, find
from bench.peers.environments import Unavailable
from bench.peers.measure import Measurement, Plan, kept, measure
from bench.peers.model import Model
from bench.peers.results import Comparison, Row, telling
from bench.peers.running import Place
from bench.report import finish, machine, say
from scripts.loop.settings import ROOT

CORES = 2
QUICK = ("gavel", "fastapi-queue")
DECISION = "0007-peers.md"
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    only: Annotated[str, typer.Option(help="Servers or configurations, separated by commas; empty: all.")] = "",
    seconds: Annotated[float, typer.Option(min=0.5, help="Seconds of each measurement.")] = 10,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are reported.")] = 3,
    connections: Annotated[str, typer.Option(help="Numbers of connections, separated by commas.")] = "32,128",
    quick: Annotated[bool, typer.Option(help="One round of 2 s with Gavel and one peer, without targets.")] = False,
    tried: Annotated[bool, typer.Option(help="Also the configurations that were not the best.")] = False,
    docs: Annotated[bool, typer.Option(help="Write the table and the plot into docs/.")] = False,
    resume: Annotated[bool, typer.Option(help="Reuse the measurements of an interrupted run.")] = False,
    directory: Annotated[Path, typer.Option(help="For model, logs and measurements.")] = ROOT / "var/bench/peers",
) -> None:
    """Measure and report."""
    servers = [find(name) for name in QUICK] if quick else chosen(only, tried=tried)
    counts = tuple(sorted({int(n) for n in connections.split(",")}))
    plan = Plan(2, 1, counts) if quick else Plan(seconds, repeats, counts)
    accounting.adopt_orphans()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = Place(directory.resolve(), Model(directory.resolve() / "model"), cores())
    place.model.prepare()
    try:
        rows = measure_all(servers, place, plan, resume=resume)
    except KeyboardInterrupt:
        say("interrupted; --resume continues from here")
        raise typer.Exit(130) from None
    raise typer.Exit(report(rows, plan, docs=docs, judge=not quick))


def chosen(only: str, *, tried: bool) -> list[Server]:
    """Return the servers to measure: those named by peer or configuration, else all except those only tried."""
    names = {name.strip() for name in only.split(",") if name.strip()}
    known = {name for server in catalogue.SERVERS for name in (server.peer, server.name)}
    if names - known:
        raise typer.BadParameter(
            f"no such server: {', '.join(sorted(names - known))}; there are {', '.join(sorted(known))}"
        )
    wanted = [s for s in catalogue.SERVERS if not names or {s.peer, s.name} & names]
    return [s for s in wanted if tried or s.role != "tried" or s.name in names]


def cores() -> str:
    """Return two of the cores that this process may use."""
    return ",".join(map(str, sorted(os.sched_getaffinity(0))[:CORES]))


def measure_all(servers: list[Server], place: Place, plan: Plan, *, resume: bool) -> list[Row]:
    """Measure every server once a round."""
    taken: dict[str, list[list[Measurement]]] = {server.name: [] for server in servers}
    skipped: dict[str, str] = {}
    for repeat in range(1, plan.repeats + 1):
        for server in servers:
            if server.name in skipped:
                continue
            if resume and (earlier := kept(place, server, plan, repeat)):
                taken[server.name].append(earlier)
                continue
            say(f"round {repeat} of {plan.repeats}: {server.title}")
            try:
                taken[server.name].append(measure(server, place, plan, repeat))
            except Unavailable as reason:
                say(f"{server.title} is skipped: {reason}")
                skipped[server.name] = str(reason)
    return [Row.of(s, taken[s.name], skipped.get(s.name, "")) for s in servers]


def report(rows: list[Row], plan: Plan, *, docs: bool, judge: bool) -> int:
    """Print table and JSON, and write the page if docs is set. Return 0 if the targets are met or not judged."""
    table.show(rows, plan.connections)
    comparisons = [c for n in plan.connections if (c := Comparison.of(rows, n))]
    used = versions(rows)
    if docs:
        shown = telling(rows, plan.connections)
        text = page.section(
            shown,
            comparisons,
            connections=plan.connections,
            seconds=plan.seconds,
            repeats=plan.repeats,
            cores=CORES,
            machine=page.named(machine()),
            versions=used,
            decision=DECISION,
        )
        plots.draw(ROOT / "docs" / page.PLOT, shown, plan.connections)
        page.write(ROOT / "docs/benchmarks.md", text)
    figures: dict[str, Any] = {"versions": used, "servers": {row.server.name: row.json() for row in rows}}
    for comparison in comparisons:
        figures |= comparison.json()
    targets = [target for comparison in comparisons for target in comparison.targets()] if judge else []
    return finish("peers", figures, targets)


def versions(rows: list[Row]) -> dict[str, str]:
    """Return the packages of the measured peers, with versions."""
    found: dict[str, str] = {}
    for row in rows:
        if row.results and row.server.environment:
            found |= environments.versions(row.server.environment)
        if row.results and "java" in row.server.programs:
            said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
            found["java"] = match.group(1) if (match := re.search(r'version "(.+?)"', said)) else "unknown"
    return found


if __name__ == "__main__":
    app()
