"""Random pipelines: each is either equal to scikit-learn, row by row, or refused.

First by the reference, then by the engine, if bin/bidder is built. PLAN_PIPELINES says how many; 300 if it is not set.
They are the same in every run, unless PLAN_SEED is set: each whole number gives others.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from pytrain.errors import Refusal
from pytrain.plan.importing import FAMILIES
from pytrain.plan.registry import supported
from tests.pytrain.plan import engine
from tests.pytrain.plan.helper import Comparison, compare
from tests.pytrain.plan.random_pipelines import Case, cases

PIPELINES = int(os.environ.get("PLAN_PIPELINES", "300"))
SEED = os.environ.get("PLAN_SEED")
ENOUGH = 300  # so many pipelines have every estimator
FEW_ROWS = 8
JOINED = 25  # plans in one process of the engine

# The files of LightGBM and XGBoost are no steps of pipelines; they have tests of their own.
_FAMILIES = {m.__name__ for m in FAMILIES} - {"pytrain.plan.lightgbm", "pytrain.plan.xgboost"}

compared: list[tuple[str, Comparison]] = []
seen: Counter[str] = Counter()  # operators and estimators of the pipelines that were compared


def _types(estimator: Any) -> list[str]:
    """Names of all types within an estimator."""
    found = [type(estimator).__name__]
    for part in vars(estimator).values() if hasattr(estimator, "get_params") else ():
        parts = part if isinstance(part, list | tuple) else [part]
        for one in parts:
            for inner in one if isinstance(one, tuple) else [one]:
                if hasattr(inner, "get_params") or type(inner).__name__ == "_CalibratedClassifier":
                    found += _types(inner)
    return found


def _seeded(test: Any) -> Any:
    return seed(int(SEED))(test) if SEED else test


@pytest.mark.timeout(3600)
@_seeded
@settings(
    max_examples=PIPELINES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(cases())
def test_random_pipelines(case: Case) -> None:
    try:
        fitted = case.fit()
    except (ValueError, TypeError):  # as of sparse columns where dense ones are needed
        seen["could not be fitted"] += 1
        return
    try:
        found = compare(fitted, case.data, most=60)
    except Refusal:
        seen["refused"] += 1
        return
    assert found.worst <= found.model.plan.tolerance, f"off by {found.worst:.3g}: {fitted!r}"
    compared.append((repr(fitted), found))
    seen["compared"] += 1
    seen["with few rows"] += found.answered < FEW_ROWS
    seen["rows"] += found.answered
    seen.update({f"op {value.op}" for value in found.model.plan.nodes})
    seen.update(set(_types(fitted)))


def test_each_supported_operator_occurred() -> None:
    if not seen:
        pytest.skip("the random pipelines did not run before this")
    if os.environ.get("PLAN_PIPELINES_VERBOSE"):
        print(*(f"{count:7d} {name}" for name, count in sorted(seen.items())), sep="\n")  # noqa: T201
    ours = {t.__name__ for t, function in supported().items() if function.__module__ in _FAMILIES}
    if PIPELINES >= ENOUGH:
        assert not [name for name in sorted(ours) if not seen[name]]
    assert seen["compared"] >= 0.8 * PIPELINES, seen
    assert seen["with few rows"] <= 0.1 * PIPELINES, seen
    assert np.isfinite(seen["rows"])


@pytest.mark.timeout(7200)
def test_the_engine_gives_the_same() -> None:
    if not compared:
        pytest.skip("the random pipelines did not run before this")
    if not engine.BIDDER.exists():
        pytest.skip("bin/bidder is not built: make build; compared by the reference only")
    usable = [(name, found) for name, found in compared if found.answered]
    for begin in range(0, len(usable), JOINED):
        part = usable[begin : begin + JOINED]
        jobs = []
        for _, found in part:
            good = int(np.flatnonzero(found.steady & ~found.refused)[0])
            outputs = {name: output[good : good + 1] for name, output in found.want.items()}
            jobs.append(engine.Job(found.model.plan, found.rows, good, outputs))
        for (name, found), (outputs, refused) in zip(part, engine.score(jobs), strict=True):
            worst = found.by_engine(outputs, refused)
            assert worst <= found.model.plan.tolerance, f"the engine is off by {worst:.3g}: {name}"
