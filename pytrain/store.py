"""The model store's directory: versions that appear whole, and the pointer to the versions that serve.

<store>/<model>/<version>/        immutable
<store>/<model>/.staging/<any>/   being written
<store>/<model>/pointer.json      {"stable", "canary", "previous"}, replaced by rename; 0 is no version; maybe "pinned"
<store>/<model>/.lock             held while a version or the pointer changes, by the Go side too
<store>/objects/<sha256>          parameters that plans share: written aside, renamed, never changed
<store>/objects/.lock             held by sweeps alone, and by writers of objects together

A sweep (Go: `internal/models/dir`) removes the objects that no version names and that nobody wrote or touched for an
hour. A version that names objects appears only under the lock, and only if all of them are there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from typing import TYPE_CHECKING

from pytrain.errors import ConfigError
from pytrain.manifest import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION = re.compile(r"[1-9][0-9]{0,18}")


def versions(model_dir: Path) -> list[int]:
    """Return the versions present, lowest first; none if the directory is absent."""
    if not model_dir.is_dir():
        return []
    return sorted(int(p.name) for p in model_dir.iterdir() if _VERSION.fullmatch(p.name) and p.is_dir())


@contextlib.contextmanager
def staged(final: Path, staging: Path, *, objects: Path | None = None) -> Iterator[Path]:
    """Yield an empty directory under `staging`; when the block ends, sync it whole and rename it to `final`.

    If the block fails, nothing appears and the directory is removed.

    Parameters
    ----------
    objects
        The store's objects, if `final` is in a store. Whoever moves a version into a store later checks its objects.

    Raises
    ------
    ConfigError
        `final` exists (versions are immutable), an object that its manifest names is missing, or the file system
        refuses.
    """
    if final.exists():
        raise ConfigError("exists already, and versions are immutable", where=str(final), remedy="use a higher version")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        aside = staging / f"{final.name}-{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
    except OSError as e:
        raise _refused(staging, e) from e
    try:
        yield aside
        sync_tree(aside)
        with _present(aside, objects):
            aside.rename(final)
        sync_directory(final.parent)
        sync_directory(staging)
    except OSError as e:
        raise _refused(final, e) from e
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _present(version: Path, objects: Path | None) -> Iterator[None]:
    """Keep sweeps away, and check that the objects are there that the version's manifest names."""
    named: dict[str, int] = {}
    if objects and (version / MANIFEST).exists():
        named = json.loads((version / MANIFEST).read_bytes()).get("objects") or {}
    if not objects or not named:
        yield
        return
    with holding(objects):
        for sha256, size in named.items():
            path = objects / sha256
            if not path.is_file() or path.stat().st_size != size:
                raise ConfigError("is missing, or of another size", where=str(path), remedy="publish the version again")
        yield


@contextlib.contextmanager
def holding(objects: Path) -> Iterator[None]:
    """Hold the lock of a store's objects, together with other writers: no sweep runs. Make it if absent."""
    objects.mkdir(parents=True, exist_ok=True)
    fd = os.open(objects / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


def write_pointer(model_dir: Path, *, stable: int) -> bool:
    """Make `stable` the version that serves, unless the pointer is pinned; the former one becomes `previous`.

    Like `models.Publish` in Go: a canary of that version ends, another canary stays, and a pinned pointer does not
    change. Returns whether `stable` serves now. The caller holds the lock.

    Raises
    ------
    ConfigError
        The pointer in place is damaged, or the file system refuses.
    """
    path = model_dir / "pointer.json"
    canary = None
    try:
        old = json.loads(path.read_bytes())
        previous, canary = old["stable"], old["canary"]
        if old.get("pinned"):
            return bool(previous == stable)
    except FileNotFoundError:
        previous = max((v for v in versions(model_dir) if v != stable), default=0)  # it served without a pointer
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise ConfigError(
            "is damaged", where=str(path), remedy="remove it: the highest version serves without one"
        ) from e
    if canary and canary["version"] == stable:
        canary = None
    pointer = {"stable": stable, "canary": canary, "previous": previous}
    try:
        write_file(path, json.dumps(pointer).encode() + b"\n")
    except OSError as e:
        raise _refused(path, e) from e
    return True


@contextlib.contextmanager
def locked(model_dir: Path) -> Iterator[None]:
    """Hold the model's lock, so that writers take turns. Make it and its directory if absent."""
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        fd = os.open(model_dir / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as e:
        raise _refused(model_dir, e) from e
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_file(path: Path, data: bytes) -> None:
    """Replace a file so that a reader sees the old or the new content, never a part."""
    fd, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(data)
            f.flush()
            os.fchmod(f.fileno(), 0o644)
            os.fsync(f.fileno())
        os.replace(aside, path)  # noqa: PTH105 - aside is mkstemp's string
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)  # noqa: PTH108
        raise
    sync_directory(path.parent)


def sync_tree(root: Path) -> None:
    """Sync every file and directory below `root`, and `root`."""
    for directory, _, names in os.walk(root, topdown=False):
        for name in names:
            fd = os.open(os.path.join(directory, name), os.O_RDONLY)  # noqa: PTH118 - os.walk gives strings
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        sync_directory(directory)


def sync_directory(path: Path | str) -> None:
    """Sync a directory's entries."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refused(path: Path, e: OSError) -> ConfigError:
    return ConfigError(
        f"cannot be written: {e.strerror or e}", where=str(path), remedy="check space, owner and permissions"
    )
