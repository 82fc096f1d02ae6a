"""Frames between the parent and its Python processes: version 1 of docs/workers.md.

A frame is a uint32 (little endian), the length of the msgpack map that follows. Columns in it are binary and little
endian, so that a batch becomes arrays without parsing its tasks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import msgpack
import numpy as np
import sklearn
from threadpoolctl import threadpool_info, threadpool_limits

from pytrain.errors import BadFrame, TruncatedStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

PROTOCOL = 1
MAX_FRAME_BYTES = 16 << 20

Int32s: TypeAlias = "npt.NDArray[np.int32]"
Float64s: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True)
class Batch:
    """Tasks to score, and classifiers to load before and to drop after them.

    Attributes
    ----------
    load
        A key and a prepared file for each classifier that tasks need, or that later ones will.
    drop
        Keys of classifiers to forget. They may be in `keys`.
    keys
        (n,) uint32: the classifier of each task.
    ends
        (n,) uint32: where each task's part of `indices` ends. It begins where the one before ends.
    indices
        (ends[-1],) int32: columns that are set.
    values
        (ends[-1],) float64: their values, or empty if all are 1.
    tables
        The values of named columns, by task, for classifiers that take tables.
    """

    seq: int
    load: list[tuple[int, str]]
    drop: list[int]
    keys: npt.NDArray[np.uint32]
    ends: npt.NDArray[np.uint32]
    indices: Int32s
    values: Float64s
    tables: dict[int, list[Any]]


@dataclass(frozen=True)
class Prepare:
    """An estimator to read, check and write as a prepared file.

    Attributes
    ----------
    sha256
        Of the estimator's file.
    trusted
        Whether pickles may be read: joblib files can run any code.
    rows
        `one-hot`: sparse rows of `width` columns and `dtype`. `table`: named `columns`, each (name, type).
    positive
        The index of the class whose probability is wanted; -1: the probabilities of all classes.
    """

    seq: int
    path: str
    to: str
    sha256: bytes
    trusted: bool
    rows: str
    width: int
    dtype: str
    columns: list[tuple[str, str]]
    positive: int


@dataclass(frozen=True)
class Stop:
    """Ends the process once all before it is answered."""


Frame: TypeAlias = Batch | Prepare | Stop


def read_frames(stream: BinaryIO) -> Iterator[Frame]:
    """Yield frames until stdin ends.

    Raises
    ------
    TruncatedStream
        It ended inside a frame.
    BadFrame
        A frame is too long, is no map, has an unknown type, or its columns do not agree.
    """
    number = 0
    while head := _exactly(stream, 4, number, may_end=True):
        number += 1
        size = int.from_bytes(head, "little")
        if size > MAX_FRAME_BYTES:
            raise _bad(number, f"has {size} bytes, may have {MAX_FRAME_BYTES}")
        body = _exactly(stream, size, number, may_end=False)
        try:
            yield _decode(msgpack.unpackb(body, strict_map_key=False))
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as e:
            raise _bad(number, f"cannot be read: {type(e).__name__}: {e}") from e


def _exactly(stream: BinaryIO, size: int, number: int, *, may_end: bool) -> bytes:
    data = stream.read(size)
    if len(data) < size and not (may_end and not data):
        raise TruncatedStream(
            f"ended within frame {number}", where="stdin", remedy="the parent has died; nothing is left to do"
        )
    return data


def _bad(number: int, message: str) -> BadFrame:
    return BadFrame(message, where=f"frame {number}", remedy="start parent and workers of one version of Gavel")


def _decode(raw: Any) -> Frame:
    kind = raw["type"]
    if kind == "batch":
        return _batch(raw)
    if kind == "prepare":
        return Prepare(
            seq=raw["seq"],
            path=raw["path"],
            to=raw["to"],
            sha256=raw["sha256"],
            trusted=raw["trusted"],
            rows=raw["rows"],
            width=raw["width"],
            dtype=raw["dtype"],
            columns=[(str(name), str(kind)) for name, kind in raw["columns"]],
            positive=raw["positive"],
        )
    if kind == "stop":
        return Stop()
    raise ValueError(f"unknown type {kind!r}")


def _batch(raw: Any) -> Batch:
    keys, ends = np.frombuffer(raw["keys"], "<u4"), np.frombuffer(raw["ends"], "<u4")
    # Copies: estimators may ask for arrays that they can write to.
    indices, values = np.frombuffer(raw["indices"], "<i4").copy(), np.frombuffer(raw["values"], "<f8").copy()
    total = int(ends[-1]) if len(ends) else 0
    if len(keys) != len(ends) or total != len(indices) or len(values) not in (0, total):
        raise ValueError(f"{len(keys)} keys, {len(ends)} ends to {total}, {len(indices)} indices, {len(values)} values")
    if (np.diff(ends.astype(np.int64)) < 0).any():
        raise ValueError("ends descend")
    return Batch(
        seq=raw["seq"],
        load=[(int(key), str(path)) for key, path in raw["load"]],
        drop=[int(key) for key in raw["drop"]],
        keys=keys,
        ends=ends,
        indices=indices,
        values=values,
        tables={int(task): list(row) for task, row in raw["tables"]},
    )


def pack(answer: dict[str, Any]) -> bytes:
    """Return an answer as a frame."""
    body: bytes = msgpack.packb(answer)
    return len(body).to_bytes(4, "little") + body


def hello() -> bytes:
    """Return the first answer: what this process is. From here on BLAS and OpenMP have one thread."""
    threadpool_limits(1)
    return pack(
        {
            "type": "hello",
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "sklearn": sklearn.__version__,
            "threads": max((pool["num_threads"] for pool in threadpool_info()), default=1),
        }
    )


def scored(
    seq: int, p: Float64s, us: npt.NDArray[np.float32], faults: list[tuple[int, str]], loads: list[tuple[int, str]]
) -> bytes:
    """Return the answer to a batch.

    Parameters
    ----------
    p
        The probabilities of the tasks that did not fail, in their order.
    us
        (n,) µs that each task took.
    faults
        Tasks that failed, with the reason.
    loads
        Keys that were to be loaded, each with an empty text or why it could not be.
    """
    return pack({"type": "scored", "seq": seq, "p": p.tobytes(), "us": us.tobytes(), "faults": faults, "loads": loads})


def prepared(seq: int, *, size: int, labels: list[str], error: str) -> bytes:
    """Return the answer to a prepare frame: the bytes of the prepared file and its classes, or an error."""
    return pack({"type": "prepared", "seq": seq, "bytes": size, "labels": labels, "error": error})
