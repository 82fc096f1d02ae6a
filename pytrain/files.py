"""Examples from files: Parquet and CSV, encoded or raw.

Encoded files have `row` (Parquet: list<int32>; CSV: indices joined by "|") and `label`. They may have `weight`,
`time_ms` (Unix ms) and `probability` (as it was served). Other columns are ignored. The Go trainer archives examples in
this form. Raw files have `label` and a column for each feature, named like it, except crosses, which are computed. They
may have `weight` and `time_ms`. They go as CSV through `trainer encode`, the only encoder.

A whole file is held in memory: 4·F + 20 bytes for each example.
"""

from __future__ import annotations

import csv
import io
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pytrain import frames as fr
from pytrain.errors import BadFrame, InputError, StreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytrain.recipe import Recipe

DEFAULT_ENCODER = Path("bin/trainer")
_OPTIONAL = ("weight", "time_ms", "probability")


@dataclass(frozen=True)
class Examples:
    """All examples of a file, ordered by time if all have a time.

    `rows` as in frames; `served` are the served probabilities (n,) float32, None if the file has none.
    """

    rows: fr.Rows
    served: fr.Float32s | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, begin: int, end: int) -> Examples:
        """Return examples begin … end − 1; views."""
        s, r = slice(begin, end), self.rows
        return Examples(fr.Rows(r.x[s], r.y[s], r.w[s], r.t[s]), None if self.served is None else self.served[s])


def read_examples(
    path: Path, recipe: Recipe, recipe_path: Path, *, encoder: Path, progress: Callable[[int], None]
) -> Examples:
    """Read a file, or all Parquet files of a directory.

    Parameters
    ----------
    recipe, recipe_path
        The recipe and its file, which the encoder reads itself.
    encoder
        The trainer binary, for raw files.
    progress
        Called with the number of examples just read.

    Raises
    ------
    InputError
        The file is absent, damaged, lacks a column or holds a bad value; the encoder is absent or refuses it.
    """
    parts: list[Examples] = []
    try:
        for part in _read(path, recipe, recipe_path, encoder):
            parts.append(part)
            progress(len(part))
    except OSError as e:
        raise InputError(f"cannot be read: {e.strerror or e}", where=str(path), remedy="name a file that exists") from e
    except pa.ArrowException as e:
        raise InputError(f"cannot be read: {e}", where=str(path), remedy="name a whole Parquet or CSV file") from e
    except StreamError as e:
        raise InputError(e.message, where=f"{path}: {e.where}", remedy=e.remedy) from e
    if not any(len(part) for part in parts):
        raise InputError("holds no examples", where=str(path), remedy="name a file with rows")
    return _ordered(_joined(parts))


def _read(path: Path, recipe: Recipe, recipe_path: Path, encoder: Path) -> Iterator[Examples]:
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise InputError(
                "holds no *.parquet", where=str(path), remedy="name a file, or a directory of Parquet files"
            )
        for file in files:
            yield from _read(file, recipe, recipe_path, encoder)
        return
    names, batches = _open(path)
    if "label" not in names:
        raise InputError(
            f"has no label among its columns ({', '.join(names)})", where=str(path), remedy="name one `label`"
        )
    if "row" in names:
        begin = 0
        for batch in batches:
            yield _encoded(batch, recipe, f"{path}, rows from {begin}")
            begin += len(batch)
        return
    wanted = [f.name for f in recipe.features if f.of is None]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputError(
            f"lacks the columns {', '.join(missing)}",
            where=str(path),
            remedy="give each feature of the recipe a column of its name, or `row` with encoded indices",
        )
    columns = [*wanted, "label", *(name for name in ("weight", "time_ms") if name in names)]
    for rows in encode(_csv_chunks(batches, columns), recipe, recipe_path, encoder=encoder, where=str(path)):
        yield Examples(rows)


def _open(path: Path) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as f:
            names = next(csv.reader(f), [])
        text = {name: pa.string() for name in names if name not in ("label", *_OPTIONAL)}
        convert = pa_csv.ConvertOptions(column_types=text, strings_can_be_null=False)
        return names, iter(pa_csv.open_csv(path, convert_options=convert))
    parquet = pq.ParquetFile(path)
    return parquet.schema_arrow.names, parquet.iter_batches()


def _encoded(batch: pa.RecordBatch, recipe: Recipe, where: str) -> Examples:
    """Take columns `row`, `label`, …; checks every value."""
    row, n = batch.column("row"), len(batch)
    if pa.types.is_string(row.type):
        row = pc.split_pattern(row, "|").cast(pa.list_(pa.int32()))
    f = recipe.space.row_len
    lengths = pc.list_value_length(row)
    if row.null_count or pc.any(pc.not_equal(lengths, f)).as_py():
        raise InputError(
            f"rows must have {f} indices", where=where, remedy="use the recipe that the file was encoded with"
        )
    indices = row.flatten()
    if indices.null_count:
        raise InputError("row holds an empty index", where=where, remedy="write 0 for missing")

    def column(name: str, kind: type[Any], default: float) -> Any:
        if name not in batch.schema.names:
            return np.full(n, default, kind)
        values = batch.column(name)
        if values.null_count:
            raise InputError(f"{name} is empty in {values.null_count} rows", where=where, remedy="fill or drop them")
        if not (
            pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)
        ):
            raise InputError(f"{name} is {values.type}", where=where, remedy="write numbers")
        return values.to_numpy(zero_copy_only=False).astype(kind)

    rows = fr.Rows(
        x=indices.to_numpy(zero_copy_only=False).astype(np.int32).reshape(n, f),
        y=column("label", np.float32, 0),
        w=column("weight", np.float32, 1),
        t=column("time_ms", np.int64, 0),
    )
    try:
        fr.check_rows(rows, recipe.space, where=where)
    except BadFrame as e:
        raise InputError(e.message, where=where, remedy=e.remedy) from e
    served = column("probability", np.float32, 0) if "probability" in batch.schema.names else None
    return Examples(rows, served)


def _csv_chunks(batches: Iterator[pa.RecordBatch], columns: list[str]) -> Iterator[bytes]:
    """Write batches as CSV with a header; lists are joined by "|"."""
    yield (",".join(columns) + "\n").encode()
    options = pa_csv.WriteOptions(include_header=False)
    for batch in batches:
        arrays = []
        for name in columns:
            values = batch.column(name)
            if pa.types.is_list(values.type):
                values = pc.binary_join(values.cast(pa.list_(pa.string())), "|")
            elif pa.types.is_dictionary(values.type):
                values = values.dictionary_decode()
            elif pa.types.is_boolean(values.type):
                values = values.cast(pa.int8())
            arrays.append(values)
        sink = io.BytesIO()
        pa_csv.write_csv(pa.RecordBatch.from_arrays(arrays, columns), sink, options)
        yield sink.getvalue()


def encode(
    chunks: Iterator[bytes], recipe: Recipe, recipe_path: Path, *, encoder: Path, where: str
) -> Iterator[fr.Rows]:
    """Run raw CSV through `trainer encode --recipe R` and yield the frames it writes.

    Raises
    ------
    InputError
        The binary is absent, or it refused a value. Its message is in the error.
    """
    if not encoder.is_file():
        raise InputError(
            "the Go encoder is not there, and raw values are encoded nowhere else",
            where=str(encoder),
            remedy="run `make setup`, name it with --encoder, or give a file with encoded `row`s",
        )
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [encoder, "encode", "--recipe", recipe_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        ) as child,
    ):
        assert child.stdin is not None  # noqa: S101 - both are pipes
        assert child.stdout is not None  # noqa: S101
        failed: list[Exception] = []
        feeder = threading.Thread(target=_feed, args=(chunks, child.stdin, failed), name="feed-encoder")
        feeder.start()
        try:
            for frame in fr.read_frames(_Reader(child.stdout), recipe.space):
                if isinstance(frame, fr.Rows):
                    yield frame
        except StreamError as e:
            child.kill()
            failed.append(e)
        finally:
            child.stdout.close()  # ends a child that still writes
            feeder.join()
        if child.wait():
            said.seek(0)
            words = said.read()[-2000:].decode(errors="replace").strip()
            raise InputError(f"the encoder refused it: {words}", where=where, remedy="fix the value it names")
        if failed:
            raise failed[0]


class _Reader:
    """A child's stdout as a frame source."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def read1(self, size: int = -1, /) -> bytes:
        data: bytes = self._pipe.read1(size)  # type: ignore[attr-defined] # Popen's pipes are BufferedReaders
        return data


def _feed(chunks: Iterator[bytes], pipe: IO[bytes], failed: list[Exception]) -> None:
    try:
        with pipe:
            for chunk in chunks:
                pipe.write(chunk)
    except BrokenPipeError:
        pass  # the child ended; its status says why
    except Exception as e:  # noqa: BLE001 - raised by encode, in the reader's thread
        failed.append(e)


def _joined(parts: list[Examples]) -> Examples:
    rows = [p.rows for p in parts]
    x, y, w, t = (np.concatenate([getattr(r, c) for r in rows]) for c in "xywt")
    served = [p.served for p in parts if p.served is not None]
    return Examples(fr.Rows(x, y, w, t), np.concatenate(served) if len(served) == len(parts) else None)


def _ordered(examples: Examples) -> Examples:
    r = examples.rows
    if not (r.t > 0).all() or (np.diff(r.t) >= 0).all():
        return examples
    order = np.argsort(r.t, kind="stable")
    served = None if examples.served is None else examples.served[order]
    return Examples(fr.Rows(r.x[order], r.y[order], r.w[order], r.t[order]), served)
