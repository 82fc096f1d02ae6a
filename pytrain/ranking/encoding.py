"""One-hot encoding: texts to columns, with an *other* column for each feature.

A feature's known values are those with enough rows. All others, and values never seen, share the column *other*. A
value that is missing is the empty text, and a value like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import sparse

from pytrain.ranking.classifier import MAX_VALUE_BYTES, SEPARATOR, Feature
from pytrain.ranking.datasets import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pytrain.ranking.classifier import Classifier
    from pytrain.ranking.datasets import Examples
    from pytrain.ranking.recipe import FeatureSpec

Floats: TypeAlias = "npt.NDArray[np.float64]"
Codes: TypeAlias = "npt.NDArray[np.int32]"
Places: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True)
class Encoded:
    """One feature of n rows: `codes` (n,) int32 are places in `values`; len(values) is *other*."""

    name: str
    of: tuple[str, ...]
    values: tuple[str, ...]
    codes: Codes

    @property
    def size(self) -> int:
        """Columns of the feature."""
        return len(self.values) + 1

    def of_other(self, found: Column) -> Encoded:
        """Encode other rows by these values."""
        places = {v: i for i, v in enumerate(self.values)}
        lut = np.array([places.get(v, len(self.values)) for v in found.values], np.int32)
        return Encoded(self.name, self.of, self.values, lut[found.codes] if len(lut) else found.codes)

    def feature(self, weights: Floats) -> Feature:
        """Make a feature of its columns' weights (size,); the last one is *other*'s."""
        return Feature(self.name, self.of, self.values, np.ascontiguousarray(weights[:-1]), float(weights[-1]))


def column(examples: Examples, of: Sequence[str]) -> Column:
    """Return the column of one field, or of a cross of several: its values are joined by U+001F."""
    first = examples.fields[of[0]]
    for name in of[1:]:
        second = examples.fields[name]
        pairs = first.codes.astype(np.int64) * max(1, len(second.values)) + second.codes
        found, codes = np.unique(pairs, return_inverse=True)
        left, right = np.divmod(found, max(1, len(second.values)))
        values = tuple(
            first.values[a] + SEPARATOR + second.values[b] for a, b in zip(left.tolist(), right.tolist(), strict=True)
        )
        first = Column(values, codes.astype(np.int32))
    return first


def encode(spec: FeatureSpec, found: Column, *, min_rows: int, counts: Floats | None = None) -> Encoded:
    """Encode a feature's column by its own values.

    Parameters
    ----------
    min_rows
        A value with fewer rows is *other*.
    counts
        (len(found.values),): each value's rows, if a row stands for several. Default: counted.
    """
    if counts is None:
        counts = np.bincount(found.codes, minlength=len(found.values)).astype(np.float64)
    known = np.flatnonzero((counts >= min_rows) & (counts > 0)).astype(np.int64)
    known = _within(known, counts, found.values, spec.max_values)
    order = sorted(known.tolist(), key=lambda i: found.values[i])
    places = np.full(len(found.values) + 1, len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return Encoded(spec.name, spec.fields, tuple(found.values[i] for i in order), places[found.codes])


def _within(known: Places, counts: Floats, values: Sequence[str], most: int) -> Places:
    """Keep the most frequent values: at most `most`, and at most the bytes that a file allows a feature."""
    size = sum(len(values[i].encode()) for i in known.tolist()) if len(known) > MAX_VALUE_BYTES // 1024 else 0
    if len(known) <= most and size <= MAX_VALUE_BYTES:
        return known
    known = known[np.argsort(-counts[known], kind="stable")][:most]
    sizes = np.cumsum([len(values[i].encode()) for i in known.tolist()])
    return known[: np.searchsorted(sizes, MAX_VALUE_BYTES, side="right")]


def matrix(encoded: Sequence[Encoded]) -> sparse.csr_array:
    """Return the rows as a sparse matrix (n, Σ size) of ones: one column a feature is set in each row."""
    n, f = len(encoded[0].codes), len(encoded)
    offsets = np.cumsum([0, *(e.size for e in encoded)])
    indices = np.empty((n, f), np.int32)
    for j, e in enumerate(encoded):
        np.add(e.codes, offsets[j], out=indices[:, j], casting="same_kind")
    indptr = np.arange(0, n * f + 1, f, dtype=np.int32 if n * f < 2**31 else np.int64)
    return sparse.csr_array((np.ones(n * f), indices.ravel(), indptr), shape=(n, int(offsets[-1])))


def split(encoded: Sequence[Encoded], weights: Floats) -> tuple[Feature, ...]:
    """Make features of the weights of `matrix`'s columns."""
    ends = np.cumsum([e.size for e in encoded])[:-1]
    return tuple(e.feature(part) for e, part in zip(encoded, np.split(weights, ends), strict=True))


def logits(classifier: Classifier, examples: Examples) -> Floats:
    """Return a prior's logits of rows (n,)."""
    z = np.full(len(examples), classifier.intercept)
    for f in classifier.features:
        found = column(examples, f.of)
        z += np.array([f.weight(v) for v in found.values])[found.codes] if found.values else 0
    return z
