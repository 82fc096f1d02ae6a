"""Prepared files: an estimator as its workers load it, in a fraction of the time that its own file takes.

It is a pickle (protocol 5) whose large arrays lie outside, aligned, so that workers map them from the file and share
one copy in memory. Only the preparer writes them, to a directory that only the parent's user can open. They never come
from elsewhere.

    magic "GVLPREP1" | uint64 n | n × uint64 lengths, the pickle's first | each part, at a multiple of 64
"""

from __future__ import annotations

import mmap
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"GVLPREP1"
ALIGN = 64
SHARED_BYTES = 64 << 10  # arrays from this size on are mapped


@dataclass(frozen=True)
class Prepared:
    """An estimator with how it takes rows; the fields are those of `protocol.Prepare`.

    Attributes
    ----------
    linear
        Its probability is, bit for bit, what `linear.probabilities` gives.
    """

    estimator: Any
    rows: str
    width: int
    dtype: str
    columns: list[tuple[str, str]]
    positive: int
    outputs: int
    linear: bool = False


def write(path: Path, prepared: Prepared) -> int:
    """Write a prepared file and return its size in bytes. The caller renames it or lets nobody know of it before."""
    large: list[memoryview] = []

    def outside(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < SHARED_BYTES:
            return True  # stays within the pickle
        large.append(view)
        return False

    parts = [memoryview(pickle.dumps(prepared, protocol=5, buffer_callback=outside)), *large]
    sizes = np.array([len(parts), *(part.nbytes for part in parts)], dtype="<u8")
    with path.open("wb") as f:
        f.write(MAGIC)
        f.write(sizes.tobytes())
        for part in parts:
            f.write(b"\0" * (-f.tell() % ALIGN))
            f.write(part)
        return f.tell()


def load(path: Path) -> Prepared:
    """Read a prepared file. Its large arrays are mapped; a page that the estimator writes to becomes its own copy."""
    with path.open("rb") as f:
        head = f.read(16)
        if head[:8] != MAGIC:
            raise ValueError(f"{path} is no prepared file")
        count = int.from_bytes(head[8:], "little")
        sizes = np.frombuffer(f.read(8 * count), "<u8").tolist()
        at = _aligned(16 + 8 * count)
        f.seek(at)
        body = f.read(sizes[0])
        views: list[memoryview] = []
        if count > 1:
            mapped = memoryview(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY))
            at = _aligned(at + sizes[0])
            for size in sizes[1:]:
                views.append(mapped[at : at + size])
                at = _aligned(at + size)
    loaded = pickle.loads(body, buffers=views)  # noqa: S301 - the preparer wrote it
    if not isinstance(loaded, Prepared):
        raise TypeError(f"{path} holds {type(loaded).__name__}")
    return loaded


def _aligned(at: int) -> int:
    return at + -at % ALIGN
