"""Fleets: fitted pipelines, their plans in a store, and rows to ask, kept under build/plans/ for later runs.

    build/plans/<key>/<fleet>/fitted/<model>.pickle   what scikit-learn loads
    build/plans/<key>/<fleet>/store/…                 what Gavel loads
    build/plans/<key>/<fleet>/rows/<set>.pickle       rows as scikit-learn reads them
    build/plans/<key>/<fleet>/rows/<set>.msgpack      the same rows as typed columns
    build/plans/<key>/<fleet>/fleet.json              all of these, for the driver and the peers

The key is of the code that makes them, of the data, and of scikit-learn's version. The pickles are our own, of this
directory, so that opening them runs no stranger's code. What a user ports is a .skops file (`pytrain port`). skops
is slow to write a dictionary of 60,000 terms, so the pipelines are ported as they were fitted.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pandas as pd
import sklearn
from rich.progress import track

from bench.plans import data, tabular, text
from bench.plans.data import Rows
from bench.report import progress, say
from pytrain.manifest import TrainedOn
from pytrain.plan.columns import columns
from pytrain.plan.golden import golden_rows
from pytrain.plan.importing import import_model
from pytrain.plan.version import write_version
from pytrain.recipe import OBJECTS
from scripts.loop.settings import ROOT

BUILD = ROOT / "build/plans"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Size:
    """How many pipelines there are."""

    chars: int = len(text.CHARS)
    words: int = len(text.WORDS)
    tables: int = 250


@dataclass(frozen=True)
class Fleet:
    """Models of one kind in a directory of their own."""

    name: str
    directory: Path
    models: list[tuple[str, str]]  # name and data set

    @property
    def file(self) -> Path:
        return self.directory / "fleet.json"

    def variant(self, name: str, *, models: Iterable[tuple[str, str]] | None = None, **settings: Any) -> Path:
        """Write a fleet of some of the models, or with other settings of the engine, and return its file."""
        document = json.loads(self.file.read_text())
        if models is not None:
            document["models"] = [{"name": model, "table": table} for model, table in models]
        file = self.directory / f"fleet-{name}.json"
        file.write_text(json.dumps(document | settings))
        return file


def key(directory: Path | None, size: Size) -> str:
    """Return the name of the cache: what its content depends on."""
    sum_ = hashlib.sha256(f"{sklearn.__version__} {size}".encode())
    sources = [
        *(HERE / f"{name}.py" for name in ("data", "text", "tabular")),
        *sorted((ROOT / "pytrain/plan").glob("*.py")),
    ]
    if directory is not None:
        sources += [p for name in ("sst_binary", "adult", "abalone") for p in sorted((directory / name).glob("*.csv"))]
    for source in sources:
        sum_.update(source.read_bytes())
    return sum_.hexdigest()[:12]


def prepare(directory: Path | None, size: Size, names: Iterable[str]) -> tuple[dict[str, Rows], dict[str, Fleet]]:
    """Return the data sets and the fleets of these names; those that are not there yet are made, and kept."""
    home = BUILD / key(directory, size)
    home.mkdir(parents=True, exist_ok=True)
    sets = data.read(directory)
    makers: dict[str, Callable[[], Iterator[tuple[str, str, Any]]]] = {
        "text": lambda: ((n, "sst", p) for n, p in text.pipelines(sets["sst"], chars=size.chars, words=size.words)),
        "tabular": lambda: tabular.pipelines(sets, count=size.tables),
    }
    totals = {"text": 5 * size.chars * size.words, "tabular": size.tables}
    fleets = {}
    for name in names:
        if not (home / name / "fleet.json").exists():
            say(f"{name}: fitting {totals[name]} pipelines and porting them; kept in {home.relative_to(ROOT)}")
            _make(home / name, track(makers[name](), name, totals[name], console=progress), sets)
        document = json.loads((home / name / "fleet.json").read_text())
        fleets[name] = Fleet(name, home / name, [(m["name"], m["table"]) for m in document["models"]])
    return sets, fleets


def _make(home: Path, pipelines: Iterable[tuple[str, str, Any]], sets: dict[str, Rows]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    (home / "fitted").mkdir(parents=True)
    models, ports = [], []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool, warnings.catch_warnings():
        pool.submit(int).result()  # forks all workers, before the display of progress starts its thread
        warnings.simplefilter("ignore")  # that a solver did not converge: pipelines need not be good
        for name, table, pipeline in pipelines:  # they are fitted here, while others are ported
            file = home / "fitted" / f"{name}.pickle"
            file.write_bytes(pickle.dumps(pipeline))
            ports.append(pool.submit(_port, name, file, home / "store"))
            models.append({"name": name, "table": table})
        for each in ports:
            each.result()
    finish(home, models, {table: sets[table].test for table in sorted({m["table"] for m in models})})


def _port(name: str, file: Path, store: Path) -> None:
    port(name, pickle.loads(file.read_bytes()), store)  # noqa: S301 - ours


def finish(home: Path, models: list[dict[str, str]], tables: dict[str, Any]) -> None:
    """Write the rows, and the file that makes a fleet of the directory."""
    (home / "rows").mkdir(exist_ok=True)
    for table, rows in tables.items():
        (home / "rows" / f"{table}.pickle").write_bytes(pickle.dumps(rows))
        (home / "rows" / f"{table}.msgpack").write_bytes(_typed(rows))
    document = {
        "store": str(home / "store"),
        "models": models,
        "tables": {table: str(home / "rows" / f"{table}.msgpack") for table in tables},
        "fitted": str(home / "fitted"),
    }
    (home / "fleet.json").write_text(json.dumps(document))


def port(name: str, estimator: Any, store: Path) -> None:
    """Write version 1 of a model into a store, with golden rows from scikit-learn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = import_model(estimator, file=name)
        inputs, outputs = golden_rows(model, seed=0)
    directory = store / name / "1"
    directory.mkdir(parents=True)
    described = {"model": name, "version": 1, "label": "value", "metrics": {}}
    trained = TrainedOn(rows=0, from_ms=0, to_ms=0)
    write_version(directory, model.plan, inputs, outputs, objects=store / OBJECTS, described=described, trained=trained)


def _typed(rows: Any) -> bytes:
    """Write rows as the columns that plans read: one text, one matrix x, or a column each."""
    if isinstance(rows, pd.DataFrame):
        values: dict[str, Any] = {}
        for name, column in rows.items():
            is_number = pd.api.types.is_numeric_dtype(column)
            values[str(name)] = (
                column.to_numpy()[:, None] if is_number else [t if isinstance(t, str) else None for t in column]
            )
    else:
        values = {"x": np.asarray(rows)} if rows.ndim == 2 else {"text": list(rows)}
    types = {n: ("float64", v.shape[1]) if isinstance(v, np.ndarray) else ("text", 1) for n, v in values.items()}
    return bytes(msgpack.packb(columns(values, types)))
