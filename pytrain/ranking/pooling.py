"""All campaigns' examples in one set of arrays, for what they share.

All sales stay. Of a campaign's other rows a random share stays, whose weights grow by as much as the share is smaller
than 1. With k such rows a sale, an effect's variance is 1 + 1/k times that of all rows (Breslow 1996), so rare sales
need few. A row that stayed stays when rows follow it, unless there are fewer a sale. The campaigns are read by threads,
and only what stays is kept.
"""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pytrain.errors import DataSetError
from pytrain.ranking import datasets
from pytrain.ranking.datasets import Column
from pytrain.ranking.encoding import column, encode
from pytrain.ranking.fitting import effective_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pytrain.ranking.datasets import DataSet, Examples
    from pytrain.ranking.encoding import Encoded
    from pytrain.ranking.recipe import FeatureSpec, RankRecipe

    Floats: TypeAlias = npt.NDArray[np.float64]
    Ints: TypeAlias = npt.NDArray[np.int32]
    Rows: TypeAlias = slice | npt.NDArray[np.bool_] | npt.NDArray[np.intp]


@dataclass(frozen=True)
class Pooled:
    """Rows of all campaigns, each campaign's together and in order of time.

    `columns` has one column for each feature; `campaign` (n,) int32 counts from 0; `stands_for` (n,) is how many rows a
    row stands for; `weight` (n,) is its weight, that included. `rows` and `positives` were counted before sampling.
    """

    features: tuple[FeatureSpec, ...]
    columns: tuple[Column, ...]
    campaign: npt.NDArray[np.int32]
    time_ms: npt.NDArray[np.int64]
    label: Floats
    weight: Floats
    stands_for: Floats
    rows: int
    positives: int

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: Rows) -> Pooled:
        """Return some rows."""
        return Pooled(
            self.features,
            tuple(Column(c.values, c.codes[rows]) for c in self.columns),
            self.campaign[rows],
            self.time_ms[rows],
            self.label[rows],
            self.weight[rows],
            self.stands_for[rows],
            self.rows,
            self.positives,
        )

    def encoded(self, features: Sequence[FeatureSpec], *, min_rows: int) -> list[Encoded]:
        """Encode the rows' features by their own values."""
        found = []
        for spec in features:
            c = self.columns[self.features.index(spec)]
            counts = np.bincount(c.codes, weights=self.stands_for, minlength=len(c.values)).astype(np.float64)
            found.append(encode(spec, c, min_rows=min_rows, counts=counts))
        return found


LEAST_NEGATIVES = 500  # rows without a sale that stay of a campaign with few sales or none


@dataclass(frozen=True)
class Sample:
    """Which rows without a sale stay: so many a sale, and no larger share than makes `max_rows` of all rows.

    Weights above `max_weight` are clipped to it.
    """

    negatives: int
    max_rows: int
    seed: int
    max_weight: float

    def take(self, examples: Examples, *, share: float) -> tuple[npt.NDArray[np.bool_], float]:
        """Return whether each row (n,) stays, and how many rows a row without a sale stands for."""
        sold = examples.label > 0
        positives = int(sold.sum())
        others = len(examples) - positives
        share = min(share, max(LEAST_NEGATIVES, self.negatives * positives) / max(1, others))
        if share >= 1:
            return np.ones(len(examples), bool), 1.0
        rng = np.random.default_rng([self.seed, zlib.crc32(examples.campaign.encode())])
        return sold | (rng.random(len(examples)) < share), 1 / share


def pool(data_sets: Sequence[DataSet], recipe: RankRecipe, sample: Sample) -> Pooled:
    """Read all data sets; one that cannot be read is left out (the manager reports it when it is its turn).

    Raises
    ------
    DataSetError
        None holds an example.
    """
    total = 0
    for data_set in data_sets:
        total += _rows(data_set, recipe.data.max_rows)
    share = min(1.0, sample.max_rows / max(1, total))
    features = recipe.features
    known: list[dict[str, int]] = [{} for _ in features]
    codes: list[list[Ints]] = [[] for _ in features]
    parts: list[tuple[Ints, npt.NDArray[np.int64], Floats, Floats, Floats]] = []
    rows = positives = 0
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1), "read") as readers:
        for number, found in enumerate(readers.map(lambda d: _read(d, recipe, sample, share), data_sets)):
            if found is None:
                continue
            examples, weight, stands = found.examples, found.weight, found.stands_for
            rows += found.rows
            positives += int(examples.label.sum())
            for spec, places, out in zip(features, known, codes, strict=True):
                c = column(examples, spec.fields)
                lut = np.array([places.setdefault(v, len(places)) for v in c.values], np.int32)
                out.append(lut[c.codes] if len(lut) else c.codes)
            campaign = np.full(len(examples), number, np.int32)
            parts.append((campaign, examples.time_ms, examples.label, weight * stands, stands))
    if not parts:
        raise DataSetError(
            "no data set can be read and holds an example",
            where=str(data_sets[0].path.parent if data_sets else "--data"),
            remedy="write examples first, as docs/datasets.md says",
        )
    campaign, time_ms, label, weight, stands = (np.concatenate(c) for c in zip(*parts, strict=True))
    columns = tuple(Column(tuple(p), np.concatenate(c)) for p, c in zip(known, codes, strict=True))
    return Pooled(features, columns, campaign, time_ms, label, weight, stands, rows, positives)


def _rows(data_set: DataSet, most: int) -> int:
    try:
        return min(most, sum(int(pq.read_metadata(path).num_rows) for path in data_set.files))
    except (OSError, pa.ArrowException):
        return 0


@dataclass(frozen=True)
class _Read:
    """What stays of a campaign's examples, and how many rows there were."""

    examples: Examples
    weight: Floats
    stands_for: Floats
    rows: int


def _read(data_set: DataSet, recipe: RankRecipe, sample: Sample, share: float) -> _Read | None:
    try:
        examples = datasets.read(data_set, recipe.fields).take(slice(-recipe.data.max_rows, None))
    except DataSetError:
        return None
    if not len(examples):
        return None
    weight = effective_weights(examples.weight, most=sample.max_weight)
    kept, stand = sample.take(examples, share=share)
    rest = examples if kept.all() else examples.take(kept)
    return _Read(rest, weight[kept], np.where(rest.label > 0, 1.0, stand), len(examples))
