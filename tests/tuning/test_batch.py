"""The batcher's settings: read from a configuration, written back, and the grid of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.tuning.batch import IDLE, Grid, Setting
from scripts.tuning.config import TuneError, duration, milliseconds

BASE = Setting("adaptive", 128, 2, 1)
GRID = Grid(list(IDLE), [32, 128, 512], [1, 2, 5], [1, 2])


@pytest.mark.parametrize(("text", "ms"), [("2ms", 2), ("500us", 0.5), ("1m30s", 90e3), ("1.5ms", 1.5), ("0s", 0)])
def test_durations(text: str, ms: float) -> None:
    assert milliseconds(text) == ms
    assert milliseconds(duration(ms)) == ms


@pytest.mark.parametrize("text", ["", "2", "ms", "2 ms", "2ms!", "1.2.3ms"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(TuneError):
        milliseconds(text)


def test_settings_that_do_the_same_are_swept_once() -> None:
    # adaptive and window: 3·3·2 each; eager: 3·2; off: 1
    assert len(GRID.settings(BASE, queue_rows=4096)) == 18 + 18 + 6 + 1


def test_the_base_is_first_and_what_changes_least_follows() -> None:
    settings = GRID.settings(BASE, queue_rows=4096)
    assert settings[0] == BASE
    assert {s.policy for s in settings[1:4]} == {"eager", "window", "off"}
    assert settings[4:6] == [replace(BASE, max_wait_ms=1), replace(BASE, runners=2)]


def test_the_base_is_in_its_own_grid_and_no_batch_is_larger_than_the_queue() -> None:
    settings = GRID.settings(replace(BASE, max_rows=100), queue_rows=256)
    assert settings[0].max_rows == 100
    assert {s.max_rows for s in settings} == {32, 100, 128}


def test_a_setting_is_read_from_a_configuration_and_written_back() -> None:
    section = {"policy": "window", "runners": 3, "max_rows": 64, "max_wait": "1500us", "queue_rows": 99}
    setting = Setting.of({"batcher": section})
    assert setting == Setting("window", 64, 1.5, 3)
    changes = setting.candidate(section).changes
    assert changes == {f"batcher.{key}": found for key, found in section.items()}
    assert Setting.of({"batcher": {"policy": False}}).policy == "off"
    assert Setting.of({}) == Setting.of({"batcher": {}})
    with pytest.raises(TuneError, match="none of"):
        Setting.of({"batcher": {"policy": "slow"}})
