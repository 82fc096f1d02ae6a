"""Training frames in, answers out: protocol 1 of docs/contracts.md. No TensorFlow here.

Frames are msgpack maps, one after the other. Columns are binary and little-endian, so that a frame becomes arrays
without parsing its rows; the arrays are views of the frame's bytes and read-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgpack
import numpy as np

from pytrain.errors import BadFrame, TruncatedStream

if TYPE_CHECKING:
    import numpy.typing as npt

    from pytrain.recipe import IndexSpace

PROTOCOL = 1
MAX_FRAME_BYTES = 64 << 20
MAX_POS_BYTES = 64 << 10
_CHUNK_BYTES = 1 << 20

Int32s: TypeAlias = "npt.NDArray[np.int32]"
Int64s: TypeAlias = "npt.NDArray[np.int64]"
Float32s: TypeAlias = "npt.NDArray[np.float32]"


@dataclass(frozen=True)
class Rows:
    """Examples: n rows of F indices with labels, weights and event times.

    Shapes: x (n, F) int32, y (n,) float32 in [0, 1], w (n,) float32 ≥ 0, t (n,) int64 in Unix milliseconds. `pos` is
    the stream position after the last row, opaque; None if the stream has none.
    """

    x: Int32s
    y: Float32s
    w: Float32s
    t: Int64s
    pos: object = None

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Checkpoint:
    """Asks for a checkpoint."""


@dataclass(frozen=True)
class Export:
    """Asks for a model version."""

    version: int


@dataclass(frozen=True)
class Stop:
    """Asks for a checkpoint and a clean end."""


Frame: TypeAlias = Rows | Checkpoint | Export | Stop


class Source(Protocol):
    """A source of frames: `sys.stdin.buffer`, a file or `io.BytesIO`."""

    def read1(self, size: int = ..., /) -> bytes:
        """Return up to `size` bytes as soon as any are available; b"" at the end."""
        ...


def read_frames(source: Source, space: IndexSpace) -> Iterator[Frame]:
    """Yield training frames as they arrive.

    Raises
    ------
    TruncatedStream
        The stream ended inside a frame; every whole frame before it was yielded.
    BadFrame
        A frame is not msgpack, has an unknown type, or its sizes or values are wrong. The frames before it were
        yielded.
    """
    for number, raw in enumerate(_objects(source), start=1):
        yield parse_frame(raw, space, number=number)


def _objects(source: Source) -> Iterator[object]:
    # Drained after every chunk, so the buffer holds at most one frame and a chunk.
    unpacker = msgpack.Unpacker(max_buffer_size=MAX_FRAME_BYTES + _CHUNK_BYTES)
    fed = begin = number = 0
    while chunk := source.read1(_CHUNK_BYTES):
        where = f"frame {number + 1} at byte {begin}"
        try:
            unpacker.feed(chunk)
            fed += len(chunk)
            for value in unpacker:
                begin, number = unpacker.tell(), number + 1
                where = f"frame {number + 1} at byte {begin}"
                yield value
        except (msgpack.BufferFull, msgpack.UnpackException, ValueError) as e:
            too_large = isinstance(e, msgpack.BufferFull)
            fault = f"exceeds {MAX_FRAME_BYTES} bytes" if too_large else f"is not msgpack: {e or type(e).__name__}"
            remedy = "send fewer rows a frame" if too_large else "write nothing but frames to stdin"
            raise BadFrame(fault, where=where, remedy=remedy) from e
        if fed - begin > MAX_FRAME_BYTES:
            raise BadFrame(f"exceeds {MAX_FRAME_BYTES} bytes", where=where, remedy="send fewer rows a frame")
    if fed > begin:
        raise TruncatedStream(
            f"the stream ended {fed - begin} bytes into it",
            where=f"frame {number + 1} at byte {begin}",
            remedy="send it again after a restart: everything before it is learnt and in the checkpoint",
        )


def parse_frame(raw: object, space: IndexSpace, *, number: int) -> Frame:
    """Check one decoded msgpack value and make it a frame; `number` counts frames from 1 for errors.

    Raises
    ------
    BadFrame
        See `read_frames`.
    """
    where = f"frame {number}"
    if not isinstance(raw, Mapping):
        raise BadFrame(f"is {type(raw).__name__}, not a map", where=where, remedy="write nothing but frames to stdin")
    kind = raw.get("type")
    keys = {"rows": {"n", "f", "x", "y", "w", "t", "pos"}, "export": {"version"}, "checkpoint": set(), "stop": set()}
    wanted = keys.get(kind) if isinstance(kind, str) else None
    if wanted is None:
        raise BadFrame(f"has the unknown type {kind!r}", where=where, remedy=f"send one of {', '.join(keys)}")
    have = set(raw) - {"type"}
    if have != wanted:
        odd = sorted(map(str, have ^ wanted))
        raise BadFrame(
            f"a {kind} frame has or lacks the keys {', '.join(odd)}",
            where=where,
            remedy="see protocol 1 in docs/contracts.md",
        )
    if kind == "rows":
        return _rows(raw, space, where)
    if kind == "export":
        version = raw["version"]
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise BadFrame(f"version is {version!r}", where=where, remedy="send an integer above 0")
        return Export(version)
    return Checkpoint() if kind == "checkpoint" else Stop()


def _rows(raw: Mapping[Any, Any], space: IndexSpace, where: str) -> Rows:
    n, f = raw["n"], raw["f"]
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise BadFrame(f"n is {n!r}", where=where, remedy="send the number of rows")
    if f != space.row_len:
        raise BadFrame(
            f"rows have {f!r} indices, the recipe's have {space.row_len}",
            where=where,
            remedy="encode with the recipe that pytrain was started with",
        )
    sizes = {"x": 4 * n * space.row_len, "y": 4 * n, "w": 4 * n, "t": 8 * n}
    for key, size in sizes.items():
        column = raw[key]
        if not isinstance(column, bytes) or len(column) != size:
            got = f"{len(column)} bytes" if isinstance(column, bytes) else type(column).__name__
            raise BadFrame(
                f"{key} must be {size} bytes for n = {n}, got {got}", where=where, remedy="send whole columns"
            )
    if len(pack_pos(raw["pos"])) > MAX_POS_BYTES:
        raise BadFrame(f"pos exceeds {MAX_POS_BYTES} bytes", where=where, remedy="send a shorter position")
    rows = Rows(
        x=np.frombuffer(raw["x"], "<i4").reshape(n, space.row_len),
        y=np.frombuffer(raw["y"], "<f4"),
        w=np.frombuffer(raw["w"], "<f4"),
        t=np.frombuffer(raw["t"], "<i8"),
        pos=raw["pos"],
    )
    check_rows(rows, space, where=where)
    return rows


def check_rows(rows: Rows, space: IndexSpace, *, where: str) -> None:
    """Refuse indices outside their feature's range, labels outside [0, 1], and negative or non-finite weights.

    Raises
    ------
    BadFrame
        Names the first bad row, from 0, and its value.
    """
    low = np.array([c.low for c in space.columns], np.int32)
    high = np.array([c.high for c in space.columns], np.int32)
    bad = (rows.x != 0) & ((rows.x < low) | (rows.x >= high))  # (n, F)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        c = space.columns[column]
        raise BadFrame(
            f"row {row}, column {column} ({c.feature}): index {rows.x[row, column]} is not 0 nor {c.low}…{c.high - 1}",
            where=where,
            remedy="encode with the recipe that pytrain was started with",
        )
    for name, values, ok, rule in (
        ("label", rows.y, (rows.y >= 0) & (rows.y <= 1), "send a label in [0, 1]"),
        ("weight", rows.w, (rows.w >= 0) & np.isfinite(rows.w), "send a finite weight, 0 or more"),
    ):
        if not ok.all():
            row = int(np.argmin(ok))
            raise BadFrame(f"row {row}: {name} {values[row]} is out of range", where=where, remedy=rule)


def pack_rows(rows: Rows) -> bytes:
    """Encode a rows frame."""
    return bytes(
        msgpack.packb(
            {
                "type": "rows",
                "n": len(rows),
                "f": rows.x.shape[1],
                "x": np.ascontiguousarray(rows.x, "<i4").tobytes(),
                "y": np.ascontiguousarray(rows.y, "<f4").tobytes(),
                "w": np.ascontiguousarray(rows.w, "<f4").tobytes(),
                "t": np.ascontiguousarray(rows.t, "<i8").tobytes(),
                "pos": rows.pos,
            }
        )
    )


def pack_control(kind: str, **values: object) -> bytes:
    """Encode a control frame or an answer: a map of `type` and `values`, in that order."""
    return bytes(msgpack.packb({"type": kind, **values}))


def pack_pos(pos: object) -> bytes:
    """Encode a position as a checkpoint keeps it."""
    return bytes(msgpack.packb(pos))


def unpack_pos(data: bytes) -> object:
    """Invert `pack_pos`."""
    return msgpack.unpackb(data, strict_map_key=False)
