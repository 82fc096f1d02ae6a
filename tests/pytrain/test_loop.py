"""The training loop with a learner that counts: no TensorFlow."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytrain import frames as fr
from pytrain.checkpoint import CheckpointDir
from pytrain.errors import BadFrame, TruncatedStream
from pytrain.loop import FrameQueue, Learnt, Trainer
from tests.pytrain.conftest import CountingLearner, make_recipe, random_x

RECIPE = make_recipe(buckets=5000, batch_rows=64)  # window of 200 rows


class Run:
    """One life of a trainer over a directory of checkpoints."""

    def __init__(self, directory: Path, learner: CountingLearner | None = None) -> None:
        self.learner = learner or CountingLearner()
        self.answers: list[dict[str, Any]] = []
        self.exports: list[tuple[int, Learnt]] = []
        self.clock = 0.0
        self.trainer = Trainer(
            RECIPE,
            self.learner,
            checkpoints=CheckpointDir(directory, fingerprint="f", log=logging.getLogger("test")),
            export=self._export,
            answer=lambda data: self.answers.append(msgpack.unpackb(data)),
            now=lambda: self.clock,
        )
        self.trainer.resume()

    def _export(self, version: int, learnt: Learnt) -> Path:
        self.exports.append((version, learnt))
        return Path("/exports") / str(version)

    def feed(self, *frames: fr.Frame) -> None:
        stream = iter(frames)
        self.trainer.run(lambda: next(stream))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [a for a in self.answers if a["type"] == kind]


def rows(first: int, n: int, pos: object = None) -> fr.Rows:
    """Rows first … first + n − 1, each recognised by its first index."""
    x = random_x(RECIPE.space, n, missing=0)
    x[:, 0] = np.arange(first, first + n) + 1
    y = (np.arange(n) % 4 == 0).astype(np.float32)
    return fr.Rows(x, y, np.ones(n, np.float32), np.arange(first, first + n, dtype=np.int64) + 1000, pos)


def test_hello_checkpoint_export_stop(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.feed(rows(0, 100, pos=7), fr.Export(3), fr.Checkpoint(), rows(100, 30, pos=8), fr.Stop())
    hello = {"type": "hello", "protocol": 1, "model": "ctr", "row_len": 5, "table_rows": 15005, "rows": 0, "pos": None}
    assert run.answers[0] == hello
    exported, checkpointed, ended = run.answers[1:]
    assert exported["version"] == 3
    assert exported["path"] == "/exports/3"
    assert (exported["rows"], exported["pos"], exported["metrics"]["rows"]) == (100, 7, 100)
    assert checkpointed == {"type": "checkpointed", "rows": 100, "pos": 7}
    assert ended == {"type": "checkpointed", "rows": 130, "pos": 8}
    version, learnt = run.exports[0]
    assert (version, learnt.rows, learnt.pos, learnt.from_ms, learnt.to_ms) == (3, 100, 7, 1000, 1099)
    assert run.learner.batches == [64, 36, 30]


def test_batches_are_joined_and_split(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.feed(rows(0, 10), rows(10, 0), rows(10, 150), rows(160, 32), fr.Stop())
    assert run.learner.batches == [64, 64, 64]
    assert (run.learner.seen[1:193] == 1).all()


def test_progress_once_a_window_and_every_5_seconds_at_most(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def stream() -> Iterator[fr.Frame]:
        for i in range(20):  # 1,280 rows: six windows of 200
            run.clock = float(i)
            yield rows(i * 64, 64, pos=i)
        yield fr.Stop()

    frames = stream()
    run.trainer.run(lambda: next(frames))
    progress = run.of("progress")
    assert [p["rows"] for p in progress] == [256, 576, 896, 1216]  # the first windows ending at t = 3, then ≥ 5 s apart
    assert [p["pos"] for p in progress] == [3, 8, 13, 18]
    assert progress[0]["metrics"].keys() == {
        "rows",
        "log_loss",
        "normalized_entropy",
        "auc",
        "calibration",
        "base_rate",
    }
    assert progress[0]["metrics"]["calibration"] == pytest.approx(1)


def test_the_last_window_is_told_at_the_end(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.feed(rows(0, 256, pos=1), rows(256, 256, pos=2), fr.Stop())
    assert [a["type"] for a in run.answers] == ["hello", "progress", "progress", "checkpointed"]


def test_progress_never_claims_rows_that_wait(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.trainer.step(rows(0, 250, pos="first"))  # 192 learnt, 58 wait
    run.trainer.step(rows(250, 10, pos="second"))  # 256 learnt: "first" is covered, "second" is not
    assert [(p["rows"], p["pos"]) for p in run.of("progress")] == [(256, "first")]


def test_an_empty_frame_moves_the_position(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.feed(rows(0, 0, pos=5), fr.Checkpoint(), fr.Stop())
    assert run.of("checkpointed") == [{"type": "checkpointed", "rows": 0, "pos": 5}] * 2
    assert Run(tmp_path).answers[0]["pos"] == 5


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 150), min_size=1, max_size=12),
    checkpoints=st.sets(st.integers(0, 11)),
    kills=st.lists(st.integers(0, 12), max_size=4),
)
def test_every_example_is_learnt_exactly_once_across_kills(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], checkpoints: set[int], kills: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("checkpoints")
    firsts = np.cumsum([0, *sizes])
    frames = [rows(int(first), size, pos=i) for i, (first, size) in enumerate(zip(firsts, sizes, strict=False))]

    def life(end: int | None) -> CountingLearner:
        """From the checkpoint to frame `end`, then gone without a word; None: to a stop."""
        run = Run(directory)
        pos = run.answers[0]["pos"]
        for i in range(0 if pos is None else pos + 1, len(frames)):
            if end is not None and i >= end:
                return run.learner
            run.trainer.step(frames[i])
            if i in checkpoints:
                run.trainer.step(fr.Checkpoint())
                assert run.answers[-1]["pos"] == i
        run.trainer.step(fr.Stop())
        return run.learner

    for end in kills:
        life(end)
    learner = life(None)
    total = sum(sizes)
    assert (learner.seen[1 : total + 1] == 1).all()
    assert learner.seen.sum() == total
    assert Run(directory).answers[0]["rows"] == total


@pytest.mark.parametrize("error", [TruncatedStream, BadFrame])
def test_a_broken_stream_keeps_what_was_whole(tmp_path: Path, error: type[Exception]) -> None:
    run = Run(tmp_path)
    frames = iter([rows(0, 10, pos=1)])

    def next_frame() -> fr.Frame:
        for frame in frames:
            return frame
        raise error("x", where="w", remedy="r")  # type: ignore[call-arg]

    with pytest.raises(error):
        run.trainer.run(next_frame)
    assert run.answers[-1] == {"type": "checkpointed", "rows": 10, "pos": 1}
    assert Run(tmp_path).answers[0]["rows"] == 10


def test_the_same_position_is_not_written_twice(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.feed(rows(0, 10, pos=1), fr.Checkpoint(), fr.Checkpoint(), fr.Stop())
    assert len(run.of("checkpointed")) == 3
    assert len(list(tmp_path.glob("*.ckpt"))) == 1


def test_queue_is_bounded_and_ends_with_a_stop() -> None:
    taken = threading.Semaphore(0)
    ahead: list[int] = []

    def stream() -> Iterator[fr.Frame]:
        for i in range(20):
            ahead.append(i)
            taken.release()
            yield fr.Export(i + 1)

    queue = FrameQueue(stream(), capacity=4)
    for _ in range(5):  # four fit; the fifth is made and waits
        assert taken.acquire(timeout=10)
    assert not taken.acquire(timeout=0.05)
    assert ahead == [0, 1, 2, 3, 4]
    assert [queue.get() for _ in range(20)] == [fr.Export(i + 1) for i in range(20)]
    assert queue.get() == fr.Stop()


def test_queue_raises_the_readers_error_after_the_frames_before_it() -> None:
    def stream() -> Iterator[fr.Frame]:
        yield fr.Checkpoint()
        raise BadFrame("x", where="w", remedy="r")

    queue = FrameQueue(stream())
    assert queue.get() == fr.Checkpoint()
    with pytest.raises(BadFrame):
        queue.get()


def test_stop_wakes_a_waiting_get_and_passes_over_what_is_queued() -> None:
    closed = threading.Event()

    def stream() -> Iterator[fr.Frame]:
        yield fr.Checkpoint()
        yield fr.Checkpoint()
        closed.wait(10)

    queue = FrameQueue(stream())
    assert queue.get() == fr.Checkpoint()
    timer = threading.Thread(target=queue.stop)
    timer.start()
    timer.join()
    assert queue.get() == fr.Stop()
    assert queue.get() == fr.Stop()
    closed.set()


def test_the_loop_runs_without_tensorflow() -> None:
    code = "import sys, pytrain.loop, pytrain.cli; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
