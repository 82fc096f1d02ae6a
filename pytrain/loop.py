"""The training loop: frames in, answers out. It does not import TensorFlow; the learner is an argument.

    reader thread ──bounded queue──► re-batch ──► predict, learn ──► window ──► progress
                                                └─► checkpoint, export, stop

What a position covers. Rows wait in `_pending` until there are `batch_rows` of them. A checkpoint or export first
learns the waiting rows as a smaller batch. Then the position of the last rows frame covers exactly the rows learnt. So
no example is lost, and none is learnt twice after a kill. Batches depend only on the frames: on the rows, and on where
checkpoint and export frames are among them. So the same frames give the same weights, with or without a restart at a
checkpoint.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pytrain import frames as fr
from pytrain.checkpoint import State
from pytrain.errors import StreamError
from pytrain.metrics import Summary, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    import numpy.typing as npt

    from pytrain.checkpoint import CheckpointDir
    from pytrain.recipe import Recipe

PROGRESS_SECONDS = 5.0


class Learner(Protocol):
    """The learner that the loop trains."""

    def learn(self, x: fr.Int32s, y: fr.Float32s, w: fr.Float32s) -> fr.Float32s:
        """Return the probabilities (n,) of rows x (n, F) as they were before this update; then learn from the rows."""
        ...

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return weights, slots and counters by name."""
        ...

    def restore(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore what `state` returned."""
        ...


@dataclass(frozen=True)
class Learnt:
    """The examples that an exported version was learnt from."""

    rows: int
    pos: object
    from_ms: int
    to_ms: int
    metrics: dict[str, int | float | None]


class Exporter(Protocol):
    """Writes model versions."""

    def __call__(self, version: int, learnt: Learnt) -> Path:
        """Write one complete, synced version directory and return its path."""
        ...


class FrameQueue:
    """Reads frames in a background thread, at most `capacity` ahead of the learner.

    The thread ends at the end of the stream, at its first error, or with the process (it is a daemon, blocked in a
    read that nothing else can end).
    """

    def __init__(self, frames: Iterator[fr.Frame], *, capacity: int = 32) -> None:
        self._items: queue.SimpleQueue[fr.Frame | Exception] = queue.SimpleQueue()
        self._room = threading.Semaphore(capacity)
        self._stopping = False
        self._thread = threading.Thread(target=self._read_loop, args=(frames,), name="read-frames", daemon=True)
        self._thread.start()

    def _read_loop(self, frames: Iterator[fr.Frame]) -> None:
        try:
            for frame in frames:
                self._room.acquire()
                self._items.put(frame)
            self._items.put(fr.Stop())
        except Exception as e:  # noqa: BLE001 - raised again by get, in the learner's thread
            self._items.put(e)

    def get(self) -> fr.Frame:
        """Wait for the next frame; a Stop once `stop` was called or the stream ended.

        Raises
        ------
        StreamError
            The stream is broken from here on.
        """
        if not self._stopping:
            item = self._items.get()
            if isinstance(item, Exception):
                raise item
            self._room.release()
            if not self._stopping:
                return item
        return fr.Stop()

    def stop(self) -> None:
        """Make every `get` from now on, a waiting one too, return Stop. Safe in a signal handler."""
        self._stopping = True
        self._items.put(fr.Stop())


class Trainer:
    """One run of `pytrain fit`: owns the learner, the checkpoints and the answers.

    Parameters
    ----------
    recipe
        Sizes and cadence.
    learner, checkpoints, export
        The learner, the store of its state, and the function that writes a version.
    answer
        Takes each encoded answer; it must write it whole.
    now
        Seconds of a monotonic clock, for the cadence of progress.
    """

    def __init__(
        self,
        recipe: Recipe,
        learner: Learner,
        *,
        checkpoints: CheckpointDir,
        export: Exporter,
        answer: Callable[[bytes], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recipe = recipe
        self._learner = learner
        self._checkpoints = checkpoints
        self._export = export
        self._answer = answer
        self._now = now
        self._window = Window(recipe.training.window_rows)
        self._pending: list[tuple[fr.Rows, bool]] = []  # parts of frames, and whether each is its frame's last
        self._pending_rows = 0
        self._rows = 0
        self._pos: object = None
        self._from_ms = self._to_ms = 0
        self._last: Summary | None = None  # of the last full window
        self._unsent = False  # the last window has not been reported
        self._progress_at = -PROGRESS_SECONDS
        self._saved: tuple[int, object] | None = None  # what the newest checkpoint covers

    @property
    def rows(self) -> int:
        """Examples learnt so far, those before a restart included."""
        return self._rows

    def resume(self) -> None:
        """Restore the newest checkpoint, if there is one, and send hello."""
        state = self._checkpoints.load()
        if state is not None:
            self._learner.restore(state.tensors)
            self._rows, self._pos = state.rows, state.pos
            self._from_ms, self._to_ms = state.from_ms, state.to_ms
            self._saved = (self._rows, self._pos)
        space = self._recipe.space
        self._send(
            "hello",
            protocol=fr.PROTOCOL,
            model=self._recipe.model,
            row_len=space.row_len,
            table_rows=space.table_rows,
            rows=self._rows,
            pos=self._pos,
        )

    def run(self, next_frame: Callable[[], fr.Frame]) -> None:
        """Learn until a Stop.

        Raises
        ------
        StreamError
            The stream broke; every whole frame before that is learnt and checkpointed.
        """
        try:
            while self.step(next_frame()):
                pass
        except StreamError:
            self.checkpoint()
            raise

    def step(self, frame: fr.Frame) -> bool:
        """Take one frame; False after a Stop."""
        match frame:
            case fr.Rows():
                self._take(frame)
            case fr.Checkpoint():
                self.checkpoint()
            case fr.Export(version=version):
                self._flush()
                metrics = self.metrics().wire()
                learnt = Learnt(self._rows, self._pos, self._from_ms, self._to_ms, metrics)
                path = self._export(version, learnt)
                self._send("exported", version=version, path=str(path), rows=self._rows, pos=self._pos, metrics=metrics)
            case fr.Stop():
                self._flush()
                if self._unsent:
                    self._report()
                self.checkpoint()
                return False
        return True

    def metrics(self) -> Summary:
        """Return the metrics of the last full window, or of the rows so far if there is none yet."""
        return self._last or self._window.summary()

    def checkpoint(self) -> None:
        """Learn the waiting rows, save everything unless it is saved already, and send the answer."""
        self._flush()
        if self._saved != (self._rows, self._pos):
            state = State(self._learner.state(), self._rows, self._pos, self._from_ms, self._to_ms)
            self._checkpoints.save(state)
            self._saved = (self._rows, self._pos)
        self._send("checkpointed", rows=self._rows, pos=self._pos)

    def _take(self, rows: fr.Rows) -> None:
        """Queue a frame's rows, and learn every full batch."""
        size = self._recipe.training.batch_rows
        begin = 0
        while self._pending_rows + len(rows) - begin >= size:
            end = begin + size - self._pending_rows
            self._pend(rows, begin, end)
            self._flush()
            begin = end
        if begin < len(rows) or not len(rows):
            self._pend(rows, begin, len(rows))

    def _pend(self, rows: fr.Rows, begin: int, end: int) -> None:
        part = slice(begin, end)
        columns = fr.Rows(rows.x[part], rows.y[part], rows.w[part], rows.t[part], rows.pos)
        self._pending.append((columns, end == len(rows)))
        self._pending_rows += end - begin

    def _flush(self) -> None:
        """Learn the waiting rows as one batch. The position moves to the last frame that is then complete."""
        pending, self._pending, waited, self._pending_rows = self._pending, [], self._pending_rows, 0
        if waited:
            columns = zip(*((r.x, r.y, r.w, r.t) for r, _ in pending), strict=True)
            self._learn(*(np.concatenate(c) if len(c) > 1 else c[0] for c in columns))
        for rows, completes in pending:
            if completes:
                self._pos = rows.pos
        if self._unsent and self._now() - self._progress_at >= PROGRESS_SECONDS:
            self._report()

    def _learn(self, x: fr.Int32s, y: fr.Float32s, w: fr.Float32s, t: fr.Int64s) -> None:
        p = self._learner.learn(x, y, w)  # (n,), from before the update
        known = t[t > 0]
        if len(known):
            low, high = int(known.min()), int(known.max())
            self._from_ms = min(self._from_ms, low) if self._from_ms else low
            self._to_ms = max(self._to_ms, high)
        self._rows += len(y)
        for summary in self._window.add(y, p, w):
            self._last, self._unsent = summary, True

    def _report(self) -> None:
        assert self._last is not None  # noqa: S101 - _unsent says so
        self._send("progress", rows=self._rows, pos=self._pos, metrics=self._last.wire())
        self._progress_at, self._unsent = self._now(), False

    def _send(self, kind: str, **values: object) -> None:
        self._answer(fr.pack_control(kind, **values))
