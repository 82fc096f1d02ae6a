"""What the paper's system ran, with the values and weights of classifier files: scikit-learn's own objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytrain.ranking import files
from pytrain.ranking.classifier import Classifier


@dataclass(frozen=True)
class Model:
    """A campaign's encoder and estimator. `fields` are the encoder's features, in order."""

    campaign: str
    fields: tuple[str, ...]
    encoder: Any
    estimator: Any
    columns: Mapping[tuple[str, str], int]  # of the paper's encoder: field and value → column

    def pipeline(self) -> Any:
        """Return scikit-learn's pipeline."""
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - it takes a second

        return make_pipeline(self.encoder, self.estimator)

    def by_dict(self, profile: Mapping[str, str]) -> float:
        """Score as the paper's prototype does: its own encoder is a lookup, then `predict_proba` of a sparse row."""
        from scipy import sparse  # noqa: PLC0415

        found = [at for f in self.fields if (at := self.columns.get((f, profile.get(f, "")))) is not None]
        ends = np.array([0, len(found)], np.int32)
        row = sparse.csr_array(
            (np.ones(len(found)), np.array(found, np.int32), ends), shape=(1, self.estimator.n_features_in_)
        )
        return float(self.estimator.predict_proba(row)[0, 1])


def model(source: Classifier) -> Model:
    """Make the encoder and the estimator as they are after a fit.

    A value that is not known has no column: the times are the same with a column for *other*.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    categories = [np.array(f.values, object) for f in source.features]
    encoder = OneHotEncoder(categories=categories, handle_unknown="ignore")
    encoder.fit(np.array([[c[0] for c in categories]], object))
    estimator = LogisticRegression()
    estimator.classes_ = np.array([0, 1])
    estimator.coef_ = np.concatenate([f.weights for f in source.features])[None, :]
    estimator.intercept_ = np.array([source.intercept])
    estimator.n_features_in_ = estimator.coef_.shape[1]
    estimator.n_iter_ = np.array([1], np.int32)
    fields = tuple(f.of[0] for f in source.features)
    pairs = [(field, value) for field, f in zip(fields, source.features, strict=True) for value in f.values]
    return Model(source.campaign, fields, encoder, estimator, {pair: i for i, pair in enumerate(pairs)})


def models(directory: Path, count: int) -> list[Model]:
    """Read the first classifiers of a directory.

    Raises
    ------
    RuntimeError
        There are fewer.
    """
    found = sorted(p for p in directory.glob(f"*{files.SUFFIX}") if not p.name.startswith("prior."))[:count]
    if len(found) < count:
        raise RuntimeError(f"{directory} has {len(found)} classifiers, not {count}")
    return [model(files.read(p)) for p in found]


def row(profile: Mapping[str, str], fields: Sequence[str]) -> Any:
    """Return a user as a pipeline takes one: (1, fields) texts."""
    return np.array([[profile.get(f, "") for f in fields]], object)
