"""Importer of CalibratedClassifierCV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from pytrain.plan.boosted import LGBMClassifier
from pytrain.plan.labels import labels_of
from pytrain.plan.linear import two_classes
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer, predict
from pytrain.plan.values import Value, concat, mean

if TYPE_CHECKING:
    from pytrain.plan.places import Place


@importer(CalibratedClassifierCV)
def calibrated_classifier(estimator: Any, value: Value, place: Place) -> Prediction:
    """Take the mean of classifiers whose answers are calibrated class by class."""
    if estimator.method not in ("sigmoid", "isotonic"):
        raise place.refuse(f"has method {estimator.method!r}", "use 'sigmoid' or 'isotonic'")
    parts = []
    for i, part in enumerate(estimator.calibrated_classifiers_):
        inner = place.child(f"calibrated_classifiers_[{i}]", part).child("estimator", part.estimator)
        if not np.array_equal(part.estimator.classes_, estimator.classes_):
            raise inner.refuse("does not know all classes", "use a stratified cv, so that every fold has each class")
        response = _response(part.estimator, predict(part.estimator, value, inner), inner)
        calibrated = [
            _calibrate(calibrator, response.select([j]), estimator.method)
            for j, calibrator in enumerate(part.calibrators)
        ]
        parts.append(two_classes(calibrated[0]) if len(calibrated) == 1 else concat(calibrated).link("shares"))
    probability = parts[0] if len(parts) == 1 else mean(parts)
    return Prediction(labels=labels_of(estimator.classes_, place), probability=probability)


def _response(estimator: Any, found: Prediction, place: Place) -> Value:
    """Return the decision function, or where there is none the probabilities: of the second class if there are two."""
    if isinstance(estimator, LGBMClassifier):
        raise place.refuse(
            "is calibrated by its sums or its probabilities, depending on LightGBM's version, which the file lacks",
            "calibrate a HistGradientBoostingClassifier or an XGBClassifier",
        )
    if hasattr(estimator, "decision_function"):
        if found.decision is None:
            raise place.refuse("has a decision function that no plan can express", "calibrate a LogisticRegression")
        return found.decision
    if found.probability is None:
        raise place.refuse("has no probabilities", "calibrate a LogisticRegression")
    return found.probability.select([1]) if found.probability.width == 2 else found.probability


def _calibrate(calibrator: Any, value: Value, method: str) -> Value:
    if method == "sigmoid":
        return value.sigmoid_calibration(calibrator.a_, calibrator.b_)
    return value.isotonic(calibrator.X_thresholds_, calibrator.y_thresholds_)
