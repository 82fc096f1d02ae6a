"""Classifier files: strict reader and writer of docs/classifier-files.md.

A file is written aside, synced and renamed, so that a reader sees all of it or none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import struct
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from pytrain.errors import ClassifierError, ConfigError
from pytrain.ranking.classifier import GOLDEN_TOLERANCE, Classifier, Feature, Golden, escape
from pytrain.store import sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = b"GAVELCLF"
LAYOUT = 1
MAX_BODY = 64 << 20
SUFFIX = ".classifier"
ASIDE = ".aside"
_HEAD = struct.Struct("<8sII")
_SUM = 32

_BODY: dict[str, type] = {
    "kind": str,
    "campaign": str,
    "version": int,
    "prior": int,
    "trainer": str,
    "data": bytes,
    "trained_ms": int,
    "rows": int,
    "positives": int,
    "intercept": float,
    "variance": float,
    "features": list,
    "golden": dict,
}
_FEATURE: dict[str, type] = {"name": str, "of": list, "values": list, "weights": bytes, "other": float}
_GOLDEN: dict[str, type] = {"fields": list, "profiles": list, "probabilities": bytes}


def file_name(classifier: Classifier) -> str:
    """Return the name that a directory of classifiers has for it."""
    if classifier.kind == "prior":
        return f"prior.{classifier.version}{SUFFIX}"
    return escape(classifier.campaign) + SUFFIX


def pack(classifier: Classifier, *, where: str) -> bytes:
    """Return the file's bytes.

    Raises
    ------
    ClassifierError
        The contract does not allow it. `where` names it in errors.
    """
    classifier.check(where)
    c = classifier
    body: bytes = msgpack.packb(
        {
            **{key: getattr(c, key) for key in _BODY if key not in ("features", "golden")},
            "intercept": float(c.intercept),
            "variance": float(c.variance),
            "features": [
                {
                    "name": f.name,
                    "of": f.of,
                    "values": f.values,
                    "weights": f.weights.astype("<f8").tobytes(),
                    "other": float(f.other),
                }
                for f in c.features
            ],
            "golden": {
                "fields": c.golden.fields,
                "profiles": c.golden.profiles,
                "probabilities": c.golden.probabilities.astype("<f8").tobytes(),
            },
        }
    )
    if len(body) > MAX_BODY:
        raise ClassifierError(
            f"has {len(body)} bytes, over {MAX_BODY}", where=where, remedy="raise the trainer's min_rows of a value"
        )
    data = _HEAD.pack(MAGIC, LAYOUT, len(body)) + body
    return data + hashlib.sha256(data).digest()


def unpack(data: bytes, *, where: str) -> Classifier:
    """Decode a file's bytes; `where` names the file in errors. Golden probabilities are not compared.

    Raises
    ------
    ClassifierError
        It is no classifier file, is cut short or damaged, or holds what the contract does not allow.
    """
    if len(data) < _HEAD.size or not data.startswith(MAGIC):
        raise _damaged("is no classifier file", where)
    _, layout, n = _HEAD.unpack_from(data)
    if layout != LAYOUT:
        raise _damaged(f"has layout {layout}; this pytrain reads {LAYOUT}", where)
    if n > MAX_BODY or len(data) != _HEAD.size + n + _SUM:
        raise _damaged(f"has {len(data)} bytes; its head says {_HEAD.size + n + _SUM}", where)
    if hashlib.sha256(data[:-_SUM]).digest() != data[-_SUM:]:
        raise _damaged("does not match its checksum", where)
    try:
        body = msgpack.unpackb(data[_HEAD.size : -_SUM], object_pairs_hook=_map, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as e:
        raise _damaged(f"holds a body that is no msgpack map: {e}", where) from e
    b = _checked(body, _BODY, where, "the body")
    if b["kind"] not in ("classifier", "prior"):
        raise _damaged(f"kind is {b['kind']!r}", where)
    golden = _checked(b["golden"], _GOLDEN, where, "golden")
    found = Classifier(
        **{key: value for key, value in b.items() if key not in ("features", "golden")},
        features=tuple(_feature(f, where) for f in b["features"]),
        golden=Golden(
            _texts(golden["fields"], where, "golden fields"),
            tuple(_texts(p, where, "a golden profile") for p in golden["profiles"]),
            _floats(golden["probabilities"], where, "golden probabilities"),
        ),
    )
    found.check(where)
    return found


def read(path: Path) -> Classifier:
    """Read a file; see `unpack`."""
    try:
        if path.stat().st_size > _HEAD.size + MAX_BODY + _SUM:
            raise _damaged("is larger than a classifier file may be", str(path))
        data = path.read_bytes()
    except OSError as e:
        raise ClassifierError(
            f"cannot be read: {e.strerror or e}", where=str(path), remedy="name a file that exists"
        ) from e
    return unpack(data, where=str(path))


@functools.lru_cache(maxsize=2)
def read_prior(path: Path) -> Classifier:
    """Read a prior's file once a process; its content never changes."""
    return read(path)


def check_golden(classifier: Classifier, prior: Classifier | None, *, where: str) -> None:
    """Compare the golden probabilities with those computed here, as every reader does.

    Raises
    ------
    ClassifierError
        One differs by more than 1e-6.
    """
    error = classifier.golden_error(prior)
    if error > GOLDEN_TOLERANCE:
        raise _damaged(f"has golden probabilities that differ from ours by {error:.1e}", where)


def write(directory: Path, classifier: Classifier) -> Path:
    """Write a classifier's file whole into a directory, in place of the one before; return its path.

    Raises
    ------
    ClassifierError
        The contract does not allow it.
    ConfigError
        The file system refuses.
    """
    path = directory / file_name(classifier)
    data = pack(classifier, where=str(path))
    aside = directory / ASIDE / f"{path.name}.{os.getpid()}"
    try:
        aside.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_directory(directory)
    except OSError as e:
        raise ConfigError(
            f"cannot be written: {e.strerror or e}", where=str(path), remedy="check space, owner and permissions"
        ) from e
    return path


def remove_leftovers(directory: Path) -> None:
    """Remove what killed writers left aside. The caller is the only writer."""
    with contextlib.suppress(FileNotFoundError):
        for path in (directory / ASIDE).iterdir():
            path.unlink(missing_ok=True)


def listed(directory: Path) -> list[Path]:
    """Return the classifier files of a directory, priors too, by name; none if it is absent."""
    if not directory.is_dir():
        return []
    return sorted(p for p in directory.iterdir() if p.name.endswith(SUFFIX) and not p.name.startswith("."))


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _checked(value: object, keys: dict[str, type], where: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _damaged(f"{what} is no map", where)
    for key in keys.keys() - value.keys():
        raise _damaged(f"{what} lacks {key}", where)
    for key in value.keys() - keys.keys():
        raise _damaged(f"{what} has the unknown key {key!r}", where)
    for key, kind in keys.items():
        if type(value[key]) is not kind:
            raise _damaged(f"{key} of {what} is {type(value[key]).__name__}, not {kind.__name__}", where)
    return value


def _feature(value: object, where: str) -> Feature:
    f = _checked(value, _FEATURE, where, "a feature")
    what = f"feature {f['name']!r}"
    return Feature(
        name=f["name"],
        of=_texts(f["of"], where, what),
        values=_texts(f["values"], where, what),
        weights=_floats(f["weights"], where, what),
        other=f["other"],
    )


def _texts(values: object, where: str, what: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise _damaged(f"{what} holds what is no text", where)
    return tuple(values)


def _floats(data: bytes, where: str, what: str) -> Any:
    if len(data) % 8:
        raise _damaged(f"{what} has {len(data)} bytes of float64", where)
    return np.frombuffer(data, "<f8")


def _damaged(fault: str, where: str) -> ClassifierError:
    return ClassifierError(fault, where=where, remedy="train the campaign again; a damaged file never serves")


def priors(directory: Path) -> Iterator[Path]:
    """Yield the priors' files."""
    return (p for p in listed(directory) if p.name.startswith("prior."))
