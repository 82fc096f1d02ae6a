"""The engine itself: plans and rows through `bidder score`.

Starting a bidder takes far longer than scoring, so many plans are joined into one. A row that one of them refuses is
refused as a whole. So while the rows of one plan are asked, the inputs of the others are those of a row that is known
to be good.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from pytrain.manifest import TrainedOn
from pytrain.plan import Plan, Value, node
from pytrain.plan.columns import columns, pack, read_columns
from pytrain.plan.values import Input
from pytrain.plan.version import write_version

if TYPE_CHECKING:
    from collections.abc import Sequence

BIDDER = Path(__file__).parents[3] / "bin" / "bidder"
_GOLDEN_ROWS = 16
_TIMEOUT = 600


@dataclass(frozen=True)
class Job:
    """A plan, its rows by the names of its inputs, and one of them that it answers with these outputs (1, w)."""

    plan: Plan
    rows: dict[str, Any]
    good: int
    outputs: dict[str, Any]


class EngineError(Exception):
    """The bidder refused a plan, or ended."""


def score(jobs: Sequence[Job]) -> list[tuple[dict[str, Any], Any]]:
    """Return the outputs of each job by name, and which rows are refused (n,).

    Raises
    ------
    EngineError
        A plan was refused, alone.
    """
    try:
        return _score(jobs)
    except EngineError:
        if len(jobs) == 1:
            raise
        middle = len(jobs) // 2
        return score(jobs[:middle]) + score(jobs[middle:])


def _score(jobs: Sequence[Job]) -> list[tuple[dict[str, Any], Any]]:
    plan = _joined(jobs)
    types = {v.name: (v.type, v.width) for v in plan.inputs}
    good = {f"p{i}_{n}": _row(c, job.good) for i, job in enumerate(jobs) for n, c in job.rows.items()}
    golden = {f"p{i}_{n}": _repeat(o, _GOLDEN_ROWS) for i, job in enumerate(jobs) for n, o in job.outputs.items()}
    with tempfile.TemporaryDirectory() as store:
        version = Path(store) / "joined" / "1"
        version.mkdir(parents=True)
        write_version(
            version,
            plan,
            {name: _repeat(row, _GOLDEN_ROWS) for name, row in good.items()},
            golden,
            objects=Path(store) / "objects",
            described={"model": "joined", "version": 1, "label": "value", "metrics": {}},
            trained=TrainedOn(rows=0, from_ms=0, to_ms=0),
        )
        frames = []
        for i, job in enumerate(jobs):
            n = len(next(iter(job.rows.values())))
            rows = {name: _repeat(row, n) for name, row in good.items()}
            rows |= {f"p{i}_{name}": column for name, column in job.rows.items()}
            frames.append(pack(columns=columns(rows, types)))
        done = subprocess.run(
            [BIDDER, "score", version], input=b"".join(frames), capture_output=True, timeout=_TIMEOUT, check=False
        )
    if done.returncode:
        raise EngineError(done.stderr.decode(errors="replace")[-2000:])
    results = []
    for i, (job, answer) in enumerate(zip(jobs, _unpack(done.stdout), strict=True)):
        outputs = read_columns(answer["outputs"])
        refused = np.zeros(len(next(iter(outputs.values()))), bool)
        refused[[row for row, _ in answer["faults"]]] = True
        results.append(({name: outputs[f"p{i}_{name}"] for name in job.plan.outputs}, refused))
    return results


def _unpack(data: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(data)
    return list(unpacker)


def _row(column: Any, row: int) -> Any:
    return column[row : row + 1]


def _repeat(row: Any, n: int) -> Any:
    return np.repeat(row, n, axis=0) if isinstance(row, np.ndarray) else row * n


def _joined(jobs: Sequence[Job]) -> Plan:
    """Return one plan with the inputs and outputs of all; names begin with `p<number>_`."""
    inputs: list[Value] = []
    outputs: dict[str, Value] = {}
    for i, job in enumerate(jobs):
        new: dict[bytes, Value] = {}
        for value in job.plan.inputs:
            new[value.digest] = Input(f"p{i}_{value.name}", value.type, width=value.width)
            inputs.append(new[value.digest])
        for value in job.plan.nodes:
            new[value.digest] = node(value.op, [new[v.digest] for v in value.inputs], value.settings, value.tensors)
        outputs |= {f"p{i}_{name}": new[value.digest] for name, value in job.plan.outputs.items()}
    return Plan(inputs=tuple(inputs), outputs=outputs, source="plans joined for a test")
