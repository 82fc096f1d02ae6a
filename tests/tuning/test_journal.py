"""Measurements on disk: found again, cut off by a crash, held by one run, named by what they depend on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.tuning.config import TuneError
from scripts.tuning.journal import digest, fingerprint, opened


def make(value: int) -> Any:
    return lambda: {"value": value}


def test_a_record_is_made_once(tmp_path: Path) -> None:
    with opened(tmp_path, fresh=False) as journal:
        journal.record("a", make(1))
    with opened(tmp_path, fresh=False) as journal:
        assert journal.record("a", make(2)) == {"key": "a", "value": 1}
        assert journal.made == 0
    with opened(tmp_path, fresh=True) as journal:
        assert journal.record("a", make(2))["value"] == 2


def test_a_line_cut_off_by_a_crash_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "measurements.jsonl"
    with opened(tmp_path, fresh=False) as journal:
        journal.record("a", make(1))
        journal.record("b", make(2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with opened(tmp_path, fresh=False) as journal:
        assert list(journal.records) == ["a"]
        journal.record("b", make(2))
    assert path.read_bytes() == whole


def test_a_journal_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "measurements.jsonl").write_text('{"key": "a"}\nnonsense\n')
    with pytest.raises(TuneError, match=r"line 2.*--fresh"), opened(tmp_path, fresh=False):
        pass


def test_one_run_at_a_time_holds_a_plan(tmp_path: Path) -> None:
    with opened(tmp_path, fresh=False), pytest.raises(TuneError, match="another run"), opened(tmp_path, fresh=False):
        pass


def test_a_plan_is_named_by_all_it_depends_on() -> None:
    one = fingerprint({"rates": [1, 2], "minutes": 4})
    assert one == fingerprint({"minutes": 4, "rates": [1, 2]})
    assert one != fingerprint({"minutes": 5, "rates": [1, 2]})


def test_a_stores_digest_tells_what_it_serves(tmp_path: Path) -> None:
    found = []
    for number in (1, 2):
        (tmp_path / f"ctr/{number}").mkdir(parents=True)
        found.append(digest(tmp_path))
    for text in ('{"stable": 2}', '{"stable": 1}'):
        (tmp_path / "ctr/pointer.json").write_text(text)
        found.append(digest(tmp_path))
    assert len(set(found)) == 4
    (tmp_path / "ctr/.lock").touch()  # of a run of the trainer, which changed nothing
    assert digest(tmp_path) == found[-1]
