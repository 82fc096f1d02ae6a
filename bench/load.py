"""Load from bin/loadgen, and its measurements."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.bidder import Bidder, Reading
from bench.cores import GENERATOR, pinned
from scripts.loop.settings import ROOT

MANY_CONNECTIONS = 512  # so that auctions wait in the bidder, which can shed them


@dataclass(frozen=True)
class Load:
    """The generator's result, and what the bidder used."""

    result: Mapping[str, Any]  # the last line of bin/loadgen
    used: Reading  # while the load ran, including the warm-up

    @property
    def rate(self) -> float:
        """Auctions answered a second."""
        return float(self.result["answered_per_second"])

    @property
    def requests(self) -> float:
        """Bid requests that the bidder answered by its own count, including the warm-up."""
        return self.used["gavel_openrtb_requests_total"]

    @property
    def cpu_us(self) -> float:
        """CPU of the bidder an auction, in µs."""
        return self.used.cpu_s / self.requests * 1e6

    @property
    def good_share(self) -> float:
        """Share of the offered auctions that were answered with a bid in time."""
        return float(self.result["good"]) / max(float(self.result["sent"]), 1)

    def latency(self, key: str, status: int | None = None) -> float:
        """Return a latency in ms: mean, p50, p90, p99, p999 or max. With a status: of its answers, 0 if none."""
        if status is None:
            return float(self.result["latency_ms"][key])
        return float(self.result["latency_ms_by_status"].get(str(status), {}).get(key, 0.0))


def command(
    url: str,
    bodies: Path,
    *,
    rate: float,
    seconds: float,
    warmup_s: float = 1.0,
    connections: int = 64,
    deadline_ms: float = 100.0,
    seed: int = 1,
    series: Path | None = None,
    distribution_us: int = 0,
) -> list[str]:
    """Return the generator's command line. Rate 0 means closed loop."""
    return [
        *pinned(GENERATOR),
        str(ROOT / "bin/loadgen"),
        url,
        *("--bodies", str(bodies)),
        *("--rate", str(rate)),
        *("--duration", f"{seconds}s"),
        *("--warmup", f"{warmup_s}s"),
        *("--connections", str(connections)),
        *("--deadline", f"{deadline_ms}ms"),
        *("--seed", str(seed)),
        *(("--series", str(series)) if series else ()),
        *(("--distribution", f"{distribution_us}us") if distribution_us else ()),
    ]


@contextmanager
def offering(line: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a generator during the block. It is ended at the end of the block."""
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as generator:
        try:
            yield generator
        finally:
            generator.terminate()


def result_of(generator: subprocess.Popen[str], *, within_s: float) -> dict[str, Any]:
    """Wait for a generator's end, and return its last line, parsed.

    Raises
    ------
    RuntimeError
        It failed. The message has its stderr.
    """
    out, err = generator.communicate(timeout=within_s)
    if generator.returncode:
        raise RuntimeError(f"the load generator ended with status {generator.returncode}: {err.strip()}")
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


def offer(bidder: Bidder, bodies: Path, **options: Any) -> Load:
    """Offer load to a bidder and read what the bidder used for it."""
    before = bidder.read()
    done = subprocess.run(command(bidder.url, bodies, **options), check=True, capture_output=True, text=True)
    used = bidder.read() - before
    return Load(result=json.loads(done.stdout.splitlines()[-1]), used=used)
