from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.bench import batcher, capacity, soak
from scripts.bench.bidder import Reading
from scripts.bench.load import Load
from scripts.bench.percentiles import percentile, read
from scripts.bench.report import Target
from scripts.bench.world import put


def test_percentiles_join_slices() -> None:
    slices: list[dict[str, Any]] = [{"counts": [[1.0, 98], [5.0, 1]]}, {"counts": [[9.0, 1]]}, {"counts": None}]
    assert percentile(slices, 0.5) == 1.0
    assert percentile(slices, 0.99) == 5.0
    assert percentile(slices, 1.0) == 9.0
    assert percentile([], 0.5) != percentile([], 0.5)  # nan


def test_the_warm_up_is_left_out(tmp_path: Path) -> None:
    series = tmp_path / "series.jsonl"
    series.write_text("".join(json.dumps({"at": at}) + "\n" for at in (-1.0, 0.0, 1.0)))
    assert [s["at"] for s in read(series)] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("value", "want", "least", "met"),
    [(20.0, 20, True, True), (19.9, 20, True, False), (1.0, 1, False, True), (1.1, 1, False, False)],
)
def test_targets(value: float, want: float, least: bool, met: bool) -> None:
    assert Target("t", value, want, least=least).met is met


def test_readings_subtract() -> None:
    after, before = Reading(3.0, 100.0, {"a": 5.0, "b": 1.0}), Reading(1.0, 90.0, {"a": 2.0})
    used = after - before
    assert (used.cpu_s, used.rss_mib, used["a"], used["b"], used["c"]) == (2.0, 100.0, 3.0, 1.0, 0.0)


def load(rate: float, good: int) -> Load:
    """A load of 1,000 auctions, of which some got their bid."""
    result: dict[str, Any] = {"rate": rate, "sent": 1000, "good": good, "latency_ms": {"p99": 1.0}}
    return Load(result=result, used=Reading(0.0, 0.0, {}))


def test_capacity_is_found_between_what_holds_and_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    stalls = {2: True}  # the second measurement meets a stall that is not the bidder's

    def offer(_bidder: Any, _bodies: Any, *, rate: float, seed: int, **_options: Any) -> Load:
        return load(rate, 1000 if rate <= 5000 and not stalls.pop(seed, False) else 900)

    monkeypatch.setattr(capacity, "offer", offer)
    bidder: Any = type("Bidder", (), {"name": "b"})()
    for start in (3000.0, 40_000.0):
        stalls[2] = True
        found = capacity.find(bidder, Path("bodies"), start=start)
        assert 5000 / capacity.PRECISION <= found.rate <= 5000


def test_go_benchmarks_are_read() -> None:
    line = "BenchmarkBatcher/policy=off/callers=1-2  \t 100\t {} ns/op\t 1.000 rows/batch\t 0 B/op\t 0 allocs/op\n"
    figures = batcher.parse(line.format(651.5) + line.format(649.5) + "PASS\n")
    assert figures["policy=off/callers=1"]["ns/op"] == [651.5, 649.5]
    with pytest.raises(RuntimeError, match="no benchmark"):
        batcher.parse("FAIL")


def test_memory_growth_counts_from_when_it_has_settled() -> None:
    rising = [soak.Memory(at, 100 + min(at, 90.0)) for at in map(float, range(600))]
    assert soak.growth(rising) == pytest.approx(1.0, abs=0.01)
    leaking = [soak.Memory(at, 100 + at) for at in map(float, range(600))]
    assert soak.growth(leaking) > 2


def test_dotted_keys() -> None:
    document: dict[str, Any] = {"batcher": {"policy": "adaptive"}}
    put(document, "batcher.policy", "off")
    put(document, "tensorflow.threading", "default")
    assert document == {"batcher": {"policy": "off"}, "tensorflow": {"threading": "default"}}
