"""A ranker under test. It is measured as a bidder is: CPU, memory and counters from outside."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.bidder import STOPS_S, Bidder
from bench.cores import BIDDER, pinned
from scripts.loop.processes import start, wait_ready
from scripts.loop.settings import ROOT, Ports

READY_S = 300.0  # to read the classifiers, on a machine that others use
MAX_LIMIT = 10_000  # campaigns of an answer, so that one can have all probabilities


@dataclass
class Ranker(Bidder):
    """One running ranker."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.bid}/rank"


@contextmanager
def running(
    directory: Path, *, classifiers: Path, campaigns: Path, fields: Sequence[str], limit: int = 10
) -> Iterator[Ranker]:
    """Run a ranker on free ports, with its state under `directory`; in the block it has read all classifiers."""
    ports, state = Ports.free(), directory / "ranker"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    config = {
        "listen": f"127.0.0.1:{ports.bid}",
        "admin_listen": f"127.0.0.1:{ports.admin}",
        "state_dir": str(state),
        "campaigns": str(campaigns),
        "models": {"sale": {"scorer": "bank", "directory": str(classifiers)}},
        "profile": {"fields": {name: [] for name in fields}},
        "privacy": {"gdpr": {"unknown": "does_not_apply"}},
        "rank": {"limit": limit, "max_limit": MAX_LIMIT},
        "events": {
            "embedded_listen": f"127.0.0.1:{ports.stream}",
            "embedded_dir": str(state / "stream"),
            "token_file": str(state / "stream.token"),
        },
    }
    path = state / "ranker.yaml"
    path.write_text(yaml.safe_dump(config))
    child = start(
        "ranker", [*pinned(BIDDER), ROOT / "bin/ranker", "serve", "--config", path], log=directory / "ranker.log"
    )
    try:
        ranker = Ranker(name="ranker", ports=ports, child=child, config=path)
        wait_ready(child, ranker.admin("/readyz"), timeout_s=READY_S, interrupted=lambda: False)
        yield ranker
    finally:
        child.stop(wait_s=STOPS_S)
