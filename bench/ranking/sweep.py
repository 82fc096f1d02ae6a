"""The paper's Figures 3 to 7, redone: time by classifiers and by workers, and the workers' shares of the tasks."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ranking import loops, models
from bench.ranking.keys import Found
from bench.ranking.programs import Fleet, driver
from bench.report import median, number, say, table
from pytrain.ranking import files
from pytrain.workers.files import write_one_hot

Score = Callable[[dict[str, str]], Any]


@dataclass(frozen=True)
class Sweep:
    """What is measured. Figure 3: `classifiers`. Figures 4 and 5: `workers`, with the most classifiers."""

    classifiers: Sequence[int] = (100, 250, 500, 1000, 2000)
    workers: Sequence[int] = (1, 2, 4, 8, 12, 24)
    rounds: int = 20  # as in the paper
    python_s: float = 30  # a loop of Python has fewer rounds if they take longer than that in all, but 3 at least


def estimators(fleet: Fleet, counts: Sequence[int]) -> dict[int, Path]:
    """Return directories with so many classifiers as estimators; smaller ones have links to the largest's files."""
    root = fleet.directory / "estimators"
    largest = root / str(max(counts))
    done = root / f"{max(counts)}-made"
    if not done.exists():
        say(f"writing {max(counts):,} estimators")
        largest.mkdir(parents=True, exist_ok=True)
        paths = sorted(p for p in fleet.classifiers.glob("campaign*"))[: max(counts)]
        with ProcessPoolExecutor() as pool:
            list(pool.map(_write, [(largest, p) for p in paths], chunksize=20))
        done.touch()
    names = sorted(path.name for path in largest.iterdir())  # two files each, one after the other
    for n in counts:
        directory = root / str(n)
        directory.mkdir(exist_ok=True)
        for name in names[: 2 * n]:
            if not (directory / name).exists():
                (directory / name).hardlink_to(largest / name)
    return {n: root / str(n) for n in counts}


def _write(job: tuple[Path, Path]) -> None:
    directory, path = job
    m = models.model(files.read(path))
    write_one_hot(directory, m.campaign, m.estimator, m.encoder, [(f,) for f in m.fields], version=1, pickle=True)


def run(fleet: Fleet, found: Found, sweep: Sweep) -> None:
    """Measure all."""
    directories = estimators(fleet, sweep.classifiers)
    raw: dict[str, Any] = {"classifiers": list(sweep.classifiers), "workers": []}
    raw["sides"] = _python(fleet, sweep)
    profiles = fleet.directory / "profiles.jsonl"

    def pool(n: int, workers: int, *flags: str) -> Any:
        say(f"{n:,} classifiers, {workers} workers")
        where = ("-dir", directories[n], "-profiles", profiles)
        return driver("workers", *where, "-workers", workers, "-rounds", sweep.rounds, *flags)

    raw["sides"]["workers, single tasks"] = [pool(n, 2, "-batch", "1ns")["ms"] for n in sweep.classifiers]
    raw["sides"]["workers, batches"] = [pool(n, 2)["ms"] for n in sweep.classifiers]
    raw["sides"]["bank"] = [_bank(fleet, n) for n in sweep.classifiers]
    for how, flags in (("batches", ()), ("single tasks", ("-batch", "1ns"))):
        raw["workers"] += [{"how": how, **pool(max(sweep.classifiers), n, *flags)} for n in sweep.workers]
    found.raw["figures"] = raw
    show(raw)


def _bank(fleet: Fleet, n: int) -> float:
    """Return the ms of a score of n classifiers."""
    size = Fleet(fleet.directory, n, fleet.known, fleet.values).size
    return float(driver("bank", *size, "-users", "4000", "-replaced", "0")["wall_us"]) / 1e3


def _python(fleet: Fleet, sweep: Sweep) -> dict[str, list[float]]:
    """Return the ms of a user by each Python side and number of classifiers: medians."""
    sides: dict[str, Callable[[list[models.Model]], Score]] = {
        "Python, pipelines": loops.pipelines,
        f"Python, pipelines, {loops.THREADS} threads": loops.threads,
        "Python, the paper's encoder": loops.encoders,
    }
    users = fleet.profiles(sweep.rounds)
    whole = models.models(fleet.classifiers, max(sweep.classifiers))
    found: dict[str, list[float]] = {}
    for name, of in sides.items():
        found[name] = []
        for n in sweep.classifiers:
            took = loops.seconds(of(whole[:n]), users, clock=loops.WALL, most_s=sweep.python_s)
            found[name].append(1e3 * median(took))
            say(f"{name}: {n:,} classifiers take {number(found[name][-1])} ms, median of {len(took)}")
    return found


def show(raw: dict[str, Any]) -> None:
    """Print what was measured."""
    table(
        "ms for one user (Figure 3)",
        ["", *(f"{n:,}" for n in raw["classifiers"])],
        [[name, *map(number, times)] for name, times in raw["sides"].items()],
    )
    table(
        "by workers (Figures 4 and 5)",
        ["", "workers", "ms", "longest busy ms", "tasks a worker", "± σ", "tasks a batch", "waits for locks µs"],
        [
            [
                w["how"],
                str(w["workers"]),
                *map(number, (w["ms"], max(w["busy_ms"]), *tasks(w), w["batch_tasks"], w["lock_us"])),
            ]
            for w in raw["workers"]
        ],
    )


def tasks(found: dict[str, Any]) -> tuple[float, float]:
    """Return the median and the standard deviation of the tasks that each worker had."""
    return median(found["tasks"]), statistics.pstdev(found["tasks"])
