"""A worker: holds classifiers, scores batches of tasks by each estimator's own predict_proba, linear ones together."""

from __future__ import annotations

import gc
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import sklearn
from scipy.sparse import csr_matrix

from pytrain.errors import BadFrame
from pytrain.workers import linear, prepared, protocol
from pytrain.workers.configure import configure

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrain.answers import Answers
    from pytrain.workers.protocol import Float64s

MAX_FAULT = 500  # characters of a task's fault
_log = logging.getLogger(__name__)


def serve(stream: BinaryIO, answers: Answers) -> None:
    """Answer batches, one after the other."""
    worker = Worker()
    configure()
    answers.write(protocol.hello())
    for frame in protocol.read_frames(stream):
        if isinstance(frame, protocol.Stop):
            return
        if not isinstance(frame, protocol.Batch):
            raise BadFrame("an estimator to prepare came", where="stdin", remedy="send it to the preparer")
        answers.write(worker.answer(frame))


class Classifier:
    """A loaded estimator with the shape of its rows."""

    def __init__(self, p: prepared.Prepared) -> None:
        self.predict: Callable[[Any], Any] = p.estimator.predict_proba
        self.outputs = p.outputs
        self.positive = p.positive
        self.width = p.width
        self.dtype = np.dtype(p.dtype)
        self.columns = p.columns
        self.named = p.rows == "table" and getattr(p.estimator, "feature_names_in_", None) is not None
        self.linear = linear.of(p.estimator) if p.linear else None
        # One sparse row whose arrays are replaced for each task: to construct a matrix costs as much as to score it.
        self.row: Any = csr_matrix((1, p.width), dtype=self.dtype) if p.rows == "one-hot" else None

    def probabilities(self, rows: Any) -> Float64s:
        """Score m rows; the result is (m, outputs)."""
        p = np.asarray(self.predict(rows), dtype=np.float64)
        return p if self.positive < 0 else p[:, self.positive : self.positive + 1]


class Worker:
    """The classifiers of one process."""

    def __init__(self) -> None:
        self._classifiers: dict[int, Classifier] = {}

    def answer(self, batch: protocol.Batch) -> bytes:
        """Load, score, drop."""
        loads = [(key, self._load(key, path)) for key, path in batch.load]
        if loads:
            gc.freeze()  # collections need not look at estimators
        run = Run(batch)
        us = np.zeros(len(batch.keys), np.float32)
        clock = time.perf_counter
        began = clock()
        together: list[tuple[int, linear.Linear, Classifier]] = []
        for key, tasks in run.by_key().items():
            c = self._classifiers.get(key)
            if c is None:
                run.faults += [(task, "the classifier is not loaded") for task in tasks]
                continue
            if c.linear is not None:
                together += [(task, c.linear, c) for task in tasks]
                continue
            run.score(c, tasks)
            now = clock()
            us[tasks] = (now - began) * 1e6 / len(tasks)
            began = now
        if together:
            run.score_linear(together)
            us[[task for task, _, _ in together]] = (clock() - began) * 1e6 / len(together)
        for key in batch.drop:
            self._classifiers.pop(key, None)
        p = run.probabilities()
        return protocol.scored(batch.seq, p, us, run.faults, loads)

    def _load(self, key: int, path: str) -> str:
        try:
            self._classifiers[key] = Classifier(prepared.load(Path(path)))
        except Exception as e:  # noqa: BLE001 - out of memory, or a class that cannot be imported here
            _log.warning("%s cannot be loaded: %s", path, e)
            return _words(e)
        return ""


class Run:
    """The tasks of a batch, their results and faults."""

    def __init__(self, batch: protocol.Batch) -> None:
        self._batch = batch
        self._values = batch.values if len(batch.values) else np.ones(len(batch.indices))
        self._narrow: Any = None  # the values in float32, if any classifier wants them
        self._begins = [0, *batch.ends[:-1].tolist()]
        self._ends = batch.ends.tolist()
        self._results: list[Float64s | None] = [None] * len(batch.keys)
        self.faults: list[tuple[int, str]] = []

    def by_key(self) -> dict[int, list[int]]:
        """Return the tasks of each classifier."""
        groups: dict[int, list[int]] = {}
        for task, key in enumerate(self._batch.keys.tolist()):
            groups.setdefault(key, []).append(task)
        return groups

    def score(self, c: Classifier, tasks: list[int]) -> None:
        """Score tasks of one classifier in one call; each alone if one of them makes that call fail."""
        try:
            self._call(c, tasks)
        except Exception as e:  # noqa: BLE001 - estimators may raise anything
            if len(tasks) == 1:
                self.faults.append((tasks[0], _words(e)))
            else:
                for task in tasks:
                    self.score(c, [task])

    def score_linear(self, together: list[tuple[int, linear.Linear, Classifier]]) -> None:
        """Score tasks of linear classifiers in one sum."""
        spans = [slice(self._begins[task], self._ends[task]) for task, _, _ in together]
        values = None
        if len(self._batch.values):
            values = np.concatenate([self._batch.values[s] for s in spans])
        of = [own for _, own, _ in together]
        both = linear.probabilities(of, [self._batch.indices[s] for s in spans], values)
        for (task, _, c), p in zip(together, both, strict=True):
            self._results[task] = p if c.positive < 0 else p[c.positive : c.positive + 1]

    def probabilities(self) -> Float64s:
        """Return the results of the tasks that did not fail; those that are not finite have failed."""
        failed = {task for task, _ in self.faults}
        done = [(task, p) for task, p in enumerate(self._results) if task not in failed and p is not None]
        whole = np.concatenate([p for _, p in done]) if done else np.empty(0)
        if len(done) + len(failed) == len(self._results) and np.isfinite(whole).all():
            return whole
        finite = {task: p for task, p in done if np.isfinite(p).all()}
        for task in range(len(self._results)):
            if task not in failed and task not in finite:
                self.faults.append((task, "the probability is not finite"))
        return np.concatenate(list(finite.values())) if finite else np.empty(0)

    def _call(self, c: Classifier, tasks: list[int]) -> None:
        if c.row is None:
            # These rows hold what users gave, so scikit-learn checks them as it always does.
            with sklearn.config_context(assume_finite=False):
                p = c.probabilities(_table(c, [self._batch.tables[task] for task in tasks]))
        elif len(tasks) == 1:
            begin, end = self._begins[tasks[0]], self._ends[tasks[0]]
            row = c.row
            row.data, row.indices = self._data(c)[begin:end], self._batch.indices[begin:end]
            row.indptr = np.array((0, end - begin), np.int32)
            p = c.probabilities(row)
        else:
            spans = [slice(self._begins[task], self._ends[task]) for task in tasks]
            indptr = np.zeros(len(tasks) + 1, np.int32)
            np.cumsum([s.stop - s.start for s in spans], out=indptr[1:])
            indices = np.concatenate([self._batch.indices[s] for s in spans])
            data = np.concatenate([self._data(c)[s] for s in spans])
            p = c.probabilities(csr_matrix((data, indices, indptr), (len(tasks), c.width)))
        for i, task in enumerate(tasks):
            self._results[task] = p[i]

    def _data(self, c: Classifier) -> Any:
        if c.dtype == np.float64:
            return self._values
        if self._narrow is None:
            self._narrow = self._values.astype(np.float32)
        return self._narrow


def _table(c: Classifier, rows: list[list[Any]]) -> Any:
    """Return rows as scikit-learn was given them in training: a frame with names, or an array without."""
    types = {"text": object, "float64": np.float64, "int64": np.int64}
    columns = [np.array([row[i] for row in rows], types[kind]) for i, (_, kind) in enumerate(c.columns)]
    if not c.named:
        numbers = all(kind != "text" for _, kind in c.columns)
        return np.stack([column.astype(np.float64 if numbers else object) for column in columns], axis=1)
    import pandas as pd  # noqa: PLC0415 - only some workers need it

    return pd.DataFrame({name: column for (name, _), column in zip(c.columns, columns, strict=True)}, copy=False)


def _words(e: Exception) -> str:
    return f"{type(e).__name__}: {e}"[:MAX_FAULT]
