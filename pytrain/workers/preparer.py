"""The preparer: reads estimators, checks them, and writes prepared files.

It is a process of its own, so that reading takes no time from workers, and an estimator that breaks its reader breaks
nothing else.
"""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import joblib

from pytrain.errors import BadFrame, InputError, PytrainError
from pytrain.skops_file import load_skops
from pytrain.workers import linear, protocol
from pytrain.workers.configure import configure
from pytrain.workers.prepared import Prepared, load, write

if TYPE_CHECKING:
    from pytrain.answers import Answers

PICKLES = (".joblib", ".pkl", ".pickle")
_log = logging.getLogger(__name__)


def serve(stream: BinaryIO, answers: Answers) -> None:
    """Answer prepare frames, one after the other."""
    configure()
    answers.write(protocol.hello())
    for frame in protocol.read_frames(stream):
        if isinstance(frame, protocol.Stop):
            return
        if not isinstance(frame, protocol.Prepare):
            raise BadFrame("a batch came", where="stdin", remedy="send batches to workers")
        answers.write(answer(frame))


def answer(frame: protocol.Prepare) -> bytes:
    """Prepare one estimator."""
    to = Path(frame.to)
    try:
        prepared, labels = prepare(frame)
        size = write(to, prepared)
        load(to)  # what a worker will do
    except PytrainError as e:
        return _failed(frame, to, str(e))
    except Exception as e:  # noqa: BLE001 - estimators and their pickles may raise anything
        _log.warning("%s cannot be prepared", frame.path, exc_info=True)
        return _failed(frame, to, f"{frame.path}: {type(e).__name__}: {e}"[:1000])
    return protocol.prepared(frame.seq, size=size, labels=labels, error="")


def _failed(frame: protocol.Prepare, to: Path, error: str) -> bytes:
    to.unlink(missing_ok=True)
    return protocol.prepared(frame.seq, size=0, labels=[], error=error)


def prepare(frame: protocol.Prepare) -> tuple[Prepared, list[str]]:
    """Read an estimator and check it; the second result is its classes.

    Raises
    ------
    InputError
        The file is damaged, may not be read, or holds something else than a fitted classifier for such rows.
    """
    path = Path(frame.path)
    estimator = _read(path, frame)
    where = str(path)
    if not callable(getattr(estimator, "predict_proba", None)):
        raise InputError(
            f"holds a {type(estimator).__name__} without predict_proba", where=where, remedy="write a classifier"
        )
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise InputError("is not fitted: it has no classes_", where=where, remedy="fit it before it is written")
    labels = [str(label) for label in classes]
    if frame.positive >= len(labels):
        raise InputError(
            f"has the classes {', '.join(labels)}; the positive one was to be number {frame.positive}",
            where=where,
            remedy="fit it on rows of both classes",
        )
    expected = getattr(estimator, "n_features_in_", None)
    columns = frame.width if frame.rows == "one-hot" else len(frame.columns)
    if expected is not None and expected != columns:
        raise InputError(f"takes {expected} columns, described are {columns}", where=where, remedy="describe the same")
    names = getattr(estimator, "feature_names_in_", None)
    described = [name for name, _ in frame.columns]
    if frame.rows == "table" and names is not None and list(names) != described:
        raise InputError(
            f"takes the columns {', '.join(names)}, described are {', '.join(described)}",
            where=where,
            remedy="name them as they were when it was fitted, in that order",
        )
    outputs = 1 if frame.positive >= 0 else len(labels)
    prepared = Prepared(estimator, frame.rows, frame.width, frame.dtype, frame.columns, frame.positive, outputs)
    return replace(prepared, linear=linear.agrees(prepared)), labels


def _read(path: Path, frame: protocol.Prepare) -> Any:
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(
            f"cannot be read: {e.strerror or e}", where=str(path), remedy="write the estimator before its description"
        ) from e
    if hashlib.sha256(data).digest() != frame.sha256:
        raise InputError(
            "has another SHA-256 than its description says", where=str(path), remedy="write both files again"
        )
    if path.suffix not in PICKLES:
        return load_skops(
            path, remedy="name its directory as trusted and write it with joblib, or use an estimator of scikit-learn"
        )
    if not frame.trusted:
        raise InputError(
            "is a pickle, which can run any code; its directory is not trusted",
            where=str(path),
            remedy="write it with skops.io.dump, or set trusted for a directory that only its owner can write to",
        )
    return joblib.load(io.BytesIO(data))
