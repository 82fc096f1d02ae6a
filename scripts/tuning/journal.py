"""Measurements as they were made, one JSON line each, so that a run that was stopped goes on where it stopped.

A record is found again by its kind and key. Lines are only ever appended, synced before the next measurement begins; a
line that a crash cut off is taken away when the journal is opened again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from scripts.tuning.errors import Busy, TuneError

Record = dict[str, Any]


class Journal:
    """The measurements of one plan, in `<directory>/measurements.jsonl`. One run at a time holds it."""

    def __init__(self, directory: Path, *, fresh: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "measurements.jsonl"
        self.records: dict[tuple[str, str], Record] = {}
        self.found = 0  # records there when it was opened
        self._file: IO[bytes] = self.path.open("ab+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise Busy(f"another run is at work on this plan ({self.path}); wait for it, or end it") from None
        if fresh:
            self._file.truncate(0)
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._file.truncate(whole)
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                record = json.loads(line)
                self.records[record["kind"], record["key"]] = record
            except (ValueError, KeyError, TypeError) as error:
                raise TuneError(
                    f"{self.path}: line {number} is not a record ({error}); begin anew with --fresh"
                ) from error
        self.found = len(self.records)

    def get(self, kind: str, key: str) -> Record | None:
        return self.records.get((kind, key))

    def of(self, kind: str) -> list[Record]:
        """The records of a kind, in the order they were made."""
        return [record for (k, _), record in self.records.items() if k == kind]

    def add(self, kind: str, key: str, **values: Any) -> Record:
        """Append a record; it is on disk when this returns."""
        record = {"kind": kind, "key": key, **values}
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records[kind, key] = record
        return record

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def fingerprint(parts: dict[str, Any]) -> str:
    """The name of a plan: 12 hexadecimal digits of all that its measurements depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def digest(path: Path) -> str:
    """Of a file's content; of a model store, the versions there are (they are immutable) and what its pointers say."""
    if path.is_dir():
        names = sorted(str(p.relative_to(path)) for p in path.glob("*/[0-9]*"))
        found = hashlib.sha256("\n".join(names).encode())
        for pointer in sorted(path.glob("*/pointer.json")):
            found.update(f"\n{pointer.relative_to(path)}\n".encode() + pointer.read_bytes())
        return found.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
