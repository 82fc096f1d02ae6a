"""Whole runs on paper: the race, the choice, the verification, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.load import Load
from scripts.tuning import batch, batch_report, latency
from scripts.tuning.common import Common
from scripts.tuning.errors import DONE, MISSED, UNREACHABLE, TuneError
from scripts.tuning.latency_sweep import Options as LatencyOptions
from scripts.tuning.latency_sweep import Tuning
from scripts.tuning.output import settings_of
from scripts.tuning.session import Pace
from scripts.tuning.settings import Grid, Setting
from scripts.tuning.world import Trial
from tests.tuning.paper import Behaviour, Paper, Time, answers, load

NOW = Setting.of({})
GRID = Grid(["adaptive", "eager", "window", "off"], [NOW.max_rows], [NOW.max_wait_us], [NOW.runners])


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("scripts.tuning.session.time", clock)
    return clock


def common(**changes: Any) -> Common:
    options: dict[str, Any] = {
        "rates": [1000.0, 2000.0],
        "shares": [],
        "minutes": 5,
        "pace": Pace(2.0, 0.6),
        "verify_rounds": 3,
        "connections": 8,
        "most_rounds": 5,
    }
    return Common(**{**options, **changes})


def bidders(figures: dict[str, tuple[float, float]], *, verified: float = 1.0) -> Behaviour:
    """Bidders by policy with (p99, CPU); what a first verification finds may be worse by a factor."""

    def behave(name: str, _rate: float, _round: int) -> Load:
        p99, cpu = figures[name.removeprefix("verify1-").removeprefix("verify2-").split("-", maxsplit=1)[0]]
        return load(answers(p99 * (verified if name.startswith("verify1") else 1.0)), cpu_us=cpu)

    return behave


def tuned(directory: Path, time: Time, behaviour: Behaviour, **changes: Any) -> batch.Outcome:
    options = batch.Options(slo_p99_ms=10, headroom=0.1, grid=GRID, common=common(**changes))
    trial = Trial(directory / "world", models=directory)
    with Paper(directory, behaviour, minutes=options.common.minutes, time=time) as session:
        return batch.tune(session, trial, options)


GOOD = {"adaptive": (5.0, 100.0), "eager": (4.0, 120.0), "window": (6.0, 70.0), "off": (50.0, 50.0)}


def test_the_best_is_recommended_and_verified(tmp_path: Path, time: Time) -> None:
    outcome = tuned(tmp_path, time, bidders(GOOD))
    assert (outcome.choice.setting.policy, outcome.status) == ("window", DONE)
    assert outcome.verification is not None
    assert outcome.verification.record()["p99_ms"] == {"1000": 6.0, "2000": 6.0}
    assert time.now < 5 * 60


def test_a_run_again_measures_nothing(tmp_path: Path, time: Time) -> None:
    tuned(tmp_path, time, bidders(GOOD))
    now = time.now
    assert tuned(tmp_path, time, bidders(GOOD)).status == DONE
    assert time.now == now


def test_another_target_uses_what_was_measured(tmp_path: Path, time: Time) -> None:
    tuned(tmp_path, time, bidders(GOOD))
    before = time.now
    options = batch.Options(slo_p99_ms=5.8, headroom=0.1, grid=GRID, common=common())
    with Paper(tmp_path, bidders(GOOD), minutes=5, time=time) as session:
        outcome = batch.tune(session, Trial(tmp_path / "world", models=tmp_path), options)
    assert (outcome.choice.setting.policy, outcome.status) == ("adaptive", DONE)
    assert time.now - before < 60


def test_a_failed_verification_counts_and_the_next_best_is_tried(tmp_path: Path, time: Time) -> None:
    outcome = tuned(tmp_path, time, bidders(GOOD, verified=40.0), most_rounds=1)
    assert (outcome.choice.setting.policy, outcome.status) == ("adaptive", DONE)
    assert outcome.verification is not None
    assert outcome.verification.standing.setting.policy == "adaptive"


def test_a_verification_that_misses_is_status_1(tmp_path: Path, time: Time) -> None:
    outcome = tuned(tmp_path, time, bidders(GOOD, verified=1.8), most_rounds=5)
    assert outcome.status == MISSED
    assert outcome.choice.meets


def test_an_unreachable_target_is_status_3(tmp_path: Path, time: Time) -> None:
    slow = {policy: (p99 * 4, cpu) for policy, (p99, cpu) in GOOD.items()}
    outcome = tuned(tmp_path, time, bidders(slow))
    assert outcome.status == UNREACHABLE
    assert outcome.verification is None
    assert (outcome.choice.setting.policy, outcome.choice.worst_p99_ms) == ("eager", 16.0)


def test_too_little_time_is_said(tmp_path: Path, time: Time) -> None:
    with pytest.raises(TuneError, match="--minutes"):
        tuned(tmp_path, time, bidders(GOOD), minutes=0.6)


def test_loads_are_shares_of_a_capacity_found_first(tmp_path: Path, time: Time) -> None:
    def behave(name: str, rate: float, round_: int) -> Load:
        result = answers(5.0 if rate <= 8000 else 500.0, sent=20_000)  # answers 10,000/s in a closed loop
        return load(result) if rate > 4000 or rate == 0 else bidders(GOOD)(name, rate, round_)

    outcome = tuned(tmp_path, time, behave, rates=[], shares=[0.25, 0.5])
    assert outcome.capacity is not None
    assert outcome.capacity == pytest.approx(8000, rel=0.25)
    assert list(outcome.race.target.rates) == pytest.approx([outcome.capacity * s for s in (0.25, 0.5)], rel=0.05)


def test_a_load_out_of_reach_is_named_and_left_out(tmp_path: Path, time: Time) -> None:
    def behave(name: str, rate: float, round_: int) -> Load:
        if rate > 5000 or rate == 0:
            return load(answers(30.0 if rate <= 8000 else 500.0, sent=20_000))
        return bidders(GOOD)(name, rate, round_)

    outcome = tuned(tmp_path, time, behave, rates=[], shares=[0.4, 0.8])
    low, high = outcome.race.target.rates
    assert (outcome.choice.setting.policy, outcome.status) == ("window", DONE)
    assert (outcome.target.rates, outcome.choice.worst_rate) == ([low], low)
    assert outcome.verification is not None
    assert list(outcome.verification.record()["p99_ms"]) == [f"{low:g}"]
    assert f"It is NOT for {high:,.0f}/s" in batch_report.verdict(outcome)
    assert "30.0 ms" in batch_report.verdict(outcome)
    document = batch_report.document(outcome, tmp_path)
    assert (document["rates"], document["rates_unreached"]) == ([low], [high])
    written = batch.write(outcome, batch.Options(10, 0.1, GRID, common()), tmp_path)
    assert written is not None
    assert settings_of(written.fragment, "batcher")[1]["rates"] == [low]


def test_a_load_that_verification_misses_is_left_out(tmp_path: Path, time: Time) -> None:
    def behave(name: str, rate: float, _round: int) -> Load:
        if rate > 5000 and (name.startswith("verify1") or not name.startswith("adaptive")):
            return load(answers(30.0))
        return load(answers(5.0 if rate <= 8000 else 500.0, sent=20_000))

    outcome = tuned(tmp_path, time, behave, rates=[], shares=[0.4, 0.8], most_rounds=1)
    low, _ = outcome.race.target.rates
    assert (outcome.target.rates, outcome.choice.setting.policy, outcome.status) == ([low], "adaptive", DONE)
    assert outcome.verification is not None
    assert outcome.verification.record()["p99_ms"] == {f"{low:g}": 5.0}


def test_what_is_good_where_the_target_can_be_met_stays_in_the_race(tmp_path: Path, time: Time) -> None:
    # At a load out of reach the cheapest for the other is the slowest: that must not put it out of the race.
    def behave(name: str, rate: float, round_: int) -> Load:
        if rate > 5000 or rate == 0:
            return load(answers((90.0 if "window" in name else 20.0) if rate <= 8000 else 500.0, sent=20_000))
        return bidders(GOOD)(name, rate, round_)

    outcome = tuned(tmp_path, time, behave, rates=[], shares=[0.4, 0.8])
    assert (outcome.choice.setting.policy, outcome.status) == ("window", DONE)


def test_what_was_found_is_written_down_whole(tmp_path: Path, time: Time) -> None:
    config = tmp_path / "bidder.yaml"
    config.write_text("name: mine # it is\nbatcher:\n  policy: adaptive # as shipped\n")
    options = batch.Options(slo_p99_ms=10, headroom=0.1, grid=GRID, common=common(config=config))
    outcome = tuned(tmp_path / "plan", time, bidders(GOOD))
    written = batch.write(outcome, options, tmp_path)
    assert written is not None
    assert written.whole is not None
    text = written.whole.read_text()
    assert "policy: window   # as shipped" in text
    assert "name: mine # it is" in text
    assert json.loads(text.split("# tuned: ")[1].splitlines()[0]) == {"slo_p99_ms": 10, "rates": [1000.0, 2000.0]}


@pytest.fixture
def papers(tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch) -> list[Paper]:
    """The sessions that whole commands open, on paper."""
    opened: list[Paper] = []

    @contextmanager
    def session(_title: str, directory: Path, _trial: Trial, *, minutes: float, **_options: Any) -> Iterator[Paper]:
        with Paper(directory, bidders(GOOD), minutes=minutes, time=time) as paper:
            opened.append(paper)
            yield paper

    monkeypatch.setattr("scripts.tuning.common.session", session)
    monkeypatch.setattr("scripts.tuning.batch.session", session)
    monkeypatch.chdir(tmp_path)
    return opened


@pytest.mark.usefixtures("papers")
def test_a_run_from_elsewhere_is_read_by_the_bidder(tmp_path: Path) -> None:
    options = batch.Options(slo_p99_ms=10, headroom=0.1, grid=GRID, common=common(directory=tmp_path / "tune"))
    assert batch.run(options) == DONE


@pytest.mark.usefixtures("papers")
def test_what_the_bidder_refuses_is_reported_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_options: Any) -> None:
        raise TuneError(f"the bidder refuses {path}")

    monkeypatch.setattr("scripts.tuning.output.check", refuse)
    options = batch.Options(slo_p99_ms=10, headroom=0.1, grid=GRID, common=common(directory=tmp_path))
    with pytest.raises(TuneError, match=r"refuses .*settings\.yaml"):
        batch.run(options)
    (page,) = tmp_path.glob("batch/*/report.html")
    assert json.loads(page.with_name("result.json").read_text())["recommended"]["policy"] == "window"


def test_all_that_a_configuration_says_of_the_batcher_is_verified(tmp_path: Path, papers: list[Paper]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("batcher: {policy: off, queue_rows: 64, models: {cvr: {runners: 2}}}\n")
    assert batch.run_verify(file, slo_p99_ms=60, common=common(directory=tmp_path)) == DONE
    ((_, measured),) = papers[0].settings.items()
    assert measured["batcher.policy"] == "off"
    assert measured["batcher.queue_rows"] == 64
    assert measured["batcher.models"] == {"cvr": {"runners": 2}}


# Exchanges' deadlines.


def exchange(stall_ms: dict[float, float]) -> Behaviour:
    """Bidders by margin: 1 answer in 100 takes so long; those that never give up answer a tenth in 60 ms."""

    def behave(name: str, _rate: float, _round: int) -> Load:
        result = answers(5.0, sent=20_000)
        steps = [0] * 200
        if name == "control":
            steps[4], steps[59], tmaxes = 18_000, 2_000, [1000]
        else:
            margin = float(name.removeprefix("margin-").split("-")[0]) if name.startswith("margin") else 10.0
            steps[4], tmaxes = 9_000, [50, 100]
            steps[int(stall_ms.get(margin, 20))] += 100
        spreads = [{"tmax": t, "sent": sum(steps), "answers": {"200": steps}} for t in tmaxes]
        result["distribution"] = {"step_ms": 1.0, "by_tmax": spreads}
        result["reconnects"] = 3 if name.endswith("-t250000") else 0
        return load(result)

    return behave


def swept(directory: Path, time: Time, behaviour: Behaviour, **changes: Any) -> Any:
    options = LatencyOptions(
        late_share=1e-3,
        margins_ms=[2, 5, 10],
        tmax_ms=[50, 100],
        network_ms=changes.pop("network_ms", 0.0),
        timeouts_us=[250_000, 1_000_000],
        common=common(**changes),
    )
    trial = Trial(directory / "world", models=directory)
    trial.directory.mkdir(parents=True, exist_ok=True)
    trial.bodies.write_text('{"id": "1"}\n')
    with Paper(directory, behaviour, minutes=options.common.minutes, time=time) as session:
        return Tuning(session, trial, options).run()


def test_the_least_margin_that_keeps_deadlines_is_recommended(tmp_path: Path, time: Time) -> None:
    outcome = swept(tmp_path, time, exchange({2: 120, 5: 70}))  # late for both deadlines; for 50 ms
    assert (outcome.choice.margin_ms, outcome.status) == (10.0, DONE)
    assert outcome.changes == {"auction.tmax_margin": "10ms"}
    assert {t.us: t.broken for t in outcome.timeouts} == {None: 0, 250_000: 6, 1_000_000: 0}
    assert outcome.margins[10.0][2000.0, 100].given_up_early == pytest.approx(0.0)
    assert swept(tmp_path, time, exchange({})).choice == outcome.choice  # from the journal


def test_the_network_counts(tmp_path: Path, time: Time) -> None:
    outcome = swept(tmp_path, time, exchange({2: 120, 5: 40}))
    assert outcome.choice.margin_ms == 5.0
    again = swept(tmp_path, time, exchange({}), network_ms=15.0)
    assert again.choice.margin_ms == 10.0, "judged anew, from the same measurements"


def test_where_no_margin_will_do_it_is_status_3(tmp_path: Path, time: Time) -> None:
    outcome = swept(tmp_path, time, exchange(dict.fromkeys((2, 5, 10, 25), 180)))
    assert outcome.status == UNREACHABLE
    assert outcome.changes == {}
    assert latency.write(outcome, tmp_path) is None


def test_margins_that_the_bidder_would_refuse_are_named(tmp_path: Path, time: Time) -> None:
    with Paper(tmp_path, exchange({}), time=time) as session:
        trial = Trial(tmp_path / "world", models=tmp_path)
        trial.directory.mkdir()
        trial.bodies.write_text("{}\n")
        options = LatencyOptions(1e-3, [2, 150], [50], 0.0, [], common())
        with pytest.raises(TuneError, match="tmax_default"):
            Tuning(session, trial, options)
