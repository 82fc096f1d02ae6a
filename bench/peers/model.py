"""The model that every server serves, and the rows of the requests.

It is the benchmarks' DeepFM (bench/recipe.yaml), trained on examples with planted weights. So answers differ from row
to row, and a server that confuses rows is detected.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bench.peers.protocol import Protocol
from bench.report import say
from bench.world import BODIES, PYTHON, RECIPE
from pytrain.manifest import read_golden
from pytrain.recipe import IndexSpace, load_recipe
from scripts.loop.settings import ROOT

EXAMPLES = 120_000  # learnt twice, so many that answers range from 0.01 to 0.5
SKEW = 3  # indices are drawn as uniform³: a few are common, most are rare

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Model:
    """A model store with one trained version, under one directory."""

    directory: Path

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def version(self) -> Path:
        return self.store / "bench/1"

    @property
    def weights(self) -> Path:
        """Return the file of the version's variables by name, as .npz, for servers without TensorFlow."""
        return self.directory / "weights.npz"

    def prepare(self) -> None:
        """Train the model, unless there is one made from the same recipe and code."""
        stamp = self.directory / "made-from"
        source = hashlib.sha256(RECIPE.read_bytes() + Path(__file__).read_bytes()).hexdigest()
        if stamp.exists() and stamp.read_text() == source:
            return
        say(f"training the model: {2 * EXAMPLES:,} examples, about a minute")
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        space = load_recipe(RECIPE).space
        examples = self.directory / "examples.parquet"
        write_examples(examples, space)
        options = ["--recipe", RECIPE, "--store", self.store, "--epochs", "2", "--holdout", "0.02"]
        _run([PYTHON, "-m", "pytrain", "fit-file", examples, *map(str, options)])
        _run([PYTHON, "-m", "bench.peers.weights", self.version, self.weights])
        examples.unlink()
        stamp.write_text(source)

    def golden(self) -> tuple[Rows, npt.NDArray[np.float32]]:
        """Return golden rows (n, F) and the probabilities (n,) that training computed."""
        return read_golden(self.version)

    def bodies(self, protocol: Protocol) -> Path:
        """Write the requests of this protocol, one a line."""
        path = self.directory / f"bodies-{protocol.name}.jsonl"
        rows = random_rows(load_recipe(RECIPE).space, BODIES, seed=3)
        path.write_text("".join(protocol.request(row) + "\n" for row in rows.tolist()))
        return path


def random_rows(space: IndexSpace, n: int, *, seed: int) -> Rows:
    """Return rows (n, F) with every index in its column's range, low ones more often; a tenth is missing (0)."""
    rng = np.random.default_rng(seed)
    low, high = (np.array([getattr(c, side) for c in space.columns]) for side in ("low", "high"))
    rows: Rows = (low + (high - low) * rng.random((n, space.row_len)) ** SKEW).astype(np.int32)
    rows[rng.random(rows.shape) < 0.1] = 0
    return rows


def write_examples(path: Path, space: IndexSpace) -> None:
    """Write examples as Parquet. Their labels follow planted weights, one for each index, ±0.5 in the mean."""
    rng = np.random.default_rng(5)
    rows = random_rows(space, EXAMPLES, seed=4)
    planted = rng.normal(0, 0.35, space.table_rows)
    planted[0] = 0
    logit = planted[rows].sum(axis=1) - 2.5  # σ of the sum ≈ 2
    label = rng.random(EXAMPLES) < 1 / (1 + np.exp(-logit))
    table = pa.table({"row": pa.array(list(rows), pa.list_(pa.int32())), "label": label.astype(np.float32)})
    pq.write_table(table, path)


def _run(command: list[str | Path]) -> None:
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{json.dumps([str(c) for c in command])} failed:\n{done.stderr.strip()}")
