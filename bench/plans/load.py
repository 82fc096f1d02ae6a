"""Load: batches of 1,000 on one core and two, and Zipf-distributed requests with and without a reservation."""

from __future__ import annotations

from typing import Any

from bench.plans import sides
from bench.plans.fleets import Fleet
from bench.plans.keys import Found
from bench.report import number, say, table

BATCH, SECONDS = 1_000, 3.0
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the rate at which requests would need one core and a half


def run(made: dict[str, Fleet], found: Found) -> None:
    """Measure both fleets."""
    for fleet in made.values():
        found.raw[f"throughput {fleet.name}"] = _throughput(fleet)
        found.raw[f"heavy {fleet.name}"] = _heavy(fleet)


def _throughput(fleet: Fleet) -> dict[str, float]:
    """Rows a second with batches of all models. scikit-learn has a process a core: Python runs one thread at once."""
    with sides.gavel("throughput", fleet.file) as side:
        ours = [side.ask(threads=n, batch=BATCH, seconds=SECONDS, seed=n)["rows_per_second"] for n in (1, 2)]
    peers = [sides.peer("scikit", "rows", fleet.file) for _ in range(2)]
    alone = peers[0].ask(calls=8, batch=BATCH, seed=1)["row_us"]
    for i, peer in enumerate(peers):
        peer.send(calls=8, batch=BATCH, seed=2 + i)
    both = [peer.answer()["row_us"] for peer in peers]
    for peer in peers:
        peer.close()
    theirs = [1e6 / alone, sum(1e6 / us for us in both)]
    rows = [
        [name, *(f"{r:,.0f}" for r in rates), f"{rates[1] / rates[0]:.2f}"]
        for name, rates in (("Gavel", ours), ("scikit-learn", theirs))
    ]
    table(f"{fleet.name}: rows a second, batches of {BATCH:,}", ["", "one core", "two cores", "two ÷ one"], rows)
    return {"Gavel 1": ours[0], "Gavel 2": ours[1], "scikit-learn 1": theirs[0], "scikit-learn 2": theirs[1]}


def _heavy(fleet: Fleet) -> dict[str, Any]:
    """Offer rising load, with the probe in the shared pool, and with a reservation for it."""
    found: dict[str, Any] = {}
    with sides.gavel("rows", fleet.file) as side:  # half the requests ask 1 row, half 100
        row_us = side.ask(calls=200, batch=100, seed=1)["row_us"]
    full = 1.5e6 / (row_us * 50)  # requests a second
    shown = []
    for name, extra in (("shared", ()), ("reserved", ("reserve",))):
        with sides.gavel("heavy", fleet.file, extra=extra) as side:
            side.ask(rate=full / 4, seconds=1.0, seed=9)
            rounds = {share: side.ask(rate=full * share, seconds=SECONDS, seed=1) for share in (0.0, *SHARES)}
        found[name] = rounds
        for share, r in rounds.items():
            single = [f"{r['single_mean_us']:,.0f}", f"{r['single']['p99_us']:,.0f}"] if "single" in r else ["–", "–"]
            probe = [f"{r['probe_mean_us']:,.0f}", f"{r['probe']['p99_us']:,.0f}"]
            shown.append([f"{name}, {share:.0%}", f"{r['rows_per_second']:,.0f}", *single, *probe, number(r["shed"])])
    columns = ["", "rows/s", "single mean µs", "p99", "probe mean µs", "p99", "refused"]
    table(
        f"{fleet.name}: Zipf α = 2, half the models 1 row and half 100; 100 % is {full:,.0f} requests/s", columns, shown
    )
    say(f"{fleet.name}: the probe is one model that is asked 200 single rows a second beside that load")
    return found
