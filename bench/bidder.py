"""A bidder under test: start it, read its CPU, memory and counters from outside, stop it."""

from __future__ import annotations

import http.client
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.cores import BIDDER, pinned
from bench.world import World
from scripts.loop.processes import Child, start, wait_ready
from scripts.loop.settings import ROOT, Ports

BINARY = ROOT / "bin/bidder"
READY_S = 60.0
STOPS_S = 30.0
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    """What a bidder has used and counted since its start. The difference of two readings covers the time between."""

    cpu_s: float  # the process, all threads
    rss_mib: float  # resident; a difference has the later value
    counters: Mapping[str, float]  # metric → sum over its labels, and `name{label=value,…}` → value

    def __sub__(self, before: Reading) -> Reading:
        counters = {name: value - before.counters.get(name, 0.0) for name, value in self.counters.items()}
        return Reading(self.cpu_s - before.cpu_s, self.rss_mib, counters)

    def __getitem__(self, name: str) -> float:
        return self.counters.get(name, 0.0)

    @property
    def runs(self) -> float:
        """Calls of the engines that score: TensorFlow's and the plans'."""
        return self["gavel_tensorflow_runs_total"] + self["gavel_plan_runs_total"]

    @property
    def scoring_cpu_s(self) -> float:
        """CPU of the engines that score, in the threads that call them and in TensorFlow's own."""
        return self["gavel_tensorflow_cpu_seconds_total"] + self["gavel_plan_cpu_seconds_total"]


@dataclass
class Bidder:
    """One running bidder."""

    name: str
    ports: Ports
    child: Child
    config: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.bid}/openrtb2/bid"

    def admin(self, path: str) -> str:
        return f"http://127.0.0.1:{self.ports.admin}{path}"

    def read(self) -> Reading:
        """Read CPU, memory and counters."""
        pid = self.child.process.pid
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return Reading(
            cpu_s=(int(stat[11]) + int(stat[12])) / TICK,
            rss_mib=self.rss_mib(),
            counters=scrape(self.admin("/metrics")),
        )

    def rss_mib(self) -> float:
        """Return the resident memory."""
        pages = int(Path(f"/proc/{self.child.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stable_version(self, model: str) -> int:
        """Return the version of a model that serves, from the metrics page; 0 if none does.

        The page is not parsed as a whole, so that the call costs little during a load.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.admin, timeout=10)
        try:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
        finally:
            connection.close()
        return version_in(page, model)


def version_in(page: str, model: str) -> int:
    """Return a model's stable version on a metrics page, or 0."""
    for line in page.splitlines():
        labels = re.match(r"gavel_model_version\{(.*)\} (\S+)$", line)
        if labels and {f'model="{model}"', 'role="stable"'} <= set(labels[1].split(",")):
            return int(float(labels[2]))
    return 0


def scrape(url: str) -> dict[str, float]:
    """Return the counters and gauges of a metrics page: sums over labels by name, and each value by name and labels."""
    response = httpx.get(url, timeout=10.0)
    response.raise_for_status()
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                continue
            values[sample.name] = values.get(sample.name, 0.0) + sample.value
            if sample.labels:
                labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
                values[f"{sample.name}{{{labels}}}"] = sample.value
    return values


@contextmanager
def running(
    world: World,
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    command: str = "serve",
    binary: Path = BINARY,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Bidder]:
    """Run a bidder of this world. It is ready to bid when the block begins, and stopped at its end."""
    ports = Ports.free()
    config = world.write_config(name, ports, settings or {})
    variables = [f"{key}={value}" for key, value in (environment or {}).items()]
    line: list[str | Path] = ["env", *variables, *pinned(BIDDER), binary, command, "--config", config]
    child = start(name, line, log=world.directory / f"{name}.log")
    try:
        bidder = Bidder(name=name, ports=ports, child=child, config=config)
        wait_ready(child, bidder.admin("/readyz"), timeout_s=READY_S, interrupted=lambda: False)
        yield bidder
    finally:
        child.stop(wait_s=STOPS_S)


@contextmanager
def running_all(sides: Sequence[tuple[World, str, Mapping[str, Any]]]) -> Iterator[list[Bidder]]:
    """Run several bidders at once, so that each gets load in turn and noise affects all alike."""
    with ExitStack() as stack:
        yield [stack.enter_context(running(world, name, settings)) for world, name, settings in sides]
