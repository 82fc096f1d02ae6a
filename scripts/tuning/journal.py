"""Measurements as they were made, one JSON line each, so that an interrupted run goes on where it stopped.

Lines are only appended, and are on disk before the next measurement begins. A line that a crash cut off is removed when
the journal is opened again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from scripts.tuning.config import TuneError

Record = dict[str, Any]


class Journal:
    """The records of one plan by key. `opened` makes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.made = 0  # records made by this process
        self.records: dict[str, Record] = {}
        file.seek(0)
        data = file.read()
        whole = data.rfind(b"\n") + 1
        file.truncate(whole)
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                record = json.loads(line)
                self.records[record["key"]] = record
            except (ValueError, KeyError, TypeError) as error:
                raise TuneError(f"{file.name}: line {number} is not a record; begin anew with --fresh") from error

    def record(self, key: str, make: Callable[[], Mapping[str, Any]]) -> Record:
        """The record of this key; if there is none, it is made, and on disk when this returns."""
        if key not in self.records:
            record = {"key": key, **make()}
            self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self.records[key] = record
            self.made += 1
        return self.records[key]


@contextmanager
def opened(directory: Path, *, fresh: bool) -> Iterator[Journal]:
    """The journal `measurements.jsonl` of a plan's directory. One run at a time holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "measurements.jsonl"
    with path.open("ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TuneError(f"another run is at work on this plan ({path}); wait for it, or end it") from None
        if fresh:
            file.truncate(0)
        yield Journal(file)


def fingerprint(parts: Mapping[str, Any]) -> str:
    """The name of a plan: 12 hexadecimal digits of everything that its measurements depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def digest(path: Path) -> str:
    """Of a file's content; of a model store, its versions (they are immutable) and its pointers."""
    if path.is_dir():
        versions = "\n".join(sorted(str(p.relative_to(path)) for p in path.glob("*/[0-9]*")))
        pointers = [f"{p.relative_to(path)}\n{p.read_text()}" for p in sorted(path.glob("*/pointer.json"))]
        return hashlib.sha256("\n".join([versions, *pointers]).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
