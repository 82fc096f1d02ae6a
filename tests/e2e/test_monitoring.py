"""What the dashboard and the alert rules ask for is exported, with the labels that they use."""

from __future__ import annotations

import re

from scripts.loop.settings import ROOT
from tests.deploy.test_monitoring import queries
from tests.e2e.world import Bidder, bids_of, request, until

# Given by Prometheus; of histograms; made by an aggregation.
LABELS_OF_OTHERS = {"instance", "job", "le"}


def trainer_metrics() -> set[str]:
    """Names that the trainer registers; most are exported only once a child has learnt, too late for a test."""
    text = (ROOT / "internal/trainer/metrics.go").read_text()
    names = {f"gavel_trainer_{name}" for name in re.findall(r'(?:counter|gauge)\("(\w+)"', text)}
    assert len(names) > 15
    return names


def seldom_metrics() -> set[str]:
    """Names in the sources of counters that appear with the first event they count."""
    files = [path for room in ("internal", "cmd") for path in (ROOT / room).rglob("*.go")]
    return {
        name
        for path in files
        if not path.name.endswith("_test.go")
        for name in re.findall(r'Name: +"(gavel_\w+_total)"', path.read_text())
    }


def test_metrics_exist(steady: Bidder) -> None:
    until("a bid", lambda: bids_of(steady.offer(request("metrics"))), within_s=15)
    exported = steady.metrics().samples
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
