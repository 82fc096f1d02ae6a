"""Runs that are stopped and go on: nothing is measured twice, and the end is as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.load import Load
from scripts.tuning.choice import Target, choose
from scripts.tuning.errors import Busy, OutOfTime, TuneError
from scripts.tuning.journal import Journal, digest, fingerprint
from scripts.tuning.race import Race
from scripts.tuning.samples import Sample
from scripts.tuning.settings import Setting
from scripts.tuning.world import Trial
from tests.tuning.paper import BASE, EAGER, OFF, PACE, WINDOW, Paper, Time, answers, load, noisy

FIGURES = {BASE.key: (6.0, 100.0), EAGER.key: (4.0, 130.0), WINDOW.key: (7.0, 75.0), OFF.key: (30.0, 60.0)}
SETTINGS = [BASE, EAGER, WINDOW, OFF]
TARGET = Target(slo_p99_ms=10, rates=[1000, 2000])
SIZES = [4, 3, 3]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The clock of sessions."""
    clock = Time()
    monkeypatch.setattr("scripts.tuning.session.time", clock)
    return clock


def race(session: Paper) -> Race:
    """A race of four settings in this session."""
    running = Race(SETTINGS, TARGET)

    def measure(setting: Setting, rate: float, round_: int) -> Sample:
        record = session.measure(
            setting.key, {}, phase="race", round_=round_, rate=rate, pace=PACE, bodies=Path("bodies")
        )
        return Sample.of(record)

    running.run(SIZES, measure, most=3)
    return running


def test_a_run_killed_in_the_middle_measures_only_the_rest(tmp_path: Path) -> None:
    behaviour = noisy(FIGURES, noise=0.1)
    with Paper(tmp_path / "whole", behaviour) as whole:
        undisturbed = race(whole)
    with Paper(tmp_path / "killed", behaviour, stop_after=7) as killed, pytest.raises(KeyboardInterrupt):
        race(killed)
    with Paper(tmp_path / "killed", behaviour) as rest:
        again = race(rest)
    assert len(killed.offered) == 7
    assert killed.offered + rest.offered == whole.offered
    assert again.standings == undisturbed.standings
    assert choose(again.standings, BASE, TARGET) == choose(undisturbed.standings, BASE, TARGET)
    with Paper(tmp_path / "killed", behaviour) as nothing:
        race(nothing)
    assert nothing.offered == []


def test_what_was_measured_counts_against_the_time(tmp_path: Path, time: Time) -> None:
    behaviour = noisy(FIGURES, noise=0.1)
    minutes = (6 * PACE.cost_s + 1) / 60
    with Paper(tmp_path, behaviour, minutes=minutes, time=time) as first:
        race(first)
    assert len(first.offered) == 6
    with Paper(tmp_path, behaviour, minutes=minutes, time=time) as second:
        race(second)
    assert second.offered == []


def test_a_finished_plan_is_not_added_to(tmp_path: Path) -> None:
    with Paper(tmp_path, lambda *_: load(answers(5))) as session:
        session.over = True
        with pytest.raises(OutOfTime):
            session.measure("x", {}, phase="race", round_=1, rate=1, pace=PACE, bodies=Path("b"))


def test_a_line_cut_off_by_a_crash_is_taken_away(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add("load", "a", took_s=1)
        journal.add("load", "b", took_s=2)
    path = tmp_path / "measurements.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with Journal(tmp_path) as journal:
        assert journal.get("load", "a") == {"kind": "load", "key": "a", "took_s": 1}
        assert journal.get("load", "b") is None
        journal.add("load", "b", took_s=2)
    assert path.read_bytes() == whole


def test_a_journal_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "measurements.jsonl").write_text('{"kind": "load", "key": "a"}\nnonsense\n')
    with pytest.raises(TuneError, match=r"line 2.*--fresh"):
        Journal(tmp_path)
    with Journal(tmp_path, fresh=True) as journal:
        assert journal.found == 0


def test_one_run_at_a_time_holds_a_plan(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(Busy):
        Journal(tmp_path)
    Journal(tmp_path).close()


def test_records_are_lines_of_json(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.add("capacity", "x", rate=1000.0)
        journal.add("load", "y", result={"latency_ms": {"p99": 1.5}})
        assert [r["key"] for r in journal.of("load")] == ["y"]
    lines = (tmp_path / "measurements.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["capacity", "load"]


def test_a_plan_is_named_by_all_it_depends_on() -> None:
    one = fingerprint({"rates": [1, 2], "minutes": 4})
    assert one == fingerprint({"minutes": 4, "rates": [1, 2]})
    assert one != fingerprint({"minutes": 5, "rates": [1, 2]})


def test_a_measurement_during_which_the_machine_stood_still_is_made_again(tmp_path: Path, time: Time) -> None:
    stalls = [100.0, 0.0]

    def behave(*_: object) -> Load:
        time.now += stalls.pop(0)
        return load(answers(5))

    with Paper(tmp_path, behave, time=time) as session:
        record = session.measure("x", {}, phase="race", round_=1, rate=1, pace=PACE, bodies=Path("b"))
        assert session.clock.used_s == pytest.approx(2 * PACE.cost_s)
    assert len(session.offered) == 2
    assert record["took_s"] == pytest.approx(PACE.cost_s)


def test_a_stores_digest_tells_what_it_serves(tmp_path: Path) -> None:
    def version(number: int) -> str:
        (tmp_path / f"ctr/{number}").mkdir(parents=True)
        return digest(tmp_path)

    def pointer(text: str) -> str:
        (tmp_path / "ctr/pointer.json").write_text(text)
        return digest(tmp_path)

    found = [version(1), version(2), pointer('{"stable": 2}'), pointer('{"stable": 1}')]
    assert len(set(found)) == len(found)
    (tmp_path / "ctr/.lock").touch()  # of a run of the trainer, which changed nothing
    assert digest(tmp_path) == found[-1]


def test_measurements_depend_on_the_benchmarks_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "recipe.yaml"
    monkeypatch.setattr("scripts.tuning.world.RECIPE", recipe)

    def inputs(text: str) -> dict[str, Any]:
        recipe.write_text(text)
        return Trial(tmp_path, models=tmp_path).inputs()

    assert inputs("model: a\n") == inputs("model: a\n")
    assert inputs("model: a\n") != inputs("model: b\n")
