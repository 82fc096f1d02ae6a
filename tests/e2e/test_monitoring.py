"""What the dashboards and the alert rules ask for is exported, with the labels that they use."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.loop.processes import start, wait_ready
from scripts.loop.settings import ROOT, Ports
from scripts.loop.sources import Metrics, scrape
from tests.deploy.test_monitoring import queries
from tests.e2e.world import Bidder, bids_of, edit, request, until

# Given by Prometheus; of histograms; made by an aggregation.
LABELS_OF_OTHERS = {"instance", "job", "le"}


def trainer_metrics() -> set[str]:
    """Names that trainers register; most are exported only once a child has learnt, too late for a test."""
    names = set()
    for file, prefix, call, least in (
        ("internal/trainer/metrics.go", "gavel_trainer", "counter|gauge", 15),
        ("internal/trainer/classifiers.go", "gavel_rank_training", "counter|gauge", 7),
        ("internal/rank/consumer/metrics.go", "gavel_rank_consumer", "opts", 6),
    ):
        found = {f"{prefix}_{name}" for name in re.findall(rf'(?:{call})\("(\w+)"', (ROOT / file).read_text())}
        assert len(found) > least, file
        names |= found
    return names


@pytest.fixture
def ranker(tmp_path: Path) -> Iterator[Metrics]:
    """What a ranker exports that has answered nothing yet."""
    ports = Ports.free()
    config = tmp_path / "ranker.yaml"
    shutil.copy(ROOT / "configs/ranker.yaml", config)
    edit(
        config,
        listen=f"127.0.0.1:{ports.bid}",
        admin_listen=f"127.0.0.1:{ports.admin}",
        state_dir=str(tmp_path / "state"),
        campaigns=str(ROOT / "configs/rank-campaigns.yaml"),
        models__sale__directory=str(tmp_path / "classifiers"),
        events__embedded_listen=f"127.0.0.1:{ports.stream}",
        events__embedded_dir=str(tmp_path / "stream"),
        events__token_file=str(tmp_path / "stream.token"),
    )
    child = start("ranker", [ROOT / "bin/ranker", "serve", "--config", config], log=tmp_path / "ranker.log")
    try:
        wait_ready(child, f"http://127.0.0.1:{ports.admin}/readyz", timeout_s=60, interrupted=lambda: False)
        yield scrape(f"http://127.0.0.1:{ports.admin}/metrics")
    finally:
        assert child.stop(wait_s=20) == 0, child.died()


def seldom_metrics() -> set[str]:
    """Names in the sources of counters that appear with the first event they count."""
    files = [path for room in ("internal", "cmd") for path in (ROOT / room).rglob("*.go")]
    return {
        name
        for path in files
        if not path.name.endswith("_test.go")
        for name in re.findall(r'"(gavel_\w+_total)"', path.read_text())
    }


def test_metrics_exist(steady: Bidder, ranker: Metrics) -> None:
    until("a bid", lambda: bids_of(steady.offer(request("metrics"))), within_s=15)
    exported = {**ranker.samples, **steady.metrics().samples}
    elsewhere = trainer_metrics() | seldom_metrics() | {"up"}
    for where, query in queries():
        bare = re.sub(r'"[^"]*"', "", query)
        names = set(re.findall(r"\b(?:gavel|process)_\w+|\bup\b", bare))
        assert names, f"{where}: no metric in {query}"
        missing = names - exported.keys() - elsewhere
        assert not missing, f"{where}: no process exports {missing}"
        for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", bare):
            used = set(re.findall(r"(\w+)\s*=", matchers)) - LABELS_OF_OTHERS
            if name in exported:
                known = {label for labels, _ in exported[name] for label in labels}
                assert used <= known, f"{where}: {name} has no label {used - known}"
