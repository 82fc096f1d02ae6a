"""The workers' figures, by `bench.workers`."""

from __future__ import annotations

import json
import subprocess

from bench.ranking.keys import KEYS, Found
from bench.ranking.programs import PYTHON
from bench.report import say
from scripts.loop.settings import ROOT

MISSED = 1  # exit status of a benchmark that missed a target


def run(found: Found, *flags: str) -> None:
    """Run it, and take over its figures.

    Raises
    ------
    RuntimeError
        It failed, which is another thing than a target that is missed.
    """
    say("workers: python -m bench.workers")
    done = subprocess.run(
        [PYTHON, "-m", "bench.workers", *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in (0, MISSED):
        raise RuntimeError(f"bench.workers ended with status {done.returncode}")
    *lines, last = done.stdout.splitlines()
    print("\n".join(lines))
    told = json.loads(last)
    found.raw["workers"] = told
    found.values |= {name: value for name, value in told.items() if name in KEYS and name.startswith("workers_")}
