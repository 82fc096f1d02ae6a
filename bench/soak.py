"""Ten minutes at 80 % of capacity while versions are swapped: late answers, p99 around the swaps, memory.

The capacity is searched for first. Every swap is complete: the store's pointer names another version, and the bidder
verifies, loads and warms it, swaps, and frees the previous one. A window begins when the pointer changes and lasts
`WINDOW_S`. The new version must serve within its window, which the benchmark checks for each swap.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import capacity
from bench.bidder import Bidder, Reading, running
from bench.load import MANY_CONNECTIONS, command, offering, result_of
from bench.percentiles import Slice, percentile, read
from bench.report import Target, finish, say, table
from bench.world import MODEL, World
from pytrain.store import write_pointer

WINDOW_S = 3.0
WARMUP_S = 5.0
SETTLE_S = 90.0  # reservations of bids without a notice live 70 s, and memory grows until then


ASK_S = 0.1  # between two checks of the version that serves, during a swap
SAMPLE_S = 1.0  # between two samples of memory
STANDSTILL_MS = 50.0  # if even the generator gets no processor for so long, the machine stood still


@dataclass
class Swap:
    """One version swapped in."""

    at: float  # when the pointer named it, seconds from the begin of the soak
    version: int
    took_s: float | None = None  # until it served; None: it did not, before the next was named

    @property
    def in_window(self) -> bool:
        return self.took_s is not None and self.took_s <= WINDOW_S


@dataclass(frozen=True)
class Memory:
    """Resident memory at a moment of the soak."""

    at: float  # seconds from the begin of the soak
    mib: float


def copy_versions(store: Path, upto: int) -> None:
    """Add versions 2 to `upto` to the store: copies of the first with other numbers."""
    first = store / MODEL / "1"
    for version in range(2, upto + 1):
        target = store / MODEL / str(version)
        if target.exists():
            continue
        staged = store / MODEL / f".copy-{version}"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(first, staged)
        manifest = staged / "assets.extra/manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": version}))
        staged.rename(target)


def run(directory: Path, *, minutes: float, swaps: int, share: float, rate: float) -> int:
    """Measure and report; return 0 if the targets are met. Rate 0 means `share` of the capacity that is found."""
    world = World(directory / "world")
    world.prepare()
    copy_versions(world.store, swaps + 1)
    write_pointer(world.store / MODEL, stable=1)
    series = directory / "soak-series.jsonl"
    with running(world, "soak") as bidder:
        full = rate / share if rate else capacity.find(bidder, world.bodies, start=6000, connections=MANY_CONNECTIONS)
        seconds = minutes * 60
        before = bidder.read()
        say(f"{minutes:g} minutes at {full * share:,.0f} auctions/s, {share:.0%} of {full:,.0f}, with {swaps} swaps")
        load = command(
            bidder.url,
            world.bodies,
            rate=full * share,
            seconds=seconds,
            warmup_s=WARMUP_S,
            connections=MANY_CONNECTIONS,
            series=series,
        )
        with offering(load) as generator:
            swapped, memory = drive(world, bidder, seconds=seconds, swaps=swaps, begin=time.monotonic() + WARMUP_S)
            result = result_of(generator, within_s=60)
        used = bidder.read() - before
    write_pointer(world.store / MODEL, stable=1)
    return report(result, read(series), swapped, memory, used, full, swaps)


def drive(world: World, bidder: Bidder, *, seconds: float, swaps: int, begin: float) -> tuple[list[Swap], list[Memory]]:
    """Move the pointer `swaps` times, evenly over the soak, wait until each version serves, and sample memory."""
    made: list[Swap] = []
    memory: list[Memory] = []
    gap = seconds / (swaps + 1)
    while (now := time.monotonic() - begin) < seconds:
        under_way = made[-1] if made and made[-1].took_s is None else None
        if under_way and bidder.stable_version(MODEL) == under_way.version:
            under_way.took_s = time.monotonic() - begin - under_way.at
            say(f"swap {len(made)} of {swaps}: version {under_way.version} serves after {under_way.took_s:.1f} s")
        elif len(made) < swaps and now >= gap * (len(made) + 1):
            made.append(Swap(now, version=len(made) + 2))
            write_pointer(world.store / MODEL, stable=made[-1].version)
        elif now >= (memory[-1].at + SAMPLE_S if memory else 0):
            memory.append(Memory(now, bidder.rss_mib()))
        if reason := bidder.child.died():
            raise RuntimeError(reason)
        waits = made and made[-1].took_s is None
        time.sleep(min(ASK_S if waits else SAMPLE_S, max(seconds - now, 0.0)))
    return made, memory


def standstills(slices: list[Slice]) -> list[Slice]:
    """Return the slices in which the generator itself was delayed for long, and the slices after them."""
    held = [s["held_up_ms"] >= STANDSTILL_MS for s in slices]
    return [s for s, now, before in zip(slices, held, [False, *held], strict=False) if now or before]


def growth(memory: list[Memory]) -> float:
    """Return the median memory of the last fifth ÷ that of the first fifth, after SETTLE_S."""
    settled = [m.mib for m in memory if m.at >= min(SETTLE_S, memory[-1].at / 3)]
    fifth = max(len(settled) // 5, 1)
    return statistics.median(settled[-fifth:]) / statistics.median(settled[:fifth])


def report(
    result: dict[str, Any],
    slices: list[Slice],
    swapped: list[Swap],
    memory: list[Memory],
    used: Reading,
    full: float,
    swaps: int,
) -> int:
    within = [s for s in slices if any(w.at <= s["at"] < w.at + WINDOW_S for w in swapped)]
    outside = [s for s in slices if s not in within]
    loads = used["gavel_model_load_seconds_count"]
    load_s = used["gavel_model_load_seconds_sum"] / max(loads, 1)
    rows = [
        [
            name,
            f"{sum(s['answered'] for s in part):,}",
            *(f"{percentile(part, q):.2f}" for q in (0.5, 0.9, 0.99, 0.999)),
        ]
        for name, part in (("outside", outside), ("in swap windows", within))
    ]
    table("Latency, ms", ["slices of 1 s", "auctions", "p50", "p90", "p99", "p999"], rows)
    slowest_s = max((swap.took_s for swap in swapped if swap.took_s is not None), default=None)
    say(
        f"{loads:.0f} loads of {load_s:.2f} s; memory {memory[0].mib:.0f} MiB at first, {memory[-1].mib:.0f} at the end"
    )
    for swap in swapped:
        if swap.took_s is None:
            say(f"beware: version {swap.version}, named at {swap.at:.0f} s, did not serve before the next one")
    stood = standstills(slices)
    if stood:
        worst = max(s["held_up_ms"] for s in stood)
        say(
            f"beware: in {len(stood)} of {len(slices)} s the machine stood still: the generator was delayed too, "
            f"by {worst:.0f} ms at most; late there: {sum(s['late'] for s in stood)}"
        )
    targets = [
        Target("late_share", result["late"] / result["sent"], 1e-4, least=False),
        Target("swap_p99_ratio", percentile(within, 0.99) / percentile(outside, 0.99), 1.5, least=False),
        Target("memory_growth", growth(memory), 1.05, least=False),
        Target("swaps", used["gavel_model_swaps_total"], swaps),
        Target("swaps_in_window", sum(swap.in_window for swap in swapped), swaps),
    ]
    figures = {
        "capacity": full,
        "rate": result["rate"],
        "auctions": result["sent"],
        "late": result["late"],
        "late_in_standstills": sum(s["late"] for s in stood),
        "bids": result["good"],
        "load_seconds": load_s,
        "slowest_swap_seconds": slowest_s,
        "memory_mib": memory[-1].mib,
        "latency_ms": result["latency_ms"],
        "send_lag_p99_ms": result["send_lag_ms"]["p99"],  # large: auctions waited in the generator for connections
    }
    raw = {"result": result, "memory": [vars(m) for m in memory], "swapped": [vars(w) for w in swapped]}
    return finish("soak", figures, targets, raw=raw)
