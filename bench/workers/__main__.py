"""`python -m bench.workers`: Python workers against a loop over scikit-learn pipelines.

It makes two fleets of LogisticRegressions over OneHotEncoders, which stay in var/bench/workers for the next run.
Workers score those of the one together. Those of the other are of a derived class, and scored as any estimator, by its
own predict_proba. The Go driver serves them with two worker processes. Every probability is compared with
predict_proba's own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import joblib
import numpy as np
import typer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from bench.workers.own import Own
from pytrain.workers.files import write_one_hot
from scripts.loop.settings import ROOT

WORK = ROOT / "var/bench/workers"
BINARY = WORK / "driver"
FEATURES = 12
FIELDS = [(f"field{i}",) for i in range(FEATURES)]
# key: at least (True) or at most (False), and what
TARGETS = {
    "workers_max_difference": (False, 0.0),
    "workers_vs_pipeline_loop": (True, 25.0),
    "workers_batch_gain": (True, 1.4),
    "workers_idle_tail": (False, 0.1),
    "workers_in_200_ms": (True, 2000.0),
    "own_max_difference": (False, 0.0),
    "own_vs_pipeline_loop": (True, 25.0),
    "own_batch_gain": (True, 1.4),
    "own_idle_tail": (False, 0.1),
    "own_in_200_ms": (True, 2000.0),
}


@dataclass(frozen=True)
class Size:
    """How large a measurement is; the fields are the options of `main`."""

    classifiers: int
    known: int
    compared: int
    rounds: int


app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)


def values_of(known: int) -> list[int]:
    """Return how many values of each feature a classifier knows: each feature has more than the one before."""
    weights = 1.5 ** np.arange(FEATURES)
    return [int(n) for n in np.maximum(2, known * weights / weights.sum())]


def make(seed: int, known: int, kind: type[LogisticRegression] = LogisticRegression) -> tuple[Any, Any]:
    """Return an encoder and a classifier of a kind with random weights, which score as fitted ones do."""
    rng = np.random.default_rng(seed)
    categories = [
        np.sort(rng.choice([f"{i}-{v}" for v in range(2 * n)], n, replace=False)).astype(object)
        for i, n in enumerate(values_of(known))
    ]
    encoder = OneHotEncoder(categories=categories, handle_unknown="ignore")
    encoder.fit(np.array([[c[0] for c in categories]], dtype=object))
    width = sum(len(c) for c in categories)
    classifier = kind()
    classifier.classes_ = np.array([0, 1])
    classifier.coef_ = rng.normal(size=(1, width))
    classifier.intercept_ = rng.normal(size=1) - 4
    classifier.n_features_in_ = width
    classifier.n_iter_ = np.array([1], np.int32)
    return encoder, classifier


def write(job: tuple[Path, int, int, type[LogisticRegression]]) -> None:
    """Write one campaign."""
    directory, seed, known, kind = job
    encoder, classifier = make(seed, known, kind)
    write_one_hot(directory, f"c{seed:05}", classifier, encoder, FIELDS, version=1, pickle=True)


def fleet(count: int, known: int, kind: type[LogisticRegression]) -> Path:
    """Return the directory of a fleet, made unless it is there."""
    directory = WORK / f"{kind.__name__}-{count}-{known}"
    if not (directory / "whole").exists():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        with ProcessPoolExecutor() as pool:
            list(pool.map(write, [(directory, seed, known, kind) for seed in range(count)], chunksize=50))
        (directory / "whole").touch()
    return directory


def profiles(count: int, known: int) -> list[dict[str, str]]:
    """Return profiles whose values every classifier knows half of the time."""
    rng = np.random.default_rng(99)
    sizes = values_of(known)
    return [{f"field{i}": f"{i}-{rng.integers(2 * n)}" for i, n in enumerate(sizes)} for _ in range(count)]


def driver(*arguments: str) -> Any:
    done = subprocess.run([BINARY, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def difference(directory: Path, asked: list[dict[str, str]], got: Any, known: int) -> float:
    """Return the largest difference from predict_proba, called for all rows at once, and for one row alone."""
    texts = np.array([[p[f"field{i}"] for i in range(FEATURES)] for p in asked], dtype=object)
    largest = 0.0
    for c in range(got.shape[1]):
        encoder, _ = make(c, known)
        classifier = joblib.load(directory / f"c{c:05}.1.joblib")
        rows = encoder.transform(texts)
        wanted = classifier.predict_proba(rows)[:, 1]
        largest = max(largest, float(np.abs(got[:, c] - wanted).max()))
        alone = c % len(asked)
        largest = max(largest, abs(float(got[alone, c]) - float(classifier.predict_proba(rows[alone])[0, 1])))
    return largest


def loop_us(asked: list[dict[str, str]], known: int, count: int = 40) -> float:
    """Return the CPU µs a classifier of the loop that this replaces: one user, a pipeline after the other."""
    pipelines = [make_pipeline(*make(seed, known)) for seed in range(count)]
    took = []
    for p in asked[:3]:
        row = np.array([[p[f"field{i}"] for i in range(FEATURES)]], dtype=object)
        began = time.process_time()
        for pipeline in pipelines:
            pipeline.predict_proba(row)
        took.append((time.process_time() - began) / count * 1e6)
    return float(np.median(took))


def measure(kind: type[LogisticRegression], name: str, size: Size, loop: float) -> dict[str, float]:
    """Measure a fleet of a kind, print its table, and return its figures, whose names begin with the name."""
    directory = fleet(size.classifiers, size.known, kind)
    asked = profiles(max(size.compared, 50), size.known)
    (WORK / "profiles.json").write_text(json.dumps(asked))
    common = ["-dir", str(directory), "-profiles", str(WORK / "profiles.json")]
    result: dict[str, float] = {}
    if size.compared:
        driver(*common, "-exact", "-out", str(WORK / "exact.bin"))
        got = np.fromfile(WORK / "exact.bin").reshape(len(asked), size.classifiers)
        result["max_difference"] = difference(directory, asked, got, size.known)
        result["rows_compared"], result["models_compared"] = got.size, size.classifiers
    figures = driver(*common, "-rounds", str(size.rounds))
    print(f"\n{kind.__name__}: a loop over pipelines takes {loop:.0f} µs a classifier.\n")
    print(
        "| | makespan ms | CPU µs a task | tasks a batch | idle tail | waits for locks µs |\n|---|---|---|---|---|---|"
    )
    for side, f in sorted(figures.items()):
        print(
            f"| {side} | {f['makespan_ms']:.1f} | {f['cpu_us']:.1f} | {f['batch_tasks']:.1f} "
            f"| {f['tail']:.3f} | {f['lock_us']:.0f} |"
        )
    batches, dealing = figures["batches"], figures["dealing"]
    result |= {
        "vs_pipeline_loop": loop / batches["cpu_us"],
        "batch_gain": figures["singles"]["makespan_ms"] / batches["makespan_ms"],
        "idle_tail": batches["tail"],
        "dealing_ratio": dealing["makespan_ms"] / batches["makespan_ms"],
        "dealing_idle_tail": dealing["tail"],
        "lock_us": batches["lock_us"],
        "dealing_lock_us": dealing["lock_us"],
        "in_200_ms": batches["in_deadline"],
        "in_200_ms_best": batches["in_deadline_best"],
        "answer_ms": batches["answer_ms"],
        "answer_last_ms": batches["answer_last_ms"],
        "makespan_ms": batches["makespan_ms"],
        "cpu_us": batches["cpu_us"],
    }
    return {f"{name}_{key}": value for key, value in result.items()}


@app.command()
def main(
    classifiers: Annotated[int, typer.Option(help="Classifiers of each fleet.")] = 3000,
    known: Annotated[int, typer.Option(help="Values that each classifier knows.")] = 1795,
    compared: Annotated[int, typer.Option(help="Profiles compared, each for all classifiers; 0: none.")] = 110,
    rounds: Annotated[int, typer.Option(help="Rounds of each measurement.")] = 15,
    only: Annotated[str, typer.Option(help="The one fleet to measure: workers or own.")] = "",
    prepare: Annotated[bool, typer.Option("--prepare", help="Only make the fleets and the driver.")] = False,
) -> None:
    """Measure, print tables, and JSON as the last line; exit 1 if a target is missed."""
    size = Size(classifiers, known, compared, rounds)
    kinds = {"workers": LogisticRegression, "own": Own}
    go = (ROOT / "build/go.mk").read_text().split("GO := ")[1].splitlines()[0]
    subprocess.run([go, "build", "-o", BINARY, "./bench/workers/driver"], cwd=ROOT, check=True)
    if prepare:
        for kind in kinds.values():
            fleet(classifiers, known, kind)
        return
    result = {"pipeline_loop_us": loop_us(profiles(3, known), known)}
    for name, kind in kinds.items():
        if only in ("", name):
            result |= measure(kind, name, size, result["pipeline_loop_us"])
    missed = []
    for key, (least, target) in TARGETS.items():
        if key in result and (result[key] < target if least else result[key] > target):
            missed.append(f"{key} {result[key]:.4g}, target {'≥' if least else '≤'} {target:g}")
    print("missed: " + "; ".join(missed) if missed else "all targets met", file=sys.stderr)
    print(json.dumps(result))
    raise typer.Exit(1 if missed else 0)


if __name__ == "__main__":
    app()
