"""What the tests of pytrain share: small recipes, random rows, and a learner without TensorFlow."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytrain.frames import Rows
from pytrain.recipe import Recipe, parse_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytrain.frames import Float32s, Int32s
    from pytrain.recipe import IndexSpace

FAST = "optimizer: {learning_rate: 0.01}"  # small tests have few rows to learn from
ARCHITECTURES = {
    "logreg": "{kind: logreg}",
    "fm": "{kind: fm, embedding_dim: 4}",
    "deepfm": "{kind: deepfm, embedding_dim: 4, hidden: [16, 8]}",
}


def recipe_yaml(kind: str = "logreg", *, buckets: int = 16, batch_rows: int = 64, extra: str = FAST) -> str:
    return f"""\
model: ctr
label: click
architecture: {ARCHITECTURES[kind]}
training: {{batch_rows: {batch_rows}, window_rows: 200, base_rate: 0.2, seed: 7}}
{extra}
features:
  - {{name: os, source: device.os, encoder: hash, buckets: {buckets}}}
  - {{name: country, source: device.geo.country, encoder: vocabulary, values: [US, CA, "NO"]}}
  - {{name: category, source: inventory.categories, slots: 2, encoder: hash, buckets: {buckets}}}
  - {{name: os_x_country, transform: cross, of: [os, country], encoder: hash, buckets: {buckets}}}
"""


def make_recipe(kind: str = "logreg", **options: Any) -> Recipe:
    return parse_recipe(recipe_yaml(kind, **options).encode(), where="test recipe")


def random_x(space: IndexSpace, n: int, *, seed: int = 0, missing: float = 0.1) -> Int32s:
    """Rows (n, F) with every index in its column's range."""
    rng = np.random.default_rng(seed)
    low, high = ([getattr(c, side) for c in space.columns] for side in ("low", "high"))
    x = rng.integers(low, high, size=(n, space.row_len))
    x[rng.random(x.shape) < missing] = 0
    return x.astype(np.int32)


def random_rows(space: IndexSpace, n: int, *, seed: int = 0, pos: object = None) -> Rows:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(np.float32)
    return Rows(random_x(space, n, seed=seed), y, np.ones(n, np.float32), np.arange(1, n + 1, dtype=np.int64), pos)


class CountingLearner:
    """A learner without TensorFlow: it counts how often each row was learnt, by the row's first index."""

    def __init__(self, size: int = 1 << 16) -> None:
        self.seen = np.zeros(size, np.int64)
        self.batches: list[int] = []

    def learn(self, x: Int32s, y: Float32s, w: Float32s) -> Float32s:
        assert len(x) == len(y) == len(w) > 0
        np.add.at(self.seen, x[:, 0], 1)
        self.batches.append(len(y))
        return np.full(len(y), 0.25, np.float32)

    def state(self) -> Mapping[str, Any]:
        return {"seen": self.seen.copy()}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        self.seen[:] = tensors["seen"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give TensorFlow one thread before any test runs, if a test wants that: another file's may come first here."""
    if any("one_thread" in getattr(item, "fixturenames", ()) for item in items):
        _set_one_thread()


def _set_one_thread() -> None:
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture(scope="session")
def one_thread() -> None:
    """TensorFlow with one thread, set before its first operation."""
    _set_one_thread()
