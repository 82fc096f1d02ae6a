"""Data sets: a campaign's examples as Parquet, read strictly (docs/datasets.md is the contract).

    <root>/<data set>/<campaign>/<from ms>-<to ms>.parquet    complete files, whose rows' times are in [from, to)
    <root>/<data set>/<campaign>/ended                        the campaign ended; its examples still teach the prior
    <root>/<data set>/<campaign>.parquet                      or one file a campaign

A file whose range lies within another's has been compacted into it, and is not read.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pytrain.errors import DataSetError
from pytrain.ranking.classifier import MAX_CAMPAIGN_BYTES, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

Floats: TypeAlias = "npt.NDArray[np.float64]"

Found = TypeVar("Found")

SUFFIX = ".parquet"
ENDED = "ended"
MAX_FILE_BYTES = 4 << 30
POSITIVES = b"gavel.positives"  # a file's metadata may say how many of its rows sold
RELISTED = 5  # a writer compacts less often than a data set is read in
TIME = pa.timestamp("ms", tz="UTC")
COLUMNS = {"id": pa.string(), "time": TIME, "campaign": pa.string(), "label": pa.bool_(), "weight": pa.float64()}
OPTIONAL = {"value": pa.float64()}
_RANGE = re.compile(r"(0|[1-9][0-9]{0,15})-([1-9][0-9]{0,15})\.parquet")


@dataclass(frozen=True)
class DataSet:
    """A campaign's files, oldest first. `name` is the campaign as `escape` writes it."""

    name: str
    path: Path
    files: tuple[Path, ...]
    ended: bool


@dataclass(frozen=True)
class Column:
    """One text field of all rows: `codes` (n,) int32 are places in `values`, which are distinct."""

    values: tuple[str, ...]
    codes: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Examples:
    """A campaign's examples, ordered by time.

    `time_ms` (n,) int64 Unix ms; `label` (n,) float64, 0 or 1; `weight` (n,) float64, the inverse propensity.
    """

    campaign: str
    fields: dict[str, Column]
    time_ms: npt.NDArray[np.int64]
    label: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: slice | npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Examples:
        """Return some of the rows; a slice gives views."""
        fields = {name: Column(c.values, c.codes[rows]) for name, c in self.fields.items()}
        return Examples(self.campaign, fields, self.time_ms[rows], self.label[rows], self.weight[rows])


def scan(directory: Path) -> tuple[list[DataSet], dict[str, DataSetError]]:
    """List the data sets below `<root>/<data set>`, and those that cannot be listed, each with its error.

    Raises
    ------
    DataSetError
        The directory is absent or cannot be read.
    """
    try:
        entries = sorted(directory.iterdir())
    except OSError as e:
        raise DataSetError(
            f"cannot be read: {e.strerror or e}", where=str(directory), remedy="name <root>/<data set>"
        ) from e
    found: list[DataSet] = []
    bad: dict[str, DataSetError] = {}
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.suffix == SUFFIX:
            found.append(DataSet(path.name.removesuffix(SUFFIX), path, (path,), ended=False))
        elif path.is_dir():
            try:
                found.append(_listed(path))
            except DataSetError as e:
                bad[path.name] = e
    return found, bad


def _listed(directory: Path) -> DataSet:
    ranges: list[tuple[int, int, Path]] = []
    ended = False
    try:
        names = sorted(directory.iterdir())
    except OSError as e:
        raise DataSetError(
            f"cannot be read: {e.strerror or e}", where=str(directory), remedy="check owner and permissions"
        ) from e
    for path in names:
        if path.name == ENDED:
            ended = True
        elif not path.name.startswith(".") and path.suffix == SUFFIX:
            ranges.append((*time_range(path), path))
    ranges.sort(key=lambda r: (r[0], -r[1]))
    kept: list[tuple[int, int, Path]] = []
    for begin, end, path in ranges:
        if kept and end <= kept[-1][1]:
            continue  # compacted into the one before
        if kept and begin < kept[-1][1]:
            raise DataSetError(
                f"overlaps {kept[-1][2].name}, and neither holds the other",
                where=str(path),
                remedy="give files of a data set ranges that do not overlap",
            )
        kept.append((begin, end, path))
    return DataSet(directory.name, directory, tuple(path for *_, path in kept), ended)


def time_range(path: Path) -> tuple[int, int]:
    """Return the range [from, to) of Unix milliseconds that a file's name promises."""
    match = _RANGE.fullmatch(path.name)
    if match is None or int(match[1]) >= int(match[2]):
        raise DataSetError(
            "is not named <from ms>-<to ms>.parquet, with from below to", where=str(path), remedy="rename the file"
        )
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Counts:
    """How many rows, and sales, a data set has. `positives` is None if a file does not say."""

    rows: int
    positives: int | None

    def grew(self, since: Counts, share: float) -> bool:
        """Whether the rows or the sales are more, by at least this share; also if that cannot be told."""
        if self.positives is None or since.positives is None or self.rows <= since.rows:
            return True  # fewer rows, or as many: others
        return self.rows >= (1 + share) * since.rows or self.positives > max(since.positives, 1) * (1 + share)


class Hashes:
    """SHA-256 of data sets. A file's hash is kept for as long as its inode, size and time of change are the same."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int], bytes]] = {}
        self._counted: dict[Path, Counts] = {}

    def of(self, data_set: DataSet) -> bytes:
        """Return the SHA-256 over the names and the contents' SHA-256 of its files.

        Raises
        ------
        DataSetError
            A file cannot be read.
        """
        return _settled(data_set, self._of)

    def _of(self, data_set: DataSet) -> bytes:
        digest = hashlib.sha256()
        for path in data_set.files:
            digest.update(path.name.encode() + b"\0" + self._file(path))
        return digest.digest()

    def _file(self, path: Path) -> bytes:
        try:
            status = path.stat()
            key = (status.st_ino, status.st_size, status.st_mtime_ns)
            known = self._known.get(path)
            if known is None or known[0] != key:
                with path.open("rb") as f:
                    known = (key, hashlib.file_digest(f, "sha256").digest())
                self._known[path] = known
                self._counted.pop(path, None)
        except OSError as e:
            raise _unreadable(path, e) from e
        return known[1]

    def forget(self, kept: Sequence[DataSet]) -> None:
        """Drop what is known of files that no data set has any more."""
        files = {path for data_set in kept for path in data_set.files}
        self._known = {path: known for path, known in self._known.items() if path in files}
        self._counted = {path: counts for path, counts in self._counted.items() if path in files}

    def counts(self, data_set: DataSet) -> Counts:
        """Return how many rows and sales a data set has, as its files say; each is asked once.

        Raises
        ------
        DataSetError
            A file cannot be read.
        """
        return _settled(data_set, self._count)

    def _count(self, data_set: DataSet) -> Counts:
        rows, positives = 0, 0
        told = True
        for path in data_set.files:
            found = self._counted.get(path)
            if found is None:
                self._counted[path] = found = _counts_of(path)
            rows += found.rows
            positives += found.positives or 0
            told = told and found.positives is not None
        return Counts(rows, positives if told else None)


def _counts_of(path: Path) -> Counts:
    try:
        found = pq.read_metadata(path)
    except (OSError, pa.ArrowException) as e:
        raise _unreadable(path, e) from e
    said = (found.metadata or {}).get(POSITIVES, b"")
    return Counts(int(found.num_rows), int(said) if said.isdigit() else None)


def read(data_set: DataSet, fields: Sequence[str]) -> Examples:
    """Read a data set's rows, ordered by time; of equal times the file's order stays.

    If the writer compacted files since they were listed, the compacted ones are read.

    Parameters
    ----------
    fields
        The profile fields to read. Others are not read.

    Raises
    ------
    DataSetError
        A file is damaged, lacks a column, or holds a wrong type, an empty cell, a value out of range, another
        campaign or a time outside its name's range. The error names file and column.
    """
    return _settled(data_set, lambda found: _read_all(found, fields))


def _settled(data_set: DataSet, use: Callable[[DataSet], Found]) -> Found:
    """Use a data set; if files went meanwhile, because they were compacted, list it anew and use that."""
    for _ in range(RELISTED):
        try:
            return use(data_set)
        except DataSetError:
            if not data_set.path.is_dir() or all(path.exists() for path in data_set.files):
                raise
            data_set = _listed(data_set.path)
    return use(data_set)


def _read_all(data_set: DataSet, fields: Sequence[str]) -> Examples:
    if not data_set.files:
        raise DataSetError("holds no <from ms>-<to ms>.parquet", where=str(data_set.path), remedy="write a file, whole")
    parts = [_read(path, data_set, fields) for path in data_set.files]
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    campaigns = _codes(table.column("campaign")).values
    if len(campaigns) > 1:
        raise DataSetError(
            f"holds the campaigns {campaigns[0]!r} and {campaigns[1]!r}",
            where=str(data_set.path),
            remedy="write each campaign's examples to its own directory",
        )
    time_ms = table.column("time").cast(pa.int64()).to_numpy()
    found = Examples(
        campaign=campaigns[0] if campaigns else "",
        fields={name: _codes(table.column(name)) for name in fields},
        time_ms=time_ms,
        label=table.column("label").cast(pa.int8()).to_numpy().astype(np.float64),
        weight=table.column("weight").to_numpy(),
    )
    if len(time_ms) and (np.diff(time_ms) < 0).any():
        found = found.take(np.argsort(time_ms, kind="stable"))
    return found


def _read(path: Path, data_set: DataSet, fields: Sequence[str]) -> pa.Table:
    wanted = {"time": TIME, "campaign": pa.string(), "label": pa.bool_(), "weight": pa.float64()}
    wanted |= dict.fromkeys(fields, pa.string())
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DataSetError(f"is larger than {MAX_FILE_BYTES} bytes", where=str(path), remedy="write smaller files")
        with pq.ParquetFile(path, read_dictionary=["campaign", *fields], memory_map=False) as file:
            _check_schema(file.schema_arrow, wanted, path)
            table = file.read(list(wanted), use_threads=False)
    except KeyError as e:  # of read_dictionary, before the schema can be looked at
        raise _lacks(path, e.args[0].decode() if isinstance(e.args[0], bytes) else str(e.args[0]), pa.string()) from e
    except (OSError, pa.ArrowException) as e:
        raise _unreadable(path, e) from e
    table = table.select(list(wanted))
    for name in wanted:
        if nulls := table.column(name).null_count:
            raise DataSetError(
                f"column {name} is empty in {nulls} rows",
                where=str(path),
                remedy="write the empty text where a field is missing, and weight 1 where it is unknown",
            )
    _check_values(table, path, data_set)
    return table


def _check_schema(schema: pa.Schema, wanted: dict[str, pa.DataType], path: Path) -> None:
    types = {name: _plain(schema.field(i).type) for i, name in enumerate(schema.names)}
    if len(types) != len(schema.names):
        raise DataSetError("has two columns of one name", where=str(path), remedy="give each column its own name")
    for name, kind in {**COLUMNS, **wanted}.items():
        if name not in types:
            raise _lacks(path, name, kind)
    for name, kind in types.items():
        want = COLUMNS.get(name) or OPTIONAL.get(name) or pa.string()
        if kind != want:
            raise DataSetError(f"column {name} is {kind}, not {want}", where=str(path), remedy=f"write it as {want}")


def _lacks(path: Path, name: str, kind: pa.DataType) -> DataSetError:
    return DataSetError(
        f"lacks the column {name} ({kind})", where=str(path), remedy="write it, or drop the feature that reads it"
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return what a column's cells are: a dictionary's values."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _check_values(table: pa.Table, path: Path, data_set: DataSet) -> None:
    if not len(table):
        return
    weight = pc.min_max(table.column("weight")).as_py()
    if not (weight["min"] >= 0 and weight["max"] < np.inf and not pc.any(pc.is_nan(table.column("weight"))).as_py()):
        raise DataSetError(
            f"column weight holds {weight['min']} to {weight['max']}",
            where=str(path),
            remedy="write finite numbers from 0, 1 / propensity",
        )
    campaign = next(_distinct(table.column("campaign")))
    if not 0 < len(campaign.encode()) <= MAX_CAMPAIGN_BYTES or escape(campaign) != data_set.name:
        raise DataSetError(
            f"column campaign holds {campaign!r}, which belongs to {escape(campaign)}",
            where=str(path),
            remedy="move it there; docs/classifier-files.md says how names are escaped",
        )
    if path != data_set.path:
        begin, end = time_range(path)
        times = pc.min_max(table.column("time").cast(pa.int64())).as_py()
        if times["min"] < begin or times["max"] >= end:
            raise DataSetError(
                f"column time holds {times['min']} to {times['max']}, outside of its name's range",
                where=str(path),
                remedy="name it after its rows' times",
            )


def _distinct(column: pa.ChunkedArray) -> Iterator[str]:
    for chunk in column.chunks:
        yield from chunk.dictionary.to_pylist()


def _codes(column: pa.ChunkedArray) -> Column:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], pa.dictionary(pa.int32(), pa.string()))
    values = tuple(array.dictionary.to_pylist())
    return Column(values, array.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False))


def _unreadable(path: Path, e: Exception) -> DataSetError:
    return DataSetError(
        f"cannot be read: {getattr(e, 'strerror', None) or e}", where=str(path), remedy="write the file again, whole"
    )
