"""From a fit to a classifier: weights before it; calibration, variance and golden profiles after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pytrain.ranking import solver
from pytrain.ranking.classifier import SEPARATOR, Classifier, Golden

if TYPE_CHECKING:
    import numpy.typing as npt

    from pytrain.ranking.datasets import Examples
    from pytrain.ranking.recipe import Calibration
    from pytrain.ranking.trainers import Fit

    Floats: TypeAlias = npt.NDArray[np.float64]

VARIANCE_FLOOR = 0.1  # takes the intercept's L2 penalty's place where there is none: a variance of 10 at most
UNSEEN = "\x7funseen"
_MOST_GOLDEN = 16


def effective_weights(weight: Floats, *, most: float) -> Floats:
    """Return the weights (n,) that a fit uses.

    They are clipped to `most`, then scaled so that their sum is the effective number of rows, (Σw)² / Σw² (Kish 1965).
    A few rows of large weight thus do not count as many rows, and the penalties and the variance stay right.
    """
    clipped = np.minimum(weight, most)
    squares = float((clipped * clipped).sum())
    return clipped * (float(clipped.sum()) / squares) if squares > 0 else clipped


def recent_shift(logits: Floats, label: Floats, weight: Floats, calibration: Calibration) -> float:
    """Return the shift of the intercept that the most recent rows ask for; rows (n,) are in order of time.

    It is the most probable one if shifts are drawn from N(0, std²). With n recent sales, it is about n / (n + 1/std²)
    of the shift that predicts them in sum, since the logarithm of their rate is known to within 1/√n.
    """
    rows = round(len(logits) * calibration.share)
    recent = slice(len(logits) - rows, None)
    return solver.shift(logits[recent], label[recent], weight[recent], l2=calibration.std**-2) if rows else 0.0


def classifier(
    fit: Fit,
    examples: Examples,
    weight: Floats,
    *,
    calibration: Calibration,
    prior: Classifier | None,
    trainer: str,
    data: bytes,
    version: int,
    now_ms: int,
) -> Classifier:
    """Make a campaign's classifier of its fit; `prior` is what it is a delta to."""
    moved = recent_shift(fit.logits, examples.label, weight, calibration)
    p = solver.sigmoid(fit.logits + moved)
    information = (fit.intercept_l2 or VARIANCE_FLOOR) + float((weight * p * (1 - p)).sum())
    found = Classifier(
        kind="classifier",
        campaign=examples.campaign,
        version=version,
        prior=prior.version if prior else 0,
        trainer=trainer,
        data=data,
        trained_ms=now_ms,
        rows=len(examples),
        positives=int(examples.label.sum()),
        intercept=fit.intercept + moved,
        variance=1 / information,
        features=fit.features,
        golden=Golden((), (), np.empty(0)),
    )
    return with_golden(found, prior)


def with_golden(found: Classifier, prior: Classifier | None) -> Classifier:
    """Add golden profiles: all missing, all unseen, and of each feature the values of extreme weight.

    Each profile changes one feature of the profile before it, so that a fault in any feature, cross or *other* moves a
    probability.
    """
    readers = (*found.features, *(prior.features if prior else ()))
    fields = tuple(dict.fromkeys(field for f in readers for field in f.of))
    profile = dict.fromkeys(fields, "")
    profiles = [dict(profile), dict.fromkeys(fields, UNSEEN)]
    for f in (*found.features, *(prior.features if prior else ())):
        if not f.values or len(profiles) >= _MOST_GOLDEN:
            continue
        for place in {int(np.argmax(f.weights)), int(np.argmin(f.weights))}:
            parts = f.values[place].split(SEPARATOR)
            if len(parts) == len(f.of):  # a value may hold the separator itself
                profile = profile | dict(zip(f.of, parts, strict=True))
                profiles.append(profile)
    rows = list(dict.fromkeys(tuple(p[field] for field in fields) for p in profiles))
    probabilities = [found.probability(dict(zip(fields, row, strict=True)), prior) for row in rows]
    return replace(found, golden=Golden(fields, tuple(rows), np.array(probabilities)))
