"""The grid's order, and plans that keep to the time there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.tuning.errors import TuneError
from scripts.tuning.plan import LEAST, fit
from scripts.tuning.session import Pace
from scripts.tuning.settings import POLICIES, Grid, Setting, duration, microseconds
from tests.tuning.paper import BASE

GRID = Grid(POLICIES, [32, 128, 512], [1000, 2000, 5000], [1, 2])


@pytest.mark.parametrize(("text", "us"), [("2ms", 2000), ("500us", 500), ("1m30s", 90e6), ("1.5ms", 1500), ("0s", 0)])
def test_durations(text: str, us: int) -> None:
    assert microseconds(text) == us
    assert microseconds(duration(us)) == us


@pytest.mark.parametrize("text", ["", "2", "ms", "2 ms", "2ms!", "1.2.3ms"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(TuneError):
        microseconds(text)


def test_settings_that_do_the_same_are_swept_once() -> None:
    settings = GRID.settings(BASE, queue_rows=4096)
    assert len(settings) == len({s.key for s in settings})
    # adaptive: 3·3·2; window: 3·3·2; eager: 3·2; off: 1
    assert len(settings) == 18 + 18 + 6 + 1


def test_what_changes_least_comes_first() -> None:
    settings = GRID.settings(BASE, queue_rows=4096)
    assert settings[0] == BASE
    assert {s.policy for s in settings[1:3]} == {"eager", "window"}
    changes = [len(s.changes(BASE)) for s in settings]
    assert changes == sorted(changes)


def test_the_base_is_in_its_own_grid_and_no_batch_larger_than_the_queue() -> None:
    base = replace(BASE, max_rows=100, max_wait_us=7000)
    settings = GRID.settings(base, queue_rows=256)
    assert settings[0] == base
    assert {s.max_rows for s in settings} == {32, 100, 128}
    assert replace(base, policy="eager") in settings


def test_a_setting_is_read_from_a_configuration_and_written_back() -> None:
    section = {"policy": "window", "runners": 3, "max_rows": 64, "max_wait": "1500us", "queue_rows": 99}
    setting = Setting.of(section)
    assert setting == Setting("window", 64, 1500, 3)
    assert Setting.of(setting.values()) == setting
    assert setting.dotted()["batcher.max_wait"] == "1.5ms"


@given(
    time_s=st.floats(1, 4000),
    settings=st.integers(1, 200),
    loads=st.integers(1, 5),
    seconds=st.floats(0.5, 20),
    start_s=st.floats(0, 5),
    alive=st.integers(1, 12),
)
def test_a_plan_keeps_to_its_time(
    time_s: float, settings: int, loads: int, seconds: float, start_s: float, alive: int
) -> None:
    pace = Pace(seconds, 0.5)
    try:
        plan = fit(time_s, settings=settings, loads=loads, pace=pace, start_s=start_s, alive=alive)
    except TuneError:
        assert time_s < 2 * (loads * pace.cost_s + start_s)
        return
    assert plan.cost_s <= time_s
    assert plan.sizes[0] <= settings
    assert list(plan.sizes) == sorted(plan.sizes, reverse=True)


def test_more_time_tries_more_settings_and_measures_finalists_often() -> None:
    sizes = [
        fit(t, settings=80, loads=2, pace=Pace(2.5, 0.7), start_s=1.5, alive=12).sizes for t in (60, 180, 600, 3000)
    ]
    assert [s[0] for s in sizes] == sorted({s[0] for s in sizes})
    assert sizes[-1][0] == 80
    assert all(len(s) == 5 and s[-1] >= LEAST for s in sizes[1:])
