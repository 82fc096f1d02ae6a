"""Parameters as objects: a header of 64 bytes and a tensor, named by the sha256 of both."""

from __future__ import annotations

import hashlib
import os
import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.errors import VersionError
from pytrain.store import holding, write_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_MAGIC = b"GAVELOBJ"
_HEADER = struct.Struct("<8sIIII4QQ")  # magic, layout, type, dimensions, 0, four sizes, 0
_TYPES = {1: "uint8", 2: "int32", 3: "uint32", 4: "int64", 5: "uint64", 6: "float32", 7: "float64"}
_CODES = {name: code for code, name in _TYPES.items()}
_MOST_BYTES = 1 << 31
_REMEDY = "port the model again; an object is never repaired in place"


class Tensor:
    """An array that never changes, and the object that holds it.

    Parameters
    ----------
    array
        1 to 4 dimensions, of one of the seven types of objects. It is copied, so that it cannot change later.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        if array.dtype.name not in _CODES or not 1 <= array.ndim <= 4:
            raise ValueError(f"no object holds a {array.dtype} of {array.ndim} dimensions")
        if array.nbytes + _HEADER.size > _MOST_BYTES:
            raise ValueError(f"an object of {array.nbytes} bytes is over the limit of {_MOST_BYTES}")
        self.array = np.array(array, array.dtype.newbyteorder("<"), order="C")
        self.array.flags.writeable = False

    @cached_property
    def sha256(self) -> str:
        """Return the object's name, lower-case hex."""
        digest = hashlib.sha256(self._header())
        digest.update(self.array.data.cast("B") if self.array.size else b"")
        return digest.hexdigest()

    @property
    def file_bytes(self) -> int:
        """Return the size of the object's file."""
        return _HEADER.size + self.array.nbytes

    def _header(self) -> bytes:
        shape = (*self.array.shape, 1, 1, 1)[:4]
        return _HEADER.pack(_MAGIC, 1, _CODES[self.array.dtype.name], self.array.ndim, 0, *shape, 0)

    def encode(self) -> bytes:
        """Return the whole object file."""
        return self._header() + self.array.tobytes()

    def write(self, objects: Path) -> Path:
        """Write the object, or touch it if it is there and sound: for an hour, no sweep removes it.

        A damaged one is replaced, not repaired in place: processes may have mapped it.

        Raises
        ------
        OSError
            The file system refuses.
        """
        path = objects / self.sha256
        with holding(objects):
            if path.is_file() and _digest(path) == self.sha256:
                os.utime(path)
            else:
                write_file(path, self.encode())
        return path


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def decode(data: bytes, *, where: str) -> Tensor:
    """Read an object file's bytes.

    Raises
    ------
    VersionError
        The header or the length is wrong.
    """
    if len(data) < _HEADER.size:
        raise VersionError(f"has {len(data)} bytes, fewer than a header", where=where, remedy=_REMEDY)
    magic, layout, code, dimensions, zero, *rest = _HEADER.unpack_from(data)
    shape, tail = tuple(rest[:4]), rest[4]
    if magic != _MAGIC or layout != 1 or zero or tail or code not in _TYPES or not 1 <= dimensions <= 4:
        raise VersionError("has no header of an object", where=where, remedy=_REMEDY)
    dtype = np.dtype(_TYPES[code]).newbyteorder("<")
    count = 1
    for size in shape:
        count *= size
    if any(size != 1 for size in shape[dimensions:]) or _HEADER.size + count * dtype.itemsize != len(data):
        raise VersionError(f"holds {len(data)} bytes, but its shape is {shape}", where=where, remedy=_REMEDY)
    return Tensor(np.frombuffer(data, dtype, offset=_HEADER.size).reshape(shape[:dimensions]))


def read(objects: Path, sha256: str) -> Tensor:
    """Read an object by its name, and check the name.

    Raises
    ------
    VersionError
        It is absent or damaged.
    """
    path = objects / sha256
    try:
        data = path.read_bytes()
    except OSError as e:
        raise VersionError(f"cannot be read: {e.strerror or e}", where=str(path), remedy=_REMEDY) from e
    if hashlib.sha256(data).hexdigest() != sha256:
        raise VersionError("is damaged: its content has another sha256", where=str(path), remedy=_REMEDY)
    return decode(data, where=str(path))
