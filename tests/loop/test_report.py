from __future__ import annotations

from pathlib import Path

import pytest

from scripts.loop.processes import LoopError
from scripts.loop.report import summarise
from scripts.loop.runner import Plan
from scripts.loop.settings import ROOT, Run
from scripts.loop.sources import Metrics


@pytest.mark.parametrize("has_teacher", [True, False])
def test_a_run_without_examples_says_that_it_was_too_short(tmp_path: Path, *, has_teacher: bool) -> None:
    run = Run(directory=tmp_path, recipes=[ROOT / "models/ctr/recipe.yaml"], campaigns=tmp_path)
    books = dict.fromkeys(
        ("auctions", "bids", "wins", "clicks", "late", "errors", "spend_micros", "p50_ms", "p99_ms"), 0
    )
    result = summarise(run, books, Metrics(), Metrics(), has_teacher=has_teacher)
    told, other = (result.notes, result.faults) if has_teacher else (result.faults, result.notes)
    assert len(told) == 1
    assert told[0].startswith("too short to judge: an impression is learnt from only when its click has been")
    assert "5 s" in told[0]
    assert not other


def test_an_own_log_brings_its_recipe_and_campaigns(tmp_path: Path) -> None:
    for name in ("log.yaml", "recipe.yaml"):
        (tmp_path / name).write_text("")
    with pytest.raises(LoopError, match=r"campaigns\.yaml not found; docs/replay\.md"):
        Plan.of_replay(tmp_path, rate=1, duration_s=None)
    (tmp_path / "campaigns.yaml").write_text("")
    plan = Plan.of_replay(tmp_path, rate=1, duration_s=None)
    assert plan.recipes == [tmp_path / "recipe.yaml"]
    assert plan.exchange[:5] == ["replay", "--data", str(tmp_path), "--set", "log"]


def test_an_unknown_data_set_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(LoopError, match=r"no log\.yaml in .*there are: criteo_attr_small, .*Your own log"):
        Plan.of_replay(tmp_path, rate=1, duration_s=None)
