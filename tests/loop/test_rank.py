from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pytrain.ranking import writing
from scripts.rank import baseline
from scripts.rank.settings import Run, World, merged
from scripts.rank.status import lift

FIELDS = ("device", "system", "browser", "provider", "country", "language", "hour", "weekday")
RANKING = {"clicks": 200, "shown": 9.0, "best": 12.0, "chance": 2.0}


def books() -> pd.DataFrame:
    """Two windows of 100 clicks: `a` is best until it ends in the second one, where `c` begins."""
    rows = [
        (0, "a", 60, 3, 100, 5.0),
        (0, "b", 40, 1, 100, 2.0),
        (10, "a", 10, 1, 40, 2.0),
        (10, "b", 90, 1, 100, 3.0),
        (10, "c", 0, 0, 60, 6.0),
    ]
    return pd.DataFrame(rows, columns=["window_s", "campaign", "clicks", "sales", "offered", "expected"])


def test_the_share_of_an_order_of_campaigns() -> None:
    assert baseline.share(books(), RANKING, order={"a": 1.0, "b": 0.5}) == pytest.approx((5 + 3 - 2) / 10)
    assert baseline.share(books(), RANKING, order={"a": -1.0, "b": -0.5}) == pytest.approx((2 + 3 - 2) / 10)
    assert baseline.share(books(), RANKING, order=None) == pytest.approx((5 + 3 - 2) / 10)
    assert lift(RANKING) == pytest.approx(0.7)
    assert lift({"shown": 0, "best": 0, "chance": 0}) == 0


def test_the_global_model_learns_the_order_from_the_warm_up_log(tmp_path: Path) -> None:
    run = Run(tmp_path, tmp_path / "recipe.yaml", World(2, 0.01, 0.1, 1, 1, 4000, 1), "best", 0.0)
    rng = np.random.default_rng(1)
    for campaign, rate in {"a": 0.05, "b": 0.2}.items():
        texts = {field: ["x"] * 2000 for field in FIELDS}
        at = np.arange(2000)
        writing.write(run.data_set, campaign, texts, time_ms=at, label=rng.random(2000) < rate)
        late = {field: ["x"] * 50 for field in FIELDS}  # not of the log: `a` would be best
        writing.write(run.data_set, campaign, late, time_ms=5000 + at[:50], label=np.full(50, campaign == "a"))
    found = baseline.lift_share(run, books(), RANKING, until_ms=5000)
    assert found == pytest.approx(baseline.share(books(), RANKING, order={"b": 1.0, "a": 0.5}))


def test_settings_are_merged_at_all_depths() -> None:
    base = {"a": {"x": 1, "y": {"z": 2}}, "models": {"ctr": {}, "cvr": {}}, "b": 3}
    changed = {"a": {"y": {"z": 4}}, "models": {"ctr": {}}}
    assert merged(base, changed) == {"a": {"x": 1, "y": {"z": 4}}, "models": {"ctr": {}}, "b": 3}
    assert base["b"] == 3


def test_configurations_are_written_from_those_of_the_tree(tmp_path: Path) -> None:
    world = World(12, 0.01, 0.1, 100, 50, 1000, 7)
    run = Run(tmp_path, tmp_path / "recipe.yaml", world, "thompson", 0.03)
    run.write_configs()
    ranker = run.config("ranker").read_text()
    assert "policy: thompson" in ranker
    assert "by: value" in ranker  # what the run does not change stays
    exchange = run.config("exchange").read_text()
    assert "campaigns: 12" in exchange
    assert "own_std: 0.25" in exchange
    assert f"campaign_file: {run.landings}" in exchange
