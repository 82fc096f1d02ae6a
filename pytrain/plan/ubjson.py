"""UBJSON, the binary JSON that XGBoost writes. Reading only."""

from __future__ import annotations

from typing import Any

import numpy as np

_NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}
_DEEPEST = 64


def loads(data: bytes) -> Any:
    """Return the value. An array of numbers of one type is a list too.

    Raises
    ------
    ValueError
        It is no UBJSON, is cut off, or nests more than 64 deep.
    """
    reader = _Reader(data)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes follow the end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise ValueError(f"it ends within a value, at byte {self.at}")
        found = self.data[self.at : end]
        self.at = end
        return found

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"it nests more than {_DEEPEST} deep")
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            return self.numbers(marker, 1)[0]
        if marker == b"C":
            return self.take(1).decode()
        if marker == b"S":
            return self.text()
        if marker == b"[":
            return self.array(depth + 1)
        if marker == b"{":
            return self.object(depth + 1)
        raise ValueError(f"the marker {marker!r} at byte {self.at - 1} is unknown")

    def numbers(self, marker: bytes, count: int) -> list[Any]:
        kind = np.dtype(_NUMBERS[marker])
        return list(np.frombuffer(self.take(count * kind.itemsize), kind).tolist())

    def length(self) -> int:
        marker = self.take(1)
        if marker not in _NUMBERS or marker in b"dD":
            raise ValueError(f"a length at byte {self.at - 1} is no integer")
        count = int(self.numbers(marker, 1)[0])
        if count < 0:
            raise ValueError(f"a length before byte {self.at} is negative")
        return count

    def text(self) -> str:
        return self.take(self.length()).decode()

    def shape(self) -> tuple[bytes, int]:
        """Return the type and the count of a container; b"" and -1 where it does not say them."""
        kind, count = b"", -1
        if self.data[self.at : self.at + 1] == b"$":
            self.take(1)
            kind = self.take(1)
        if self.data[self.at : self.at + 1] == b"#":
            self.take(1)
            count = self.length()
        elif kind:
            raise ValueError(f"a container before byte {self.at} has a type and no count")
        return kind, count

    def array(self, depth: int) -> list[Any]:
        kind, count = self.shape()
        if kind in _NUMBERS:
            return self.numbers(kind, count)
        if kind in _CONSTANTS or count > len(self.data):
            raise ValueError(f"an array before byte {self.at} is longer than the file")
        found: list[Any] = []
        while len(found) != count:
            marker = kind or self.take(1)
            if count < 0 and marker == b"]":
                break
            found.append(self.value(marker, depth))
        return found

    def object(self, depth: int) -> dict[str, Any]:
        kind, count = self.shape()
        found: dict[str, Any] = {}
        read = 0
        while read != count:
            if count < 0 and self.data[self.at : self.at + 1] == b"}":
                self.take(1)
                break
            key = self.text()
            found[key] = self.value(kind or self.take(1), depth)
            read += 1
        return found
