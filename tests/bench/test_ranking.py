"""A short run of bench-ranking: every part measures, and what the ranker answers is what scikit-learn predicts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.ranking import models, page, plots, sweep
from bench.ranking.keys import KEYS, Found
from pytrain.ranking import files
from scripts.loop.settings import ROOT


def short(parts: str, directory: Path) -> dict[str, Any]:
    """Run parts with small sizes; return what is kept of the run."""
    command: list[str | Path] = [ROOT / ".venv/bin/python", "-m", "bench.ranking", "--size", "small", "--jobs", "1"]
    done = subprocess.run(
        [*command, "--only", parts, "--directory", directory],
        cwd=ROOT,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["benchmark"] == "ranking"
    assert told["targets"] == {}
    return told


def test_the_ranker_answers_as_scikit_learn_does(tmp_path: Path) -> None:
    told = short("exact", tmp_path)
    assert told["bank_max_difference"] < 1e-6
    assert told["models_compared"] == 6
    assert told["rows_compared"] == 6 * 30
    assert told["score_us"] is None


def test_bank_and_loops(tmp_path: Path) -> None:
    told = short("bank,loops", tmp_path)
    assert 0 < told["score_us"] < told["score_50k_us"]
    assert 0 < told["bank_mb"] < told["bank_merge_mb"]
    assert told["vs_pipeline_loop"] > told["vs_paper_encoder_loop"] > 100
    # The files were those that the loops' models are made of: both ways to score agree.
    found = models.models(tmp_path / "fleet-small/classifiers", 3)
    source = files.read(tmp_path / f"fleet-small/classifiers/{found[0].campaign}{files.SUFFIX}")
    user = {f.of[0]: f.values[-1] for f in source.features}
    want = found[0].pipeline().predict_proba(models.row(user, found[0].fields))[0, 1]
    assert found[0].by_dict(user) == pytest.approx(want, abs=1e-12)
    with pytest.raises(RuntimeError, match="has 200 classifiers, not 201"):
        models.models(tmp_path / "fleet-small/classifiers", 201)


def test_changes_while_serving(tmp_path: Path) -> None:
    told = short("churn", tmp_path)
    assert told["rank_cpu_us"] > 0
    assert told["predictions_per_core_second"] > 0
    assert told["churn_half_loaded"] == 0
    assert told["churn_changes"] > 0
    assert told["churn_compared"] >= 100
    assert told["churn_p99_ratio"] > 0


def test_targets() -> None:
    found = Found({"score_us": 61.0, "churn_late": 0, "retrained_per_minute": 5.0, "update_ms": 1.0})
    assert {t.name: t.met for t in found.targets()} == {
        "score_us": False,
        "churn_late": True,
        "retrained_per_minute": True,
    }
    figures = found.figures()
    assert list(figures) == [*KEYS, "update_ms"]
    assert figures["rank_cpu_us"] is None


def test_page_and_plots(tmp_path: Path) -> None:
    def pool(how: str, workers: int) -> dict[str, Any]:
        tasks = [100 // workers + i % 2 for i in range(workers)]
        return {"how": how, "workers": workers, "campaigns": 100, "ms": 100.0 / workers, "tasks": tasks,
                "busy_ms": tasks, "batch_tasks": 3.0, "lock_us": 5.0}  # fmt: skip

    sides = {name: [1.0, 10.0] for name in (*plots.COLOURS, "Python, pipelines, 8 threads")}
    found = [pool(how, n) for how in ("batches", "single tasks") for n in (1, 2, 4)]
    assert sweep.tasks(found[2]) == (25.5, 0.5)
    figures = {"classifiers": [10, 100], "sides": sides, "workers": found}
    machine = {"cpu": "Xeon", "cores": 2, "kernel": "6.18", "go": "1.26", "python": "3.11"}
    lines = page.parts({"raw": {"figures": figures}, "machine": machine, "score_us": 25.0})
    assert "| CPU µs: all 5,000 classifiers for a user, one core (`score_us`) | 25 | ≤ 60 (30) |" in lines["figures"]
    assert "| bank | 1 | 10 |" in lines["paper"]
    assert "| batches | 4 | 25 | 25.5 ± 0.5 | 3 | 5 |" in lines["paper"]
    plots.draw(figures, tmp_path)
    for name in ("classifiers", "workers", "shares"):
        assert (tmp_path / f"{name}.svg").stat().st_size > 5000
