"""Which core runs what: `CORES=0,1 make bench-overload` gives the bidder core 0 and the load generator core 1.

Without CORES both share all cores. A bidder that must leave room for its load generator shows neither its capacity
nor what its rules for scarce processors are worth.
"""

from __future__ import annotations

import os

BIDDER, GENERATOR = 0, 1


def pinned(part: int) -> list[str]:
    """What to put before a command of that part.

    Raises
    ------
    ValueError
        CORES is set, and is not two numbers.
    """
    cores = os.environ.get("CORES", "")
    if not cores:
        return []
    each = cores.split(",")
    if len(each) != 2 or not all(core.isdecimal() for core in each):
        raise ValueError(f"CORES is {cores!r}, must name two cores, as 0,1: the bidder's and the load generator's")
    return ["taskset", "--cpu-list", each[part]]
