"""Estimators of LightGBM and XGBoost that a .skops file holds, as the last step of a pipeline or alone.

`pytrain.skops_boosters` reads the booster within, and puts one of these in its place: each answers as the estimator of
the same name does, by the trees that were read. So no code of LightGBM or XGBoost runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from pytrain.plan.labels import labels_of
from pytrain.plan.prediction import Prediction
from pytrain.plan.registry import importer, predict
from pytrain.plan.xgboost import XGBoost

if TYPE_CHECKING:
    import numpy.typing as npt

    from pytrain.plan.lightgbm import LightGBM
    from pytrain.plan.places import Place
    from pytrain.plan.values import Value

# What leaves 0 out of sparse rows wherever it is: XGBoost takes what is left out for missing.
_NO_ZEROS = {"expand", "ngrams", "tfidf", "binarize"}


class Boosted(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Stands for a fitted estimator, or for one that was not fitted: then `booster` is None.

    Parameters
    ----------
    booster
        What was read.
    classes
        The labels (k,) of a classifier.
    """

    def __init__(self, booster: LightGBM | XGBoost | None = None, classes: npt.NDArray[Any] | None = None) -> None:
        self.booster = booster
        self.classes = classes

    def __sklearn_is_fitted__(self) -> bool:
        """Whether it holds trees."""
        return self.booster is not None

    def fit(self, _x: Any, _y: Any = None) -> Boosted:
        """Refuse: it only answers. scikit-learn wants the method of every estimator.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(f"{type(self).__name__} was read from a file; it cannot be fitted")

    @property
    def n_features_in_(self) -> int:
        """The columns of the fitted data."""
        return self._read().n_features_in_

    @property
    def feature_names_in_(self) -> npt.NDArray[np.object_]:
        """The names of the columns; AttributeError if it was fitted on an array."""
        return self._read().feature_names_in_

    def _read(self) -> LightGBM | XGBoost:
        if self.booster is None:
            raise AttributeError("it was not fitted")
        return self.booster

    def _rows(self, x: Any) -> Any:
        if not sparse.issparse(x):
            return x
        table = np.full(x.shape, np.nan if isinstance(self.booster, XGBoost) else 0.0)
        coo = x.tocoo()
        table[coo.row, coo.col] = coo.data
        return table


class _Classifier(ClassifierMixin, Boosted):  # type: ignore[misc] # as above
    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The labels (k,)."""
        return np.asarray(self.classes)

    def predict_proba(self, x: Any) -> npt.NDArray[np.float64]:
        """Return a column (n, k) a class."""
        return self._read().predict_proba(self._rows(x))

    def predict(self, x: Any) -> npt.NDArray[Any]:
        """Return the label (n,) of the greatest probability."""
        return np.asarray(self.classes_[self.predict_proba(x).argmax(axis=1)])


class _Regressor(RegressorMixin, Boosted):  # type: ignore[misc] # as above
    def predict(self, x: Any) -> npt.NDArray[np.float64]:
        """Return the values (n,) or (n, k)."""
        return self._read().predict(self._rows(x))


class LGBMClassifier(_Classifier):
    """LightGBM's classifier."""


class LGBMRegressor(_Regressor):
    """LightGBM's regressor."""


class XGBClassifier(_Classifier):
    """XGBoost's classifier."""


class XGBRFClassifier(_Classifier):
    """XGBoost's classifier of a random forest."""


class XGBRegressor(_Regressor):
    """XGBoost's regressor."""


class XGBRFRegressor(_Regressor):
    """XGBoost's regressor of a random forest."""


LIGHTGBM = {kind.__name__: kind for kind in (LGBMClassifier, LGBMRegressor)}
XGBOOST = {kind.__name__: kind for kind in (XGBClassifier, XGBRegressor, XGBRFClassifier, XGBRFRegressor)}


@importer(LGBMClassifier, XGBClassifier, XGBRFClassifier)
def boosted_classifier(estimator: Any, value: Value, place: Place) -> Prediction:
    """Sum the trees, and apply the objective's link; the labels are the estimator's."""
    found = predict(estimator._read(), _given(estimator, value, place), place)  # noqa: SLF001 - it is ours
    labels = labels_of(estimator.classes_, place)
    if found.probability is None or len(labels) != len(found.labels) or len(labels) != found.probability.width:
        raise place.refuse(
            f"has the objective {estimator.booster.objective!r} for {len(labels)} classes",
            "fit it with the objective of a classifier that has probabilities, as binary or multiclass of LightGBM, "
            "binary:logistic or multi:softprob of XGBoost",
        )
    if estimator.booster.objective == "binary:logitraw":
        raise place.refuse("has the objective 'binary:logitraw'", "fit it with binary:logistic")
    return Prediction(labels=labels, decision=found.decision, probability=found.probability)


@importer(LGBMRegressor, XGBRegressor, XGBRFRegressor)
def boosted_regressor(estimator: Any, value: Value, place: Place) -> Prediction:
    """Sum the trees, and apply the objective's link."""
    found = predict(estimator._read(), _given(estimator, value, place), place)  # noqa: SLF001 - it is ours
    if found.value is None:
        raise place.refuse(
            f"has the objective {estimator.booster.objective!r} of a classifier", "fit it as a classifier"
        )
    return Prediction(value=found.value)


def _given(estimator: Any, value: Value, place: Place) -> Value:
    """Return what the trees read. In sparse rows XGBoost takes what is left out, each 0, for missing."""
    if not (isinstance(estimator.booster, XGBoost) and value.sparse):
        return value
    if not _leaves_zeros_out(value):
        raise place.refuse(
            f"reads sparse columns of {value.op}, which may list a 0, and XGBoost takes only what is not listed for "
            "missing",
            "make the step before it dense, as by sparse_output=False or sparse_threshold=0",
        )
    return value.finite(nan=True).dense().equal_missing(0.0)


def _leaves_zeros_out(value: Value) -> bool:
    if value.op in ("concat", "select"):
        return all(_leaves_zeros_out(part) for part in value.inputs)
    return not value.sparse or value.op in _NO_ZEROS
