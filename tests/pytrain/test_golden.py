"""The wire between Go and Python, pinned by bytes that both suites read."""

from __future__ import annotations

import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from pytrain import frames as fr
from pytrain.metrics import Summary
from pytrain.recipe import Column, IndexSpace

GOLDEN = Path(__file__).parents[1] / "golden"
METRICS = Summary(
    rows=5000, log_loss=0.25, normalized_entropy=0.875, auc=0.75, calibration=math.nan, base_rate=0.0625
).wire()
POS = "300:70000:5000000000:1700000000000"  # as the trainer writes it; any msgpack value would do
# As the loop and the command line write them. Rewrite the files: python -m tests.pytrain.test_golden
ANSWERS: list[dict[str, Any]] = [
    {"type": "hello", "protocol": 1, "model": "ctr", "row_len": 4, "table_rows": 1048576, "rows": 0, "pos": None},
    {"type": "progress", "rows": 5000, "pos": POS, "metrics": METRICS},
    {"type": "checkpointed", "rows": 5120, "pos": POS},
    {"type": "exported", "version": 300, "path": "/x/300", "rows": 5120, "pos": POS, "metrics": METRICS},
    {
        "type": "error",
        "message": "the stream ended 5 bytes into it",
        "where": "frame 2 at byte 214",
        "remedy": "send it again",
    },
]


def packed() -> bytes:
    return b"".join(fr.pack_control(a["type"], **{k: v for k, v in a.items() if k != "type"}) for a in ANSWERS)


def space(f: int) -> IndexSpace:
    return IndexSpace(tuple(Column(f"c{i}", 1, 1 << 20) for i in range(f)), 1 << 20)


def test_frames_that_go_wrote() -> None:
    want = json.loads((GOLDEN / "frames.json").read_text())["frames"]
    raw = list(msgpack.Unpacker(BytesIO((GOLDEN / "frames.bin").read_bytes())))
    assert len(raw) == len(want) == 6
    for number, (value, expected) in enumerate(zip(raw, want, strict=True), start=1):
        frame = fr.parse_frame(value, space(expected.get("f", 1)), number=number)
        match frame:
            case fr.Rows():
                assert len(frame) == expected["n"]
                np.testing.assert_array_equal(frame.x, expected["x"])
                for column in "ywt":
                    np.testing.assert_array_equal(getattr(frame, column), expected[column])
                assert frame.pos == expected.get("pos")
            case fr.Export(version=version):
                assert version == expected["version"]
            case _:
                assert type(frame).__name__.lower() == expected["type"]


def test_frames_of_one_row_length_come_through_the_reader() -> None:
    data = (GOLDEN / "frames.bin").read_bytes()
    end = data.rindex(b"\x88\xa4type\xa4rows")  # where the rows of another length begin
    got = list(fr.read_frames(BytesIO(data[:end]), space(4)))
    assert [type(f).__name__ for f in got] == ["Rows", "Checkpoint", "Rows", "Export"]


def test_our_frames_are_gos_bytes() -> None:
    data = (GOLDEN / "frames.bin").read_bytes()
    first = next(fr.read_frames(BytesIO(data), space(4)))
    assert isinstance(first, fr.Rows)
    assert data.startswith(b"\x88\xa4type\xa4rows")
    assert msgpack.unpackb(fr.pack_rows(first)) == next(iter(msgpack.Unpacker(BytesIO(data))))


def test_answers_are_the_golden_bytes() -> None:
    assert (GOLDEN / "answers.bin").read_bytes() == packed()
    assert json.loads((GOLDEN / "answers.json").read_text())["answers"] == ANSWERS


def rewrite() -> None:
    (GOLDEN / "answers.bin").write_bytes(packed())
    about = "answers.bin, the answers of pytrain, protocol 1. Rewrite both: python -m tests.pytrain.test_golden"
    (GOLDEN / "answers.json").write_text(json.dumps({"about": about, "answers": ANSWERS}, indent=1) + "\n")


if __name__ == "__main__":
    rewrite()
