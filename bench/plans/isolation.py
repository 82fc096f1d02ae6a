"""One row of a plan over HTTP: its latency alone, and while another plan is asked for 1,000 rows on all cores."""

from __future__ import annotations

import json
import math
import os
import pickle
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from bench.bidder import running
from bench.load import command, offering, result_of
from bench.plans.fleets import Fleet
from bench.plans.keys import Found
from bench.plans.world import PlanWorld
from bench.report import median, say, table
from scripts.loop.settings import Ports

ROWS = 1000  # of a request to the busy model
BODIES = 200  # distinct requests for one row
SETTINGS: dict[str, Any] = {"predict.rows": ROWS, "batcher.queue_rows": 8 * ROWS}
WARMUP_S = 1.0


def run(fleet: Fleet, found: Found, *, rounds: int, rate: float = 200.0, seconds: float = 5.0) -> None:
    """Measure a fleet's first model beside its last one. `rate` is of requests for one row, a second."""
    (small, asked), (busy, many) = fleet.models[0], fleet.models[-1]
    world = PlanWorld.of(fleet, named=(small, busy))
    world.prepare()
    singles, thousands = world.directory / "singles.jsonl", world.directory / "thousands.jsonl"
    rows = _rows(fleet, asked)
    singles.write_text("".join(_body(rows.iloc[i : i + 1]) for i in range(min(BODIES, len(rows)))))
    rows = _rows(fleet, many)
    thousands.write_text(_body(pd.concat([rows] * math.ceil(ROWS / len(rows)))[:ROWS]))

    results: dict[str, list[dict[str, Any]]] = {"alone": [], f"beside {busy}": []}
    cores = os.cpu_count() or 1
    listen = f"127.0.0.1:{Ports.free().bid}"
    with running(world, "isolation", SETTINGS | {"predict.listen": listen}):
        for round_ in range(rounds):
            for name, measured in results.items():
                say(f"isolation, round {round_ + 1} of {rounds}: {small} at {rate:,.0f} rows/s, {name}")
                with ExitStack() as stack:
                    if name != "alone":
                        stack.enter_context(offering(_load(listen, busy, thousands, 0, seconds + WARMUP_S, cores)))
                    line = _load(listen, small, singles, rate, seconds, 16)
                    measured.append(result_of(stack.enter_context(offering(line)), within_s=seconds + 60))
    alone, beside = results.values()
    table(
        f"one row of {small} over HTTP",
        ["", "answered/s", "good", "mean ms", "p50", "p99", "p999"],
        [
            [
                name,
                f"{median([r['answered_per_second'] for r in measured]):,.0f}",
                f"{min(r['good'] / r['sent'] for r in measured):.4f}",
                *(f"{median([r['latency_ms'][key] for r in measured]):.2f}" for key in ("mean", "p50", "p99", "p999")),
            ]
            for name, measured in results.items()
        ],
    )
    found.raw["isolation"] = results
    found.values["isolation_p99"] = median(
        [b["latency_ms"]["p99"] / a["latency_ms"]["p99"] for a, b in zip(alone, beside, strict=True)]
    )


def _rows(fleet: Fleet, name: str) -> pd.DataFrame:
    rows = pickle.loads((fleet.directory / "rows" / f"{name}.pickle").read_bytes())  # noqa: S301 - our own, see fleets
    return rows if isinstance(rows, pd.DataFrame) else pd.DataFrame({"text": list(rows)})


def _body(rows: pd.DataFrame) -> str:
    columns = {str(name): [None if pd.isna(v) else v for v in column.tolist()] for name, column in rows.items()}
    return json.dumps({"inputs": columns}) + "\n"


def _load(listen: str, model: str, bodies: Path, rate: float, seconds: float, connections: int) -> list[str]:
    url = f"http://{listen}/v1/models/{model}:predict"
    return command(
        url, bodies, rate=rate, seconds=seconds, warmup_s=WARMUP_S, connections=connections, deadline_ms=1000
    )
