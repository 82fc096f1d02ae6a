from __future__ import annotations

import contextlib
import io
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytrain import frames as fr
from pytrain.errors import BadFrame, StreamError, TruncatedStream
from tests.pytrain.conftest import make_recipe, random_rows

SPACE = make_recipe().space


class Chunks:
    """A stream that gives at most `size` bytes a read."""

    def __init__(self, data: bytes, size: int) -> None:
        self._stream, self._size = io.BytesIO(data), size

    def read1(self, size: int = -1, /) -> bytes:
        return self._stream.read(min(size, self._size))


def raw(**changes: Any) -> bytes:
    frame = msgpack.unpackb(fr.pack_rows(random_rows(SPACE, 3, pos=1))) | changes
    return bytes(msgpack.packb({k: v for k, v in frame.items() if v is not ...}))


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), max_size=5),
    chunk=st.integers(1, 3000),
    pos=st.sampled_from([None, 7, "a", b"\x00"]),
)
def test_round_trip_in_any_chunks(sizes: list[int], chunk: int, pos: object) -> None:
    sent = [random_rows(SPACE, n, seed=n, pos=pos) for n in sizes]
    data = b"".join(fr.pack_rows(r) for r in sent) + fr.pack_control("export", version=3) + fr.pack_control("stop")
    got = list(fr.read_frames(Chunks(data, chunk), SPACE))
    assert got[-2:] == [fr.Export(3), fr.Stop()]
    for a, b in zip(sent, got[:-2], strict=True):
        assert isinstance(b, fr.Rows)
        assert b.pos == pos
        for column in "xywt":
            np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
            assert getattr(b, column).dtype == getattr(a, column).dtype


def test_positions_survive() -> None:
    for pos in (None, 2**63, -1, "GAVEL:12", b"\xff\x00", {"stream": "GAVEL", "seq": 9, 1: [1, 2]}, 1.5):
        assert fr.unpack_pos(fr.pack_pos(pos)) == pos


@pytest.mark.parametrize("cut", [1, 5, 60, 200])
def test_truncated(cut: int) -> None:
    frame = fr.pack_rows(random_rows(SPACE, 10))
    seen: list[fr.Frame] = []
    with pytest.raises(TruncatedStream, match=f"frame 2 at byte {len(frame)}: the stream ended {cut} bytes") as caught:
        seen.extend(fr.read_frames(io.BytesIO(frame + frame[:cut]), SPACE))
    assert caught.value.exit_code == 3
    assert len(seen) == 1


def test_whole_frames_before_a_fault_are_yielded() -> None:
    frame = fr.pack_rows(random_rows(SPACE, 10))
    stream = fr.read_frames(io.BytesIO(frame + b"\xc1"), SPACE)
    assert isinstance(next(stream), fr.Rows)
    with pytest.raises(BadFrame, match=r"frame 2 .*not msgpack"):
        next(stream)


_BAD_X = random_rows(SPACE, 3).x.copy()
_BAD_X[1, 1] = 1  # os' index in country's column


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (msgpack.packb(5), "frame 1: is int, not a map"),
        (msgpack.packb({"type": "row"}), "unknown type 'row'"),
        (msgpack.packb({"type": ["rows"]}), "unknown type"),
        (msgpack.packb({"type": "export", "version": 0}), "version is 0"),
        (msgpack.packb({"type": "export", "version": True}), "version is True"),
        (msgpack.packb({"type": "stop", "now": 1}), "keys now"),
        (raw(pos=...), "keys pos"),
        (raw(n=-1), "n is -1"),
        (raw(n=4), "x must be 80 bytes for n = 4, got 60 bytes"),
        (raw(f=6), "rows have 6 indices, the recipe's have 5"),
        (raw(y=b"abc"), "y must be 12 bytes for n = 3, got 3 bytes"),
        (raw(w="text"), "w must be 12 bytes for n = 3, got str"),
        (raw(x=_BAD_X.tobytes()), r"row 1, column 1 \(country\): index 1 is not 0 nor 17…20"),
        (raw(x=np.full((3, 5), 2**31 - 1, "<i4").tobytes()), "index 2147483647"),
        (raw(y=np.array([0, 2, 0], np.float32).tobytes()), "row 1: label 2.0 is out of range"),
        (raw(y=np.array([0, 0, np.nan], np.float32).tobytes()), "row 2: label nan"),
        (raw(w=np.array([1, np.inf, 1], np.float32).tobytes()), "row 1: weight inf"),
        (raw(pos="x" * 70_000), "pos exceeds"),
    ],
)
def test_bad_frames(data: bytes, fault: str) -> None:
    with pytest.raises(BadFrame, match=fault) as caught:
        list(fr.read_frames(io.BytesIO(data), SPACE))
    assert caught.value.remedy


def test_a_frame_too_large_is_refused_before_it_is_read_whole() -> None:
    endless = b"\x81\xa1x\xc6" + (2**31).to_bytes(4, "big")  # a map with 2 GiB of bin

    class Endless:
        given = 0

        def read1(self, size: int = -1, /) -> bytes:
            chunk = endless if not self.given else bytes(size)
            self.given += len(chunk)
            return chunk

    source = Endless()
    with pytest.raises(BadFrame, match="frame 1 at byte 0: "):
        list(fr.read_frames(source, SPACE))
    assert source.given < fr.MAX_FRAME_BYTES + (4 << 20)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400))
def test_noise_never_crashes(data: bytes) -> None:
    with contextlib.suppress(StreamError):
        list(fr.read_frames(io.BytesIO(data), SPACE))
