"""docs/port.md says what the importers take and refuse."""

from __future__ import annotations

import re
from pathlib import Path

from sklearn.preprocessing import KBinsDiscretizer
from sklearn.utils import all_estimators

from bench.generated import fill
from bench.plans import ported
from pytrain.plan import registry


def test_the_page_is_generated(tmp_path: Path) -> None:
    copy = tmp_path / "port.md"
    copy.write_text(ported.PAGE.read_text())
    fill(copy, ported.parts())
    assert copy.read_text() == ported.PAGE.read_text(), "run python -m bench.plans.ported"


def test_every_importer_is_on_the_page() -> None:
    page = ported.PAGE.read_text()
    for estimator, function in registry.supported().items():
        if not function.__module__.endswith((".lightgbm", ".xgboost")):  # files, not estimators
            assert f"`{estimator.__name__}`" in page
    assert "has dtype …: fit it with dtype=numpy.float64" in ported.refusals(registry.supported()[KBinsDiscretizer])


def test_substitutes_are_supported() -> None:
    """What to use instead names only estimators that have importers, and nothing supported has a substitute."""
    ours = {estimator.__name__ for estimator in registry.supported()}
    known = {name for name, _ in all_estimators()} | {"IterativeImputer"}  # an experiment of scikit-learn's
    assert not ours & registry.SUBSTITUTES.keys()
    assert registry.SUBSTITUTES.keys() <= known
    for name, instead in registry.SUBSTITUTES.items():
        named = set(re.findall(r"[A-Z]\w+", instead)) & known
        assert named <= ours, f"{name}: {instead}"
