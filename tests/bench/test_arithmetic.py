from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from bench import batcher, capacity, soak
from bench.bidder import Reading, version_in
from bench.load import Load, offering, result_of
from bench.percentiles import Slice, percentile, read
from bench.report import Target
from bench.world import World, put


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
        assert 5000 / capacity.PRECISION <= capacity.find(bidder, Path("bodies"), start=start) <= 5000


@pytest.mark.parametrize(("for_long", "least"), [(5000, 4800), (4000, 3780), (0, 3000)])
def test_a_capacity_holds_for_long(monkeypatch: pytest.MonkeyPatch, for_long: float, least: float) -> None:
    offered: list[tuple[float, float]] = []

    def offer(_bidder: Any, _bodies: Any, *, rate: float, seconds: float, **_options: Any) -> Load:
        offered.append((seconds, rate))
        return load(rate, 1000 if rate <= (5000 if seconds == 4 else for_long) else 900)

    monkeypatch.setattr(capacity, "offer", offer)
    bidder: Any = type("Bidder", (), {"name": "b"})()
    found = capacity.find(bidder, Path("bodies"), seconds=4)
    long = [rate for seconds, rate in offered if seconds == 12]
    assert least <= found <= (for_long or 3300)
    assert len(long) <= 2 * capacity.LOWERED
    assert not for_long or long[-1] == found


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


def test_a_standstill_counts_for_the_second_in_which_it_is_made_up_for() -> None:
    slices: list[Slice] = [{"at": at, "held_up_ms": held} for at, held in enumerate((0.1, 49.9, 50.0, 180.0, 2.0, 0.1))]
    assert [s["at"] for s in soak.standstills(slices)] == [2, 3, 4]
    assert soak.standstills([]) == []


class Clock:
    """In place of the module `time`: it goes on when somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_each_swap_is_seen_to_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, serving, named = Clock(), {}, []  # when each version begins to serve

    def write_pointer(_model: Path, *, stable: int) -> None:
        named.append(clock.now)
        serving[stable] = clock.now + {2: 1.0, 3: 4.0, 4: 1000.0}[stable]

    class Bidder:
        child = type("Child", (), {"died": lambda _self: None})()

        def stable_version(self, _model: str) -> int:
            return max((v for v, at in serving.items() if at <= clock.now), default=1)

        def rss_mib(self) -> float:
            return 100.0

    monkeypatch.setattr(soak, "time", clock)
    monkeypatch.setattr(soak, "write_pointer", write_pointer)
    bidder: Any = Bidder()
    swaps, memory = soak.drive(World(tmp_path), bidder, seconds=80, swaps=3, begin=0.0)
    assert [s.at for s in swaps] == named == pytest.approx([20, 40, 60], abs=1)
    assert [s.took_s for s in swaps] == [pytest.approx(1, abs=0.2), pytest.approx(4, abs=0.2), None]
    assert [s.in_window for s in swaps] == [True, False, False]
    assert len(memory) == pytest.approx(80, abs=10)


def test_the_version_that_serves_is_read_from_the_metrics() -> None:
    page = (
        '# TYPE gavel_model_version gauge\ngavel_model_version{model="bench",role="canary"} 9\n'
        'gavel_model_version{model="slow",role="stable"} 8\ngavel_model_version{model="bench",role="stable"} 17\n'
    )
    assert [version_in(page, model) for model in ("bench", "slow", "other")] == [17, 8, 0]


def test_a_generator_ends_with_its_block() -> None:
    with pytest.raises(ValueError, match="elsewhere"), offering(["sleep", "60"]) as generator:
        raise ValueError("elsewhere")
    assert generator.returncode == -signal.SIGTERM


def test_a_generator_that_fails_says_why() -> None:
    with (
        offering(["sh", "-c", "echo cannot connect >&2; exit 3"]) as generator,
        pytest.raises(RuntimeError, match="3: cannot connect"),
    ):
        result_of(generator, within_s=30)


def test_dotted_keys() -> None:
    document: dict[str, Any] = {"batcher": {"policy": "adaptive"}}
    put(document, "batcher.policy", "off")
    put(document, "tensorflow.threading", "default")
    assert document == {"batcher": {"policy": "off"}, "tensorflow": {"threading": "default"}}
