from __future__ import annotations

import json
import logging
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytrain.checkpoint import CheckpointDir, State, owned
from pytrain.errors import CheckpointError

LOG = logging.getLogger("test")
ROOT = Path(__file__).parents[2]


def state(rows: int) -> State:
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "table": np.arange(rows, rows + 12, dtype=np.float32).reshape(4, 3),
        "bias": np.array(0.5, np.float32),
        "step": np.array(rows, np.int64),
        "none": np.empty((0, 3), np.float32),
    }
    return State(tensors, rows=rows, pos={"seq": rows, "b": b"\x00\xff"}, from_ms=5, to_ms=9)


def directory(path: Path, fingerprint: str = "f") -> CheckpointDir:
    return CheckpointDir(path, fingerprint=fingerprint, log=LOG)


def assert_is(got: State | None, rows: int) -> None:
    assert got is not None
    want = state(rows)
    assert (got.rows, got.pos, got.from_ms, got.to_ms) == (want.rows, want.pos, want.from_ms, want.to_ms)
    assert got.tensors.keys() == want.tensors.keys()
    for name, tensor in want.tensors.items():
        assert got.tensors[name].dtype == tensor.dtype
        assert got.tensors[name].shape == tensor.shape
        np.testing.assert_array_equal(got.tensors[name], tensor)


def test_none_at_first_and_the_last_two_are_kept(tmp_path: Path) -> None:
    d = directory(tmp_path / "c")
    assert d.load() is None
    for rows in (1, 2, 3):
        d.save(state(rows))
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["000000000002.ckpt", "000000000003.ckpt"]
    assert_is(directory(tmp_path / "c").load(), 3)


def test_the_layout_is_safetensors(tmp_path: Path) -> None:
    raw = directory(tmp_path).save(state(4)).read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    assert length % 8 == 0
    assert all(isinstance(v, str) for v in header["__metadata__"].values())
    assert header["table"] == {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]}
    assert data[:48] == state(4).tensors["table"].tobytes()
    assert max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__") == len(data)


@pytest.mark.parametrize("place", [0, 3, 9, 40, 150, -30, -1])
def test_any_flipped_byte_falls_back(tmp_path: Path, place: int, caplog: pytest.LogCaptureFixture) -> None:
    d = directory(tmp_path)
    d.save(state(1))
    path = d.save(state(2))
    data = bytearray(path.read_bytes())
    data[place] ^= 0x01
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert_is(directory(tmp_path).load(), 1)
    assert f"{path} is damaged" in caplog.text


@pytest.mark.parametrize("size", [0, 5, 8, 100, -1])
def test_any_cut_falls_back(tmp_path: Path, size: int) -> None:
    d = directory(tmp_path)
    d.save(state(1))
    path = d.save(state(2))
    path.write_bytes(path.read_bytes()[:size])
    assert_is(directory(tmp_path).load(), 1)
    directory(tmp_path).save(state(5))  # and goes on above the damaged one
    assert_is(directory(tmp_path).load(), 5)


def test_all_damaged_is_refused_rather_than_begun_anew(tmp_path: Path) -> None:
    directory(tmp_path).save(state(1)).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"no checkpoint can be read: 000000000001\.ckpt") as caught:
        directory(tmp_path).load()
    assert "remove the directory" in caught.value.remedy


def test_another_model_is_refused(tmp_path: Path) -> None:
    directory(tmp_path).save(state(1))
    with pytest.raises(CheckpointError, match="another architecture"):
        directory(tmp_path, "g").load()


def test_what_a_kill_left_aside_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".aside-9").write_bytes(b"half")
    assert directory(tmp_path).load() is None
    assert list(tmp_path.iterdir()) == []


def test_not_writable_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be used"):
        directory(tmp_path / "file")


# Owns the directory it is told, says so, and goes on until it is killed.
OWNER = """
import logging, pathlib, sys, time
from pytrain.checkpoint import owned
with owned(pathlib.Path(sys.argv[1]), log=logging.getLogger()):
    print("owned", flush=True)
    time.sleep(60)
"""


def test_one_process_owns_a_directory_until_it_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    d = tmp_path / "made" / "ctr"
    with subprocess.Popen([sys.executable, "-c", OWNER, d], stdout=subprocess.PIPE, cwd=ROOT) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"owned\n"
            with pytest.raises(CheckpointError) as fault, owned(d, log=LOG, wait_seconds=0):
                pytest.fail("owned twice")
            assert (fault.value.exit_code, fault.value.where) == (2, str(d))
            assert "another pytrain" in fault.value.message
            assert "--checkpoint-dir" in fault.value.remedy

            caplog.clear()
            killer = threading.Timer(0.2, os.kill, (owner.pid, signal.SIGKILL))
            killer.start()
            with owned(d, log=LOG, wait_seconds=30):  # the successor's turn, once the owner is gone
                killer.join()
                assert owner.wait(10) == -signal.SIGKILL
            assert "waiting up to 30 s" in caplog.text
        finally:
            owner.kill()
    with owned(d, log=LOG, wait_seconds=0):  # the file that is left does not count
        directory(d).save(state(1))
        assert_is(directory(d).load(), 1)


def test_a_directory_that_cannot_be_owned_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="file/c: cannot be used"), owned(tmp_path / "file" / "c", log=LOG):
        pytest.fail("owned")
