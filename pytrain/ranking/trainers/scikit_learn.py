"""The trainer `scikit-learn`: a `OneHotEncoder` and a `LogisticRegression` a campaign, as the recipe configures them.

scikit-learn's own objects are fitted, and their weights written to the classifier file. The encoder's column of
infrequent values is *other*; without such a column an unknown value has the weight 0, as scikit-learn gives it. A fit
is refused if the file's probabilities differ from `predict_proba`.

There is no prior: a campaign without enough data has no classifier, and cannot be ranked.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from pytrain.errors import InputError
from pytrain.ranking.classifier import Feature
from pytrain.ranking.encoding import column
from pytrain.ranking.trainers import Fit, Pool, Shared, register
from pytrain.strict_yaml import Strict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pytrain.ranking.classifier import Classifier
    from pytrain.ranking.datasets import Examples
    from pytrain.ranking.recipe import FeatureSpec

    Floats: TypeAlias = npt.NDArray[Any]

LARGEST_TOLERANCE = 1e-7
BALANCED = (
    "class_weight: balanced distorts probabilities; the intercept was shifted back, yet fits of rare sales stay worse "
    "than without it"
)
_SAME = {"float64": 1e-9, "float32": 1e-3}  # of logits: between scikit-learn's answers and the file's


class EncoderSettings(Strict):
    """Of `OneHotEncoder`. Values rarer than `min_frequency` (a count), or beyond `max_categories`, are *other*."""

    min_frequency: Annotated[int, Field(ge=1)] | None = 10
    max_categories: Annotated[int, Field(ge=2)] | None = None


class EstimatorSettings(Strict):
    """Of `LogisticRegression`; the names are scikit-learn's own."""

    C: Annotated[float, Field(gt=0)] = 1.0
    l1_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    solver: Literal["lbfgs", "newton-cg", "newton-cholesky", "liblinear", "sag", "saga"] = "lbfgs"
    tol: Annotated[float, Field(gt=0)] = 1e-10
    max_iter: Annotated[int, Field(ge=1)] = 10_000
    class_weight: Literal["balanced"] | None = None
    random_state: Annotated[int, Field(ge=0, lt=2**32)] | None = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tol > LARGEST_TOLERANCE:
            raise ValueError(
                f"tol: {self.tol:g} leaves fits so loose that a retrain would shuffle ranks; give 1e-7 or less"
            )
        if self.l1_ratio and self.solver not in ("saga", "liblinear"):
            raise ValueError(f"l1_ratio: {self.solver} has no L1 penalty; choose saga, or liblinear")
        return self


class Settings(Strict):
    """What a recipe may set."""

    encoder: EncoderSettings = EncoderSettings()
    estimator: EstimatorSettings = EstimatorSettings()
    dtype: Literal["float32", "float64"] = "float64"
    warm_start: bool = False  # start from the campaign's classifier; faster, with the same result


@register
class ScikitLearn:
    """The trainer."""

    kind: ClassVar[str] = "scikit-learn"
    settings_type: ClassVar[type[Strict]] = Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @staticmethod
    def fault(features: Sequence[FeatureSpec]) -> str | None:
        """`only` has no meaning without a prior."""
        for f in features:
            if f.only:
                return f"features: {f.name} has `only: {f.only}`, and the trainer scikit-learn has no prior; remove it"
        return None

    def label(self) -> str:
        """Name scikit-learn with its version."""
        import sklearn  # noqa: PLC0415 - it takes a second

        return f"scikit-learn {sklearn.__version__}"

    def prepare(self, pool: Pool) -> Shared:  # noqa: ARG002 - each campaign is on its own
        """Return nothing: campaigns share nothing."""
        return Shared()

    def fit(
        self,
        examples: Examples,
        weight: Floats,
        *,
        features: Sequence[FeatureSpec],
        shared: Shared,  # noqa: ARG002 - campaigns share nothing
        previous: Classifier | None,
    ) -> Fit:
        """Fit one campaign. See `Trainer.fit`."""
        from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415 - it takes a second

        settings = self.settings
        kind = np.dtype(settings.dtype)
        texts = _texts(examples, features)
        encoder = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=settings.encoder.min_frequency,
            max_categories=settings.encoder.max_categories,
            dtype=kind,
        )
        x = encoder.fit_transform(texts)
        y = examples.label.astype(np.int8)
        if not 0 < int(y.sum()) < len(y):
            raise InputError(
                "has one label only, and scikit-learn fits two",
                where=examples.campaign,
                remedy="set data.min_positives: 1, or take the trainer prior",
            )
        start = _start(encoder, features, previous) if settings.warm_start and previous is not None else None
        intercept, coefficients, told = self._regression(x, y, weight.astype(kind), start)
        logits = (x @ coefficients + intercept).astype(np.float64)
        if settings.estimator.class_weight == "balanced":
            positives, negatives = float((weight * y).sum()), float((weight * (1 - y)).sum())
            moved = math.log(positives / negatives)  # each class' weight is n / (2·its sum): their ratio's logarithm
            intercept, logits = intercept + moved, logits + moved
            told = (*told, BALANCED)
        found = _features(encoder, features, coefficients.astype(np.float64))
        self._compare(found, intercept, examples, logits)
        return Fit(intercept, found, logits, 0.0, told)

    def _regression(
        self, x: Any, y: Floats, weight: Floats, start: tuple[float, Floats] | None
    ) -> tuple[float, Floats, tuple[str, ...]]:
        """Fit, and return the intercept, the coefficients (columns,), and what scikit-learn warned of."""
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

        model = LogisticRegression(**self.settings.estimator.model_dump(), warm_start=start is not None)
        if start is not None:
            model.classes_ = np.array([0, 1], np.int8)
            model.intercept_ = np.array([start[0]], x.dtype)
            model.coef_ = start[1].astype(x.dtype)[None, :]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(x, y, sample_weight=weight)
        told = tuple(dict.fromkeys(str(w.message).strip().splitlines()[0] for w in caught))
        if any(issubclass(w.category, ConvergenceWarning) for w in caught) and int(np.max(model.n_iter_)) >= (
            self.settings.estimator.max_iter
        ):
            raise InputError(
                f"did not converge in {self.settings.estimator.max_iter} iterations",
                where="trainer.estimator",
                remedy="raise max_iter, lower C, or raise encoder.min_frequency",
            )
        return float(model.intercept_[0]), model.coef_[0], told

    def _compare(self, found: Sequence[Feature], intercept: float, examples: Examples, logits: Floats) -> None:
        """Compare the features that the file will have with scikit-learn's own decision function."""
        z = np.full(len(examples), intercept)
        for f in found:
            c = column(examples, f.of)
            z += np.array([f.weight(v) for v in c.values])[c.codes]
        error = float(np.abs(z - logits).max(initial=0.0))
        if error > _SAME[self.settings.dtype] * max(1.0, float(np.abs(logits).max(initial=0.0))):
            raise InputError(
                f"has logits that differ from scikit-learn's by {error:.1e}",
                where=examples.campaign,
                remedy="report it, with the versions of scikit-learn and Gavel",
            )


def _texts(examples: Examples, features: Sequence[FeatureSpec]) -> npt.NDArray[Any]:
    """Return the values (n, features) as scikit-learn's encoder takes them."""
    found = np.empty((len(examples), len(features)), object)
    for j, spec in enumerate(features):
        c = column(examples, spec.fields)
        found[:, j] = np.array(c.values, object)[c.codes]
    return found


def _columns(encoder: Any) -> list[tuple[list[str], int | None, int]]:
    """For each feature: the values with a column of their own, in order; the column of *other*; its columns."""
    infrequent = getattr(encoder, "infrequent_categories_", None) or [None] * len(encoder.categories_)
    found = []
    for categories, rare in zip(encoder.categories_, infrequent, strict=True):
        left_out = set() if rare is None else set(rare.tolist())
        known = [v for v in categories.tolist() if v not in left_out]
        found.append((known, len(known) if left_out else None, len(known) + bool(left_out)))
    return found


def _features(encoder: Any, features: Sequence[FeatureSpec], coefficients: Floats) -> tuple[Feature, ...]:
    found, at = [], 0
    for spec, (known, other, size) in zip(features, _columns(encoder), strict=True):
        part = coefficients[at : at + size]
        at += size
        weights = np.ascontiguousarray(part[: len(known)])
        found.append(
            Feature(spec.name, spec.fields, tuple(known), weights, 0.0 if other is None else float(part[other]))
        )
    return tuple(found)


def _start(encoder: Any, features: Sequence[FeatureSpec], previous: Classifier) -> tuple[float, Floats]:
    """Return the previous classifier's weights in the order of the encoder's columns."""
    by_name = {f.name: f for f in previous.features}
    found: list[float] = []
    for spec, (known, other, _) in zip(features, _columns(encoder), strict=True):
        f = by_name.get(spec.name)
        found += [f.weight(v) if f else 0.0 for v in known]
        if other is not None:
            found.append(f.other if f else 0.0)
    return previous.intercept, np.array(found)
