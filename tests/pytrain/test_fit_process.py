"""`python -m pytrain fit` as the Go trainer runs it: a child process fed on stdin, killed, resumed."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from pytrain import frames as fr
from pytrain.checkpoint import CheckpointDir
from pytrain.cli_fit import exporter
from pytrain.errors import ExportError, VersionError
from pytrain.learner import Learner, fingerprint
from pytrain.loop import Learnt, Trainer
from pytrain.scoring import Version
from tests.pytrain.conftest import make_recipe, random_rows, random_x, recipe_yaml

pytestmark = pytest.mark.timeout(280)  # each start imports TensorFlow: seconds, on a busy machine tens
RECIPE = make_recipe("deepfm")
ROOT = Path(__file__).parents[2]


class Child:
    """One life of `pytrain fit`."""

    def __init__(self, directory: Path) -> None:
        recipe = directory / "recipe.yaml"
        recipe.write_text(recipe_yaml("deepfm"))
        self._log = (directory / "log").open("ab+")
        options: list[str | Path] = [
            "--recipe",
            recipe,
            "--checkpoint-dir",
            directory / "checkpoints",
            "--export-dir",
            directory / "exports",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytrain", "fit", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._unpacker = msgpack.Unpacker()

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.stdin.write(frame)
        self.stdin.flush()

    def answer(self, kind: str) -> dict[str, Any]:
        """Read on to the next answer of this kind; anything that is no frame fails."""
        while True:
            for answer in self._unpacker:
                assert isinstance(answer, dict), answer
                if answer["type"] == kind:
                    return answer
            data = os.read(self.stdout.fileno(), 1 << 16)
            assert data, f"ended without {kind}: {self.log()}"
            self._unpacker.feed(data)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def ends(self) -> int:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        rest = self.stdout.read()
        self._unpacker.feed(rest)
        return self.process.wait(60)


@contextlib.contextmanager
def child(directory: Path) -> Iterator[Child]:
    c = Child(directory)
    try:
        yield c
    finally:
        c.process.kill()
        c.process.wait()
        c.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            c.stdin.close()
        c._log.close()


CHECKPOINT, EXPORT = fr.pack_control("checkpoint"), fr.pack_control("export", version=1)


def rows(i: int) -> bytes:
    return fr.pack_rows(random_rows(RECIPE.space, 100, seed=i, pos={"seq": i}))


def uninterrupted(directory: Path, frames: list[bytes]) -> Learner:
    learner = Learner(RECIPE)
    checkpoints = CheckpointDir(directory, fingerprint="f", log=logging.getLogger("test"))
    trainer = Trainer(RECIPE, learner, checkpoints=checkpoints, export=lambda *_: directory, answer=lambda _: None)
    for i, raw in enumerate(frames):
        trainer.step(fr.parse_frame(msgpack.unpackb(raw), RECIPE.space, number=i))
    return learner


@pytest.mark.usefixtures("one_thread")
def test_killed_resumed_stopped_and_broken(tmp_path: Path) -> None:
    with child(tmp_path) as c:
        hello = c.answer("hello")
        assert (hello["protocol"], hello["model"], hello["rows"], hello["pos"]) == (1, "ctr", 0, None)
        assert (hello["row_len"], hello["table_rows"]) == (RECIPE.space.row_len, RECIPE.space.table_rows)
        c.send(rows(1), rows(2), rows(3), CHECKPOINT)
        checkpointed = c.answer("checkpointed")
        assert (checkpointed["rows"], checkpointed["pos"]) == (300, {"seq": 3})
        c.send(rows(4), rows(5), EXPORT)
        assert c.answer("exported")["rows"] == 500  # learnt and exported, but in no checkpoint
        c.process.kill()  # kill -9

    with child(tmp_path) as c:
        hello = c.answer("hello")
        assert (hello["rows"], hello["pos"]) == (300, {"seq": 3})
        c.process.send_signal(signal.SIGINT)  # the parent's Ctrl-C: not ours to act on
        c.send(rows(4), rows(5), EXPORT)  # replaces what the killed life left
        exported = c.answer("exported")
        assert (exported["version"], exported["rows"], exported["pos"]) == (1, 500, {"seq": 5})
        assert exported["path"] == str(tmp_path / "exports" / "1")
        c.process.send_signal(signal.SIGTERM)
        ended = c.answer("checkpointed")
        assert (ended["rows"], ended["pos"]) == (500, {"seq": 5})
        assert c.process.wait(60) == 0  # though stdin is still open

    version = Version(Path(exported["path"]))
    assert version.manifest.training.position == {"seq": 5}
    x = random_x(RECIPE.space, 500, seed=99)
    # Had a row been lost or learnt twice, the weights would differ.
    whole = uninterrupted(tmp_path / "whole", [rows(1), rows(2), rows(3), CHECKPOINT, rows(4), rows(5), EXPORT])
    log = logging.getLogger("test")
    state = CheckpointDir(tmp_path / "checkpoints", fingerprint=fingerprint(RECIPE), log=log).load()
    assert state is not None
    learner = Learner(RECIPE)
    learner.restore(state.tensors)
    for name, tensor in whole.state().items():
        np.testing.assert_array_equal(tensor, learner.state()[name], err_msg=name)
    np.testing.assert_allclose(version.score(x), whole.predict(x), atol=1e-6)

    with child(tmp_path) as c:
        c.answer("hello")
        c.send(rows(6) + rows(7)[:500])
        assert c.stdin.close() is None
        assert c.answer("checkpointed")["pos"] == {"seq": 6}
        error = c.answer("error")
        assert error["where"].startswith("frame 2 at byte ")
        assert "ended 500 bytes into it" in error["message"]
        assert error["remedy"]
        assert c.ends() == 3
        assert "frame 2 at byte" in c.log()


def test_end_of_stdin_is_a_stop_and_a_fault_of_configuration_exits_2(tmp_path: Path) -> None:
    with child(tmp_path) as c:
        c.answer("hello")
        c.send(rows(1))
        c.stdin.close()
        assert c.answer("checkpointed")["pos"] == {"seq": 1}
        assert c.ends() == 0

    (tmp_path / "recipe.yaml").write_text("model: ctr\n")
    broken = subprocess.run(
        [sys.executable, "-m", "pytrain", "fit", "--recipe", tmp_path / "recipe.yaml", "--checkpoint-dir", tmp_path,
         "--export-dir", tmp_path],
        stdin=subprocess.DEVNULL, capture_output=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert broken.returncode == 2
    error = msgpack.unpackb(broken.stdout)
    assert error["type"] == "error"
    assert error["where"] == str(tmp_path / "recipe.yaml")
    assert "label: is missing" in error["message"]
    assert b"label: is missing" in broken.stderr


def test_nothing_but_answers_reaches_stdout() -> None:
    code = """
import os, sys
from pytrain.answers import Answers
answers = Answers()
print("stray"); sys.stdout.flush(); os.system("echo stray too"); os.write(1, b"and a C library's")
answers.write(b"answer")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=True)
    assert done.stdout == b"answer"
    assert done.stderr.count(b"stray") == 2


@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device"), VersionError("is off", where="w", remedy="r")]
)
def test_a_version_that_cannot_be_written_is_no_refusal(tmp_path: Path, fault: Exception) -> None:
    def write(*_: object) -> None:
        raise fault

    with pytest.raises(ExportError, match="version 7 was not exported") as caught:
        exporter(write, tmp_path)(7, Learnt(1, None, 0, 0, {}))
    assert caught.value.exit_code == 1  # 2 would tell the trainer that starting again is in vain
    assert not (tmp_path / "7").exists()
