"""Write the model versions that Go tests load, in internal/engine/tensorflow, internal/models and internal/scoring.

Usage: make_versions.py OUT

Most are plain tf.Modules in the layout of docs/contracts.md, with golden rows computed here by TensorFlow, under
OUT/<name>/; the Go side gives copies of them other version numbers and damages them. OUT/pytrain_<kind>/ are models
that pytrain learnt and exported: their golden rows come from Keras.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from pytrain.export import VersionWriter
from pytrain.learner import Learner
from pytrain.loop import Learnt
from pytrain.recipe import parse_recipe

if TYPE_CHECKING:
    from collections.abc import Callable

LEARNT_RECIPE = """\
model: ctr
label: click
architecture: {architecture}
optimizer: {{kind: lazy_adam, learning_rate: 0.05}}
training: {{seed: 1, batch_rows: 256, base_rate: 0.05}}
features:
  - {{name: site, source: inventory.domain, encoder: hash, buckets: 500}}
  - {{name: country, source: device.geo.country, encoder: vocabulary, values: [US, CA, GB]}}
  - {{name: categories, source: inventory.categories, slots: 3, encoder: hash, buckets: 64}}
  - {{name: both, transform: cross, of: [site, country], encoder: hash, buckets: 2000}}
"""
RECIPE = "model: ctr\nlabel: click\n"


class LogReg(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Probability = sigmoid(bias + sum of the row's weights); index 0 weighs nothing."""

    def __init__(self, *, row_len: int, table_rows: int, bias: float, seed: int, dtype: tf.DType = tf.float32) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        weights = rng.normal(0, 0.3, table_rows).astype(np.float32)
        weights[0] = 0
        self.row_len = row_len
        self.dtype = dtype
        self.weights = tf.Variable(weights)
        self.bias = tf.Variable(np.float32(bias))

    def score(self, rows: tf.Tensor) -> tf.Tensor:
        """(B, F) int32 -> (B,)."""
        logits = self.bias + tf.reduce_sum(tf.gather(self.weights, rows), axis=1)
        return tf.cast(tf.sigmoid(logits), self.dtype)


class DeepFM(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
    """Linear part, factorisation machine and a small perceptron over one table, as pytrain's."""

    def __init__(self, *, row_len: int, table_rows: int, dim: int, hidden: tuple[int, ...], seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.row_len = row_len
        self.linear = tf.Variable(rng.normal(0, 0.05, table_rows).astype(np.float32))
        self.embeddings = tf.Variable(rng.normal(0, 0.05, (table_rows, dim)).astype(np.float32))
        self.bias = tf.Variable(np.float32(-2.0))
        sizes = (row_len * dim, *hidden, 1)
        self.kernels = [
            tf.Variable(rng.normal(0, 1 / np.sqrt(a), (a, b)).astype(np.float32)) for a, b in itertools.pairwise(sizes)
        ]
        self.biases = [tf.Variable(np.zeros(b, np.float32)) for b in sizes[1:]]

    def score(self, rows: tf.Tensor) -> tf.Tensor:
        """(B, F) int32 -> (B,)."""
        e = tf.gather(self.embeddings, rows)  # (B, F, k)
        total = tf.reduce_sum(e, axis=1)
        fm = 0.5 * tf.reduce_sum(total * total - tf.reduce_sum(e * e, axis=1), axis=1)
        h = tf.reshape(e, (-1, self.row_len * e.shape[2]))
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            h = h @ kernel + bias
            if i + 1 < len(self.kernels):
                h = tf.nn.relu(h)
        linear = tf.reduce_sum(tf.gather(self.linear, rows), axis=1)
        return tf.sigmoid(self.bias + linear + fm + h[:, 0])


def write(out: Path, module: LogReg | DeepFM, *, table_rows: int, golden_rows: int = 64) -> None:
    """Export the module with manifest, recipe and golden rows; golden row 0 is all zeros."""
    row_len = module.row_len
    score: Callable[[tf.Tensor], tf.Tensor] = module.score

    def serve(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probability": score(rows)}

    function = tf.function(serve, input_signature=[tf.TensorSpec((None, row_len), tf.int32, name="rows")])
    tf.saved_model.save(module, str(out), signatures={"serving_default": function})

    saved = saved_model_pb2.SavedModel.FromString((out / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    rng = np.random.default_rng(7)
    x = rng.integers(0, table_rows, (golden_rows, row_len), dtype=np.int32)
    x[0] = 0
    p = np.asarray(score(tf.constant(x)), np.float32)

    extra = out / "assets.extra"
    extra.mkdir()
    (extra / "recipe.yaml").write_text(RECIPE)
    golden = {"n": golden_rows, "f": row_len, "x": x.astype("<i4").tobytes(), "p": p.astype("<f4").tobytes()}
    (extra / "golden.msgpack").write_bytes(msgpack.packb(golden))
    files = {
        str(f.relative_to(out)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(out.rglob("*"))
        if f.is_file()
    }
    manifest = {
        "schema": 1,
        "model": "ctr",
        "version": 1,
        "label": "click",
        "created": "2026-01-02T03:04:05Z",
        "row_len": row_len,
        "table_rows": table_rows,
        "signature": {
            "name": "serving_default",
            "input": "rows",
            "output": "probability",
            "input_tensor": signature.inputs["rows"].name,
            "output_tensor": signature.outputs["probability"].name,
        },
        "files": files,
        "training": {"rows": 1000, "from_ms": 1, "to_ms": 2, "position": {"sequence": 17}},
        "metrics": {"log_loss": 0.5, "auc": None},
    }
    (extra / "manifest.json").write_text(json.dumps(manifest, indent=1))


def learn(out: Path, architecture: str) -> None:
    """Have pytrain learn from random rows, so that every weight has moved, and export."""
    recipe_yaml = LEARNT_RECIPE.format(architecture=architecture).encode()
    recipe = parse_recipe(recipe_yaml, where="recipe.yaml")
    learner = Learner(recipe)
    rng = np.random.default_rng(5)
    low = np.array([c.low for c in recipe.space.columns])
    high = np.array([c.high for c in recipe.space.columns])
    for _ in range(30):
        x = rng.integers(low, high, (256, recipe.space.row_len)).astype(np.int32)
        y = (rng.random(256) < np.where(x[:, 0] % 2 == x[:, 1] % 2, 0.8, 0.1)).astype(np.float32)
        learner.learn(x, y, np.ones(256, np.float32))
    out.mkdir()
    learnt = Learnt(rows=30 * 256, pos=None, from_ms=1, to_ms=2, metrics={})
    VersionWriter(learner, recipe_yaml=recipe_yaml).write(out, 1, learnt)


def main() -> None:
    """Write them all."""
    out = Path(sys.argv[1])
    small = {"row_len": 8, "table_rows": 1000}
    for name, bias in (("a", -1.0), ("b", -0.5), ("c", 0.25)):
        write(out / name, LogReg(**small, bias=bias, seed=1), table_rows=1000)
    write(out / "nan", LogReg(**small, bias=float("nan"), seed=1), table_rows=1000)
    write(out / "float64", LogReg(**small, bias=0.0, seed=1, dtype=tf.float64), table_rows=1000)
    write(out / "logreg", LogReg(row_len=32, table_rows=1 << 20, bias=-2.0, seed=2), table_rows=1 << 20)
    deepfm = DeepFM(row_len=32, table_rows=1 << 18, dim=8, hidden=(128, 64, 32), seed=3)
    write(out / "deepfm", deepfm, table_rows=1 << 18, golden_rows=300)
    learn(out / "pytrain_logreg", "{kind: logreg}")
    learn(out / "pytrain_fm", "{kind: fm, embedding_dim: 4}")
    learn(out / "pytrain_deepfm", "{kind: deepfm, embedding_dim: 8, hidden: [32, 16]}")


if __name__ == "__main__":
    main()
