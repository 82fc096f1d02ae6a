"""Write a campaign's examples as docs/datasets.md says: for tests, benchmarks, and logs from elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pytrain.ranking.classifier import escape
from pytrain.ranking.datasets import POSITIVES, TIME
from pytrain.store import sync_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Numbers: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]


def write(
    directory: Path,
    campaign: str,
    fields: Mapping[str, Sequence[str] | pa.Array],
    *,
    time_ms: Numbers,
    label: Numbers,
    weight: Numbers | None = None,
    ids: Sequence[str] | None = None,
) -> Path:
    """Write n examples as one complete file of a campaign; return its path.

    Parameters
    ----------
    directory
        `<root>/<data set>`.
    fields
        Each field's n texts.
    time_ms, label, weight
        (n,): Unix milliseconds; a sale or none; the inverse propensity, 1 if None. n is above 0.
    ids
        Default: the campaign with the row's number.
    """
    n = len(time_ms)
    begin, end = int(np.min(time_ms)), int(np.max(time_ms)) + 1
    columns = {
        "id": pa.array(ids if ids is not None else [f"{campaign}-{begin}-{i}" for i in range(n)], pa.string()),
        "time": pa.array(np.asarray(time_ms, np.int64)).cast(TIME),
        "campaign": pa.array([campaign] * n, pa.string()),
        **{name: _text(values) for name, values in fields.items()},
        "label": pa.array(np.asarray(label, np.bool_)),
        "weight": pa.array(np.ones(n) if weight is None else np.asarray(weight, np.float64)),
    }
    table = pa.table(columns)
    table = table.replace_schema_metadata({POSITIVES: str(pc.sum(table["label"]).as_py())})
    home = directory / escape(campaign)
    path = home / f"{begin}-{end}.parquet"
    home.mkdir(parents=True, exist_ok=True)
    aside = home / f".{path.name}.{os.getpid()}"
    with aside.open("wb") as f:
        pq.write_table(table, f, compression="zstd")
        f.flush()
        os.fsync(f.fileno())
    aside.rename(path)
    sync_directory(home)
    return path


def _text(values: Sequence[str] | pa.Array) -> pa.Array:
    array = values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    return array.cast(pa.string())
