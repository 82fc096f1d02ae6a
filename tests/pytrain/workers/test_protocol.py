"""Frames that Go wrote are read; answers are pinned as Go reads them (internal/engine/workers/frame_test.go)."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrain.errors import BadFrame, TruncatedStream
from pytrain.workers import protocol

GOLDEN = Path(__file__).parents[2] / "golden/workers"
FRAMES = (GOLDEN / "frames.bin").read_bytes()


def test_frames() -> None:
    first, second, third, one_hot, table, stop = protocol.read_frames(io.BytesIO(FRAMES))
    assert isinstance(first, protocol.Batch)
    assert (first.seq, first.load, first.drop, len(first.keys)) == (1, [(7, "/cache/7"), (70_000, "/cache/ü")], [], 0)
    assert isinstance(second, protocol.Batch)
    assert second.drop == [7]
    assert second.keys.tolist() == [7, 70_000, 7]
    assert second.ends.tolist() == [2, 2, 5]
    assert second.indices.tolist() == [0, 300, 1, 2, 1 << 20]
    assert len(second.values) == 0
    assert isinstance(third, protocol.Batch)
    assert third.values.tolist() == [-0.5]
    assert third.tables == {1: ["DE", 1.5, -3]}
    assert one_hot == protocol.Prepare(
        seq=4,
        path="/d/c.joblib",
        to="/cache/9",
        sha256=bytes(range(32)),
        trusted=True,
        rows="one-hot",
        width=1800,
        dtype="float32",
        columns=[],
        positive=1,
    )
    assert isinstance(table, protocol.Prepare)
    assert (table.rows, table.columns) == ("table", [("country", "text"), ("age", "float64")])
    assert (table.dtype, table.positive, table.trusted) == ("float64", -1, False)
    assert stop == protocol.Stop()


def answers() -> bytes:
    hello = {"type": "hello", "protocol": protocol.PROTOCOL, "pid": 4711, "sklearn": "1.9.1", "threads": 1}
    return b"".join(
        [
            protocol.pack(hello),
            protocol.scored(
                2, np.array([0.1, 1 / 3]), np.array([80.5, 0, 2], np.float32), [(1, "ValueError: ü")], [(70_000, "")]
            ),
            protocol.scored(3, np.empty(0), np.empty(0, np.float32), [], [(7, "MemoryError: ")]),
            protocol.prepared(4, size=123_456, labels=["0", "1"], error=""),
            protocol.prepared(5, size=0, labels=[], error="no whole skops file"),
        ]
    )


def test_answers() -> None:
    assert (GOLDEN / "answers.bin").read_bytes() == answers()


def test_answers_are_what_their_text_says() -> None:
    """Compare answers.bin, which Go reads, with answers.json, which people read."""
    data, read = (GOLDEN / "answers.bin").read_bytes(), []
    while data:
        (size,) = struct.unpack("<I", data[:4])
        a = msgpack.unpackb(data[4 : 4 + size])
        data = data[4 + size :]
        if "p" in a:
            a["p"], a["us"] = np.frombuffer(a["p"]).tolist(), np.frombuffer(a["us"], np.float32).tolist()
        read.append({key: value or None for key, value in a.items()})
    wanted = json.loads((GOLDEN / "answers.json").read_text())
    assert read == [{key: value or None for key, value in a.items()} for a in wanted]


def frame(**changes: Any) -> bytes:
    raw: dict[str, Any] = {
        "type": "batch", "seq": 1, "load": [], "drop": [], "keys": b"\1\0\0\0", "ends": b"\1\0\0\0",
        "indices": b"\3\0\0\0", "values": b"", "tables": [],
    }  # fmt: skip
    return protocol.pack(raw | changes)


@pytest.mark.parametrize(
    "data",
    [
        frame(type="what"),
        frame(keys=b""),
        frame(ends=b"\2\0\0\0"),
        frame(indices=b"\3"),
        frame(values=bytes(16)),
        frame(keys=bytes(8), ends=b"\2\0\0\0\1\0\0\0"),
        frame(load=[7]),
        frame(seq=None)[:0] + protocol.pack({"type": "batch"}),
        b"\1\0\0\0\xc1",
        b"\xff\xff\xff\xff",
    ],
)
def test_bad_frames(data: bytes) -> None:
    with pytest.raises(BadFrame):
        list(protocol.read_frames(io.BytesIO(data)))


@given(st.integers(1, len(FRAMES) - 1))
def test_a_stream_that_ends_within_a_frame(cut: int) -> None:
    ends, at = {0}, 0
    while at < len(FRAMES):
        at += 4 + int.from_bytes(FRAMES[at : at + 4], "little")
        ends.add(at)
    if cut in ends:
        list(protocol.read_frames(io.BytesIO(FRAMES[:cut])))
    else:
        with pytest.raises(TruncatedStream):
            list(protocol.read_frames(io.BytesIO(FRAMES[:cut])))
