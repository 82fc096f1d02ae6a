"""Checkpoints: weights, optimizer slots, counters and stream position in one file that appears whole.

A file has the safetensors layout: 8 bytes of header length, a JSON header, the tensors' bytes. So other tools can open
it, and nothing in it can run. Our own values are in `__metadata__`. `crc32` covers the header (with the checksum itself
as zeros) and all tensors. A file is written under a temporary name, synced and renamed; the last two are kept. If the
newest is damaged, the previous one is used, with a warning. If none can be read, the trainer does not start, since it
would otherwise learn everything again without notice. The one process that may write there locks `.lock`.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import struct
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.errors import CheckpointError
from pytrain.frames import pack_pos, unpack_pos
from pytrain.store import sync_directory

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

SCHEMA = "1"
KEEP = 2
LOCK_WAIT_SECONDS = 60.0  # below the trainer's hello_timeout, so that the trainer receives the error
_LOCK_POLL_SECONDS = 0.05
_ZERO_SUM = "00000000"
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
_NAMES = {v: k for k, v in _DTYPES.items()}
_MAX_HEADER_BYTES = 16 << 20


@dataclass(frozen=True)
class State:
    """Everything that a trainer needs to continue.

    `tensors` are float32 or int64 arrays by name, `rows` the examples learnt so far, `pos` the stream position that
    covers exactly those, `from_ms` and `to_ms` the event times learnt (0 where none).
    """

    tensors: Mapping[str, npt.NDArray[Any]]
    rows: int
    pos: object
    from_ms: int = 0
    to_ms: int = 0


@contextlib.contextmanager
def owned(directory: Path, *, log: logging.Logger, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[None]:
    """Own a checkpoint directory until the block or the process ends. Make it if absent.

    A process that is being stopped may still write its last checkpoint there, so this waits for it. The kernel releases
    the lock when its holder ends, however it ends. So a `.lock` file without a holder means nothing.

    Raises
    ------
    CheckpointError
        Another process still owns it after `wait_seconds`, or it cannot be used.
    """
    path = directory / ".lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as e:
        raise _unusable(directory, e) from e
    try:
        _lock(fd, directory, log, wait_seconds)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, directory: Path, log: logging.Logger, wait_seconds: float) -> None:
    # Polled, since a blocking flock has no time limit.
    deadline = time.monotonic() + wait_seconds
    waiting = False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            if time.monotonic() >= deadline:
                raise CheckpointError(
                    f"another pytrain has owned it for {wait_seconds:g} s",
                    where=str(directory),
                    remedy="end that process, or give this one another --checkpoint-dir",
                ) from e
        except OSError as e:
            raise _unusable(directory, e) from e
        else:
            return
        if not waiting:
            log.warning("%s belongs to another process; waiting up to %g s for its end", directory, wait_seconds)
            waiting = True
        time.sleep(_LOCK_POLL_SECONDS)


def _unusable(directory: Path, e: OSError) -> CheckpointError:
    return CheckpointError(
        f"cannot be used: {e.strerror or e}", where=str(directory), remedy="name a directory that can be written"
    )


class CheckpointDir:
    """The checkpoints of one model in one directory.

    Parameters
    ----------
    directory
        Made if absent. A process that writes there must enter `owned` before it constructs this.
    fingerprint
        Identifies the meaning of the weights: architecture, features, optimizer. A checkpoint with another is refused.
    log
        Takes warnings about damaged files.
    """

    def __init__(self, directory: Path, *, fingerprint: str, log: logging.Logger) -> None:
        self._directory = directory
        self._fingerprint = fingerprint
        self._log = log
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for left in directory.glob(".aside-*"):  # left by a process that was killed while it wrote
                left.unlink()
        except OSError as e:
            raise _unusable(directory, e) from e

    def save(self, state: State) -> Path:
        """Write one checkpoint. It is on disk when this returns.

        Raises
        ------
        CheckpointError
            The file system refuses. Earlier checkpoints are untouched.
        """
        files = self._files()
        number = int(files[0].stem) + 1 if files else 1
        path = self._directory / f"{number:012d}.ckpt"
        aside = self._directory / f".aside-{number}"
        try:
            with aside.open("wb") as f:
                for part in _encode(state, self._fingerprint):
                    f.write(part)
                f.flush()
                os.fsync(f.fileno())
            aside.rename(path)
            sync_directory(self._directory)
            for old in files[KEEP - 1 :]:
                old.unlink()
        except OSError as e:
            raise CheckpointError(
                f"cannot be written: {e.strerror or e}",
                where=str(path),
                remedy="free space or check permissions, then restart",
            ) from e
        return path

    def load(self) -> State | None:
        """Read the newest whole checkpoint; None if there is no file.

        Raises
        ------
        CheckpointError
            Every file is damaged, or the newest whole one belongs to another model.
        """
        damaged: list[str] = []
        for path in self._files():
            try:
                state, fingerprint = _decode(path.read_bytes())
            except (OSError, ValueError, KeyError, TypeError) as e:
                damaged.append(f"{path.name}: {e}")
                self._log.warning("%s is damaged (%s); trying the checkpoint before it", path, e)
                continue
            if fingerprint != self._fingerprint:
                raise CheckpointError(
                    "was learnt by another architecture, optimizer or feature list than the recipe has now",
                    where=str(path),
                    remedy=f"undo the change, or learn the stream anew: mv {self._directory} {self._directory}.before",
                )
            return state
        if damaged:
            raise CheckpointError(
                f"no checkpoint can be read: {'; '.join(damaged)}",
                where=str(self._directory),
                remedy="restore one, or remove the directory to learn the whole stream again",
            )
        return None

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(
            (p for p in self._directory.glob("*.ckpt") if p.stem.isdigit()), key=lambda p: int(p.stem), reverse=True
        )


def _encode(state: State, fingerprint: str) -> list[bytes | memoryview]:
    header: dict[str, Any] = {
        "__metadata__": {
            "schema": SCHEMA,
            "fingerprint": fingerprint,
            "rows": str(state.rows),
            "pos": base64.b64encode(pack_pos(state.pos)).decode(),
            "from_ms": str(state.from_ms),
            "to_ms": str(state.to_ms),
            "crc32": _ZERO_SUM,
        }
    }
    data: list[memoryview] = []
    offset = 0
    for name, tensor in state.tensors.items():
        array = np.ascontiguousarray(tensor)
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(tensor.shape),  # ascontiguousarray gives scalars a dimension
            "data_offsets": [offset, offset + array.nbytes],
        }
        data.append(array.reshape(-1).view(np.uint8).data)
        offset += array.nbytes
    header["__metadata__"]["crc32"] = _sum(header, data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)), text, *data]


def _decode(raw: bytes) -> tuple[State, str]:
    """Decode one file. A damaged file raises only OSError, ValueError, KeyError or TypeError."""
    if len(raw) < 8:
        raise ValueError("it ends inside its length")
    (length,) = struct.unpack_from("<Q", raw)
    if length > min(_MAX_HEADER_BYTES, len(raw) - 8):
        raise ValueError("it ends inside its header")
    header = json.loads(raw[8 : 8 + length])
    data = memoryview(raw)[8 + length :]
    meta = header["__metadata__"]
    want, meta["crc32"] = meta["crc32"], _ZERO_SUM
    if _sum(header, [data]) != want:
        raise ValueError("its checksum does not hold")
    if meta["schema"] != SCHEMA:
        raise ValueError(f"its schema is {meta['schema']}, this program reads {SCHEMA}")
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(data[begin:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    pos = unpack_pos(base64.b64decode(meta["pos"]))
    return State(tensors, int(meta["rows"]), pos, int(meta["from_ms"]), int(meta["to_ms"])), meta["fingerprint"]


def _sum(header: Mapping[str, Any], data: list[memoryview]) -> str:
    crc = zlib.crc32(json.dumps(header, sort_keys=True).encode())
    for part in data:
        crc = zlib.crc32(part, crc)
    return f"{crc:08x}"
