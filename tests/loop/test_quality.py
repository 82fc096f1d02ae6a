from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pytrain import metrics
from pytrain.cli_fit import publish
from pytrain.loop import Learnt
from scripts.loop import quality
from scripts.loop.report import of_served
from scripts.loop.settings import ROOT, Run

RECIPE = ROOT / "models/ctr/logreg.yaml"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(directory=tmp_path / "run", recipes=[RECIPE], campaigns=tmp_path / "none.yaml")


def write_run(run: Run, *, impressions: int, row_len: int) -> tuple[np.ndarray, np.ndarray]:
    """Archive and outcomes of a run whose predictions are 1.2 times the truth in the first half, then right."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.02, 0.1, impressions)
    p = np.where(np.arange(impressions) < impressions // 2, 1.2 * truth, truth)
    ids = [f"b{i}" for i in range(impressions)]
    archive = run.archive / "ctr"
    archive.mkdir(parents=True)
    frame = pd.DataFrame(
        {
            "id": ids,
            "time_ms": np.arange(impressions),
            "label": 0.0,
            "probability": p.astype(np.float32),
            "version": 1 + np.arange(impressions) * 40 // impressions,  # 40 versions served
            "row": [np.zeros(row_len, np.int32)] * impressions,
        }
    )
    frame.to_parquet(archive / "1.parquet")
    clicked = (rng.random(impressions) < truth).astype(int)
    pd.DataFrame({"bid_id": ids, "teacher_click_p": truth, "clicked": clicked}).to_csv(run.outcomes, index=False)
    return truth, p


@pytest.mark.usefixtures("one_thread")
def test_the_first_version_may_be_pruned_before_the_report(run: Run) -> None:
    """A long run publishes more versions than the store keeps; the report needs the first nevertheless."""
    from pytrain.cli_fit import build_learner
    from pytrain.recipe import load_recipe

    recipe = load_recipe(RECIPE)
    _, writer = build_learner(recipe, RECIPE.read_bytes(), threads=1, verify=False)
    publish(run.store, "ctr", writer, Learnt(rows=0, pos=None, from_ms=0, to_ms=0, metrics={}))
    run.keep_first_version()
    for path in (run.store / "ctr").glob("[0-9]*"):
        path.rename(run.directory / "pruned")
    truth, p = write_run(run, impressions=2000, row_len=recipe.space.row_len)
    found = quality.compare(run.archive / "ctr", run.outcomes, run.first_version)
    assert found is not None
    assert found.first > found.teacher  # the untrained version predicts the base rate
    assert found.last == pytest.approx(found.teacher, rel=1e-5)
    figures = of_served(found)
    assert figures["calibration_first_tenth"] == pytest.approx(1.2, rel=1e-5)
    assert figures["calibration_last_half"] == pytest.approx(1, rel=1e-5)
    assert figures["logloss_gap_first_tenth"] == pytest.approx(metrics.gap_to_truth(truth[:200], p[:200]), rel=1e-4)
    assert figures["logloss_gap_last_half"] == pytest.approx(0, abs=1e-6)
    assert found.windows["versions"].iloc[0] == "1–4"


def test_a_run_that_was_too_short_compares_nothing(run: Run, tmp_path: Path) -> None:
    assert quality.compare(run.archive / "ctr", run.outcomes, tmp_path) is None
    assert quality.judge(run.archive / "ctr", base_rate=0.05) is None
    assert np.isnan(of_served(None)["logloss_gap_last_half"])
