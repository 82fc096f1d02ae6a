from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import log_loss as sk_log_loss
from sklearn.metrics import roc_auc_score

from pytrain import metrics as mt


def sample(n: int = 2000, seed: int = 0) -> tuple[mt.Floats, mt.Floats, mt.Floats]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 4, n).round(2).astype(np.float32)  # rounded: ties
    return (rng.random(n) < p).astype(np.float32), p, rng.integers(0, 4, n).astype(np.float32)


@pytest.mark.parametrize("weighted", [False, True])
def test_equal_to_scikit_learn(weighted: bool) -> None:
    y, p, w = sample()
    weight = w if weighted else None
    assert mt.auc(y, p, weight) == pytest.approx(roc_auc_score(y, p, sample_weight=weight), abs=1e-12)
    held = np.clip(p.astype(np.float64), mt.EPSILON, 1 - mt.EPSILON)
    assert mt.log_loss(y, p, weight) == pytest.approx(sk_log_loss(y, held, sample_weight=weight), abs=1e-9)


def test_weight_two_is_the_row_twice() -> None:
    y, p, w = sample(500)
    repeat = np.repeat(np.arange(len(y)), w.astype(int))
    a, b = mt.Summary.of(y, p, w), mt.Summary.of(y[repeat], p[repeat])
    for name in ("log_loss", "normalized_entropy", "auc", "calibration", "base_rate"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-9)


def test_a_constant_at_the_base_rate_has_entropy_one() -> None:
    y, _, _ = sample()
    p = np.full_like(y, y.mean())
    assert mt.normalized_entropy(y, p) == pytest.approx(1, abs=1e-6)
    assert mt.calibration(y, p) == pytest.approx(1, abs=1e-6)
    assert mt.auc(y, p) == 0.5


def test_undefined_is_nan_and_none_on_the_wire() -> None:
    y = np.zeros(4, np.float32)
    s = mt.Summary.of(y, y + 0.5)
    assert math.isnan(s.auc)
    assert s.wire() == {
        "rows": 4,
        "log_loss": pytest.approx(math.log(2)),
        "normalized_entropy": None,
        "auc": None,
        "calibration": None,
        "base_rate": 0.0,
    }
    empty = mt.Summary.of(y[:0], y[:0]).wire()
    assert empty == {"rows": 0} | dict.fromkeys(list(empty)[1:])


def test_certain_and_wrong_is_finite() -> None:
    assert mt.log_loss(np.array([1, 0], np.float32), np.array([0, 1], np.float32)) == pytest.approx(
        -math.log(mt.EPSILON), rel=1e-6
    )


@pytest.mark.parametrize("step", [1, 7, 100, 1000])
def test_windows_do_not_depend_on_how_rows_come(step: int) -> None:
    y, p, w = sample(1000)
    window = mt.Window(300)
    got = [s for i in range(0, 1000, step) for s in window.add(y[i : i + step], p[i : i + step], w[i : i + step])]
    assert got == [mt.Summary.of(y[i : i + 300], p[i : i + 300], w[i : i + 300]) for i in (0, 300, 600)]
    assert window.summary() == mt.Summary.of(y[900:], p[900:], w[900:])


def test_bins() -> None:
    y, p, _ = sample()
    bins = mt.calibration_bins(y, p, count=8)
    assert sum(b.rows for b in bins) == len(y)
    assert all(a.high <= b.low for a, b in itertools.pairwise(bins))
    assert sum(b.rows * b.seen for b in bins) == pytest.approx(y.sum())
    assert sum(b.rows * b.predicted for b in bins) == pytest.approx(p.sum(), rel=1e-5)
