"""The dictionary of texts of docs/plan-format.md: a hash table that the engine searches."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from pytrain.plan.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

_FIBONACCI = 0x9E3779B97F4A7C15
_LONG = 0xFF << 56  # the top byte of the key of a text of 8 bytes or more
_MASK = (1 << 64) - 1
_MOST_BYTES = (1 << 31) - 64  # of an object


def dictionary(texts: Sequence[bytes]) -> dict[str, Tensor]:
    """Return the objects `bytes` uint8[total], `offsets` uint32[n + 1] and `table` uint64[c, 2] of n texts.

    A text's number is its place in the sequence.

    Raises
    ------
    ValueError
        A text is there twice, or there is more than objects can hold.
    """
    offsets = np.fromiter(accumulate(map(len, texts), initial=0), np.int64, len(texts) + 1)
    slots = 1 << max(1, (2 * len(texts) - 1).bit_length())
    if offsets[-1] > _MOST_BYTES or 16 * slots > _MOST_BYTES:
        raise ValueError(f"{len(texts)} texts of {offsets[-1]} bytes are more than an object can hold")
    if len(set(texts)) < len(texts):
        raise ValueError("a text is there twice")
    data = np.frombuffer(b"".join(texts), np.uint8)
    table = _table(_keys(data, offsets), slots)
    return {"bytes": Tensor(data), "offsets": Tensor(offsets.astype(np.uint32)), "table": Tensor(table)}


def find(objects: Mapping[str, Tensor], text: bytes) -> int | None:
    """Return the number of a text, or None. It searches as the engine does; for tests."""
    data, offsets, table = (objects[name].array for name in ("bytes", "offsets", "table"))
    key = key_of(text)
    place = (key * _FIBONACCI & _MASK) * len(table) >> 64
    while table[place, 1]:
        number = int(table[place, 1]) - 1
        if table[place, 0] == key and data[offsets[number] : offsets[number + 1]].tobytes() == text:
            return number
        place = (place + 1) % len(table)
    return None


def key_of(text: bytes) -> int:
    """Return a text's key: itself if it has at most 7 bytes, else its hash."""
    if len(text) < 8:
        return int.from_bytes(text, "little") | (len(text) + 1) << 56
    x = len(text)
    for at in range(0, len(text), 8):
        x ^= int.from_bytes(text[at : at + 8], "little")
        x = (x ^ (x >> 32)) * _FIBONACCI & _MASK
        x ^= x >> 29
    return x | _LONG


def _table(keys: npt.NDArray[np.uint64], slots: int) -> npt.NDArray[np.uint64]:
    """Place all keys at once: in each round the first key that wants a free place gets it, the others go on."""
    table = np.zeros((slots, 2), np.uint64)
    shift = np.uint64(64 - (slots.bit_length() - 1))
    left = np.arange(len(keys))
    places = (keys * np.uint64(_FIBONACCI) >> shift).astype(np.int64)
    while len(left):
        free = table[places, 1] == 0
        wanted, first = np.unique(places[free], return_index=True)
        placed = left[free][first]
        table[wanted, 0] = keys[placed]
        table[wanted, 1] = placed.astype(np.uint64) + np.uint64(1)
        stays = np.ones(len(left), bool)
        stays[np.flatnonzero(free)[first]] = False
        left, places = left[stays], (places[stays] + 1) & (slots - 1)
    return table


def _keys(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the key of each text. Word by word, for all texts that are long enough to have that word."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    padded = np.append(data, np.zeros(8, np.uint8))
    keys = _words(padded, starts, lengths) | (lengths.astype(np.uint64) + np.uint64(1)) << np.uint64(56)
    long = np.flatnonzero(lengths >= 8)
    hashes = lengths[long].astype(np.uint64)
    at = 0
    which = np.arange(len(long))
    while len(which):
        rows = long[which]
        hashes[which] = _mix(hashes[which] ^ _words(padded, starts[rows] + at, lengths[rows] - at))
        at += 8
        which = which[lengths[long[which]] > at]
    keys[long] = hashes | np.uint64(_LONG)
    return keys


def _words(
    padded: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """Return the up to 8 bytes from each start, little endian, padded with zeros."""
    words = np.zeros(len(starts), np.uint64)
    for i in range(8):
        byte = np.where(lengths > i, padded[np.minimum(starts + i, len(padded) - 1)], 0)
        words |= byte.astype(np.uint64) << np.uint64(8 * i)
    return words


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(32))) * np.uint64(_FIBONACCI)
    return x ^ (x >> np.uint64(29))
