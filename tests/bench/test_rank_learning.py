"""The benchmark of rankings' classifiers: its world, and a short run of all parts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.rank_learning import talkingdata
from bench.rank_learning.world import World
from pytrain.ranking import solver
from scripts.loop.settings import ROOT


def test_the_world_has_the_rates_that_were_asked_for() -> None:
    world = World([1e-3, 0.1], seed=5)
    for c, rate in enumerate(world.rates):
        rows = world.rows(c, 100_000, stream=0)
        assert float(solver.sigmoid(rows.logit).mean()) == pytest.approx(rate, rel=0.03)
        assert float(rows.label.mean()) == pytest.approx(rate, rel=0.3)
    again = World([1e-3, 0.1], seed=5).rows(1, 50, stream=0)
    np.testing.assert_array_equal(again.logit, world.rows(1, 50, stream=0).logit)
    assert (again.logit != world.rows(1, 50, stream=1).logit).any()


def test_balanced_accuracy_by_hand() -> None:
    y, p = np.array([1.0, 1, 0, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.1, 0.1, 0.1])
    assert talkingdata.balanced_accuracy(y, p, 0.2) == (1 / 2 + 3 / 4) / 2


def short(*flags: str | Path) -> dict[str, Any]:
    """The last line of a short run; a missed target (status 1) is no failure here."""
    command = [ROOT / ".venv/bin/python", "-m", "bench.rank_learning", "--jobs", "1", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode in (0, 1), done.stderr
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert document["benchmark"] == "rank-learning"
    return document


def test_short_run(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    lines = ["..ip,app,device,os,channel,click_time,attributed_time,is_attributed"]
    for i in range(3000):
        app = rng.integers(1, 6)
        label = int(rng.random() < (0.3 if app < 3 else 0.02))
        when = f"2017-11-07 {9 + i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}"
        lines.append(f"{i},{app},1,{rng.integers(1, 20)},{rng.integers(1, 30)},{when},,{label}")
    (data / "train_sample.csv").write_text("\n".join(lines) + "\n")
    sizes = ("--rows", "6000", "--seeds", "1", "--campaigns", "3", "--fleet-rows", "300")
    result = short(*sizes, "--data", data, "--directory", tmp_path / "rank")
    assert all(-2 < share < 1 for found in result["rare_gain"].values() for share in found)
    assert 0.3 < result["rare_calibration"] < 3
    assert 0.5 < result["talkingdata_logloss_ratio"] < 1.1
    assert 0.6 < result["talkingdata_balanced_accuracy"] <= 1
    assert result["retrained_per_minute"] > 0
    assert (tmp_path / "rank-learning.png").stat().st_size > 10_000
