#!/usr/bin/env python3
"""Training throughput: pytrain's lazy Adam against Keras' Adam, which makes the table's gradient dense.

All three sides have the same model, batches and loss: `lazy_adam` and `adam` of pytrain, and keras.optimizers.Adam. One
thread, one run, medians of alternating rounds. Prints a table, and one JSON object as the last line.

    .venv/bin/python -m bench.train --rows 100000 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import tensorflow as tf

from pytrain.learner import Learner, set_threads
from pytrain.recipe import Recipe, parse_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

ARCHITECTURES = {
    "logreg": "{kind: logreg}",
    "fm": "{kind: fm, embedding_dim: 8}",
    "deepfm": "{kind: deepfm, embedding_dim: 8, hidden: [128, 64, 32]}",
}
BATCHES = 64  # distinct batches, used in turn


def recipe(kind: str, table_rows: int, features: int, batch_rows: int, optimizer: str) -> Recipe:
    buckets = (table_rows - 1) // features
    lines = "".join(
        f"  - {{name: f{i}, source: bench.f{i}, encoder: hash, buckets: {buckets}}}\n" for i in range(features)
    )
    text = (
        f"model: bench\nlabel: click\narchitecture: {ARCHITECTURES[kind]}\noptimizer: {{kind: {optimizer}}}\n"
        f"training: {{batch_rows: {batch_rows}}}\nfeatures:\n{lines}"
    )
    return parse_recipe(text.encode(), where="bench")


def keras_step(settings: Recipe) -> Callable[[Any, Any, Any], Any]:
    """Return a training step of the same model with keras.optimizers.Adam."""
    model = Learner(settings).model
    optimizer = keras.optimizers.Adam(settings.optimizer.learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator] # TensorFlow's types are not followed
    def step(x: Any, y: Any, w: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model.score(tf.gather(model.table, x))
            loss = tf.reduce_mean(w * tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits))
        variables = [v.value for v in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
        return tf.sigmoid(logits)

    return lambda x, y, w: step(tf.constant(x), tf.constant(y), tf.constant(w)).numpy()


def rate(step: Callable[[Any, Any, Any], Any], batches: list[Any], seconds: float) -> float:
    """Return thousands of examples a second, measured over `seconds`."""
    done = 0
    begin = time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds:
        x, y, w = batches[done % len(batches)]
        step(x, y, w)
        done += 1
    return done * len(batches[0][1]) / spent / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="table rows")
    parser.add_argument("--kinds", nargs="+", default=["deepfm"], choices=list(ARCHITECTURES))
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--batch-rows", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    results = []
    print(f"{'model':8} {'table rows':>10}  {'lazy':>8} {'dense':>8} {'Keras':>8}  k examples/s   lazy/Keras")
    for kind in options.kinds:
        for table_rows in options.rows:
            settings = {
                o: recipe(kind, table_rows, options.features, options.batch_rows, o) for o in ("lazy_adam", "adam")
            }
            columns = settings["adam"].space.columns
            rng = np.random.default_rng(0)
            batches = []
            for _ in range(BATCHES):  # Zipf within each feature: few values are frequent
                drawn = rng.zipf(1.2, size=(options.batch_rows, len(columns)))
                x = np.stack([c.low + drawn[:, i] % (c.high - c.low) for i, c in enumerate(columns)], axis=1)
                y = (rng.random(len(x)) < 0.05).astype(np.float32)
                batches.append((x.astype(np.int32), y, np.ones(len(x), np.float32)))
            steps = {o: Learner(s).learn for o, s in settings.items()} | {"keras_adam": keras_step(settings["adam"])}
            for step in steps.values():
                step(*batches[0])  # traces the function
            rounds: dict[str, list[float]] = {name: [] for name in steps}
            for _ in range(options.rounds):
                for name, step in steps.items():
                    rounds[name].append(rate(step, batches, options.seconds))
            median = {name: statistics.median(values) for name, values in rounds.items()}
            ratio = median["lazy_adam"] / median["keras_adam"]
            figures = " ".join(f"{value:8.1f}" for value in median.values())
            print(f"{kind:8} {table_rows:>10,}  {figures}  {'':12}   {ratio:.2f}", flush=True)
            results.append(
                {"model": kind, "table_rows": table_rows, "k_examples_per_s": median, "ratio": ratio, "rounds": rounds}
            )
    setup = {k: getattr(options, k) for k in ("features", "batch_rows", "threads", "seconds", "rounds")}
    print(json.dumps({"bench": "train", **setup, "results": results}))


if __name__ == "__main__":
    main()
