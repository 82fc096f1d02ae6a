"""Model versions: a lean serving graph that holds the weights once, maybe a plan, manifest, recipe and golden rows.

The formats of a version have the same weights, and the same golden rows hold for all. A plan's operators compute what
the serving graph computes (plan/learned.py).

Keras' own `model.export` writes every weight twice, and saving the model also writes the optimizer's slots. A
`tf.Module` with only the weights writes 4·N·(1 + k) bytes for the table and a little more.

The serving graph is the model of models.py with fewer operations, because their number decides the cost of a row. E are
the gathered rows (B, F, 1 + k), with weights in column 0:

    S = Σ_f E    Q = Σ_f E²    H = MLP(E flattened)    logit = [S, S² − Q, H] · head + bias

where head is 1 for S's weight column, ½ for each embedding column of S² − Q, the MLP's last kernel for H, and 0
elsewhere. The MLP's first kernel has zero rows where E holds weights. So no slice is needed, and the last product adds
the linear part, pairs and MLP at once. The golden probabilities come from the Keras model, so that any difference is
found.
"""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from pytrain import manifest as mf
from pytrain.errors import VersionError
from pytrain.plan.codec import write_plan
from pytrain.plan.learned import plan_of, weights_of
from pytrain.scoring import Version

if TYPE_CHECKING:
    from pathlib import Path

    from pytrain.frames import Float32s
    from pytrain.learner import Learner
    from pytrain.loop import Learnt


class ServingModule(tf.Module):  # type: ignore[misc] # TensorFlow's types are not followed
    """The weights and the serving graph: the learner's own table, and copies, made by `refresh`, of the small rest."""

    def __init__(self, learner: Learner) -> None:
        super().__init__(name="serving")
        model = learner.model
        self._learner = _Untracked(learner)
        self.table = model.table
        self.bias = tf.Variable(tf.zeros([1]), trainable=False, name="bias")
        f, width = model.row_len, model.table.shape[1]
        self.kernels: list[tf.Variable] = []
        self.biases: list[tf.Variable] = []
        if model.kind != "logreg":
            for layer in model.mlp[:-1]:
                rows = layer.kernel.shape[0] if self.kernels else f * width
                self.kernels.append(tf.Variable(tf.zeros([rows, layer.units]), trainable=False, name="kernel"))
                self.biases.append(tf.Variable(tf.zeros([layer.units]), trainable=False, name="layer_bias"))
            last = model.mlp[-1].kernel.shape[0] if model.mlp else 0
            self.head = tf.Variable(tf.zeros([2 * width + last, 1]), trainable=False, name="head")
        self.refresh()
        self.serve = tf.function(self._serve, input_signature=[tf.TensorSpec([None, f], tf.int32, name="rows")])

    def refresh(self) -> None:
        """Copy everything but the table from the learner, rearranged."""
        model = self._learner.value.model
        self.bias.assign(tf.reshape(model.bias, [1]))
        if model.kind == "logreg":
            return
        f, width = model.row_len, model.table.shape[1]
        for i, (kernel, bias, layer) in enumerate(zip(self.kernels, self.biases, model.mlp[:-1], strict=True)):
            weights = layer.kernel.numpy()
            if i == 0:
                padded = np.zeros((f, width, layer.units), np.float32)
                padded[:, 1:] = weights.reshape(f, width - 1, layer.units)
                weights = padded.reshape(f * width, layer.units)
            kernel.assign(weights)
            bias.assign(layer.bias.value)
        sums, pairs = np.zeros(width, np.float32), np.full(width, 0.5, np.float32)
        sums[0], pairs[0] = 1, 0
        mlp = model.mlp[-1].kernel.numpy()[:, 0] if model.mlp else np.empty(0, np.float32)
        self.head.assign(np.concatenate([sums, pairs, mlp])[:, None])

    def _serve(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        e = tf.gather(self.table, rows)  # (B, F, 1 + k)
        if not hasattr(self, "head"):
            return {"probability": tf.sigmoid(tf.reduce_sum(e, axis=[1, 2]) + self.bias)}
        s, q = tf.reduce_sum(e, axis=1), tf.reduce_sum(tf.square(e), axis=1)  # (B, 1 + k)
        parts = [s, tf.square(s) - q]
        if self.kernels:
            h = tf.reshape(e, [-1, e.shape[1] * e.shape[2]])  # (B, F·(1 + k))
            for kernel, bias in zip(self.kernels, self.biases, strict=True):
                h = tf.nn.relu(tf.nn.bias_add(tf.matmul(h, kernel), bias))
            parts.append(h)
        logit = tf.nn.bias_add(tf.matmul(tf.concat(parts, axis=1), self.head), self.bias)  # (B, 1)
        return {"probability": tf.sigmoid(tf.reshape(logit, [-1]))}


class _Untracked:
    """Hide an object from TensorFlow, so that it is not saved with the module."""

    def __init__(self, value: Learner) -> None:
        self.value = value


class VersionWriter:
    """Writes versions of one learner, in the formats that its recipe exports; the serving graph is traced once.

    Parameters
    ----------
    objects
        Where the parameters of plans go, `<store>/objects`; needed to write a version if the recipe exports plans.
    verify
        Load every format of a version that was written, and compare its golden rows.
    """

    def __init__(
        self, learner: Learner, *, recipe_yaml: bytes, objects: Path | None = None, verify: bool = True
    ) -> None:
        self._learner = learner
        self._recipe_yaml = recipe_yaml
        self._objects = objects
        self._verify = verify
        self._module = ServingModule(learner)
        self._serve = self._module.serve.get_concrete_function() if "savedmodel" in learner.recipe.export else None

    def write(
        self, directory: Path, version: int, learnt: Learnt, *, metrics: dict[str, float | int | None] | None = None
    ) -> None:
        """Fill an empty directory with a complete version; the caller syncs and renames it.

        Objects of a plan are written whole and synced before `write` returns, so that the version never appears
        without them. If it does not appear after all, they are left over.

        Raises
        ------
        VersionError
            The written version, loaded again, gives other probabilities than the Keras model.
        """
        recipe = self._learner.recipe
        space = recipe.space
        self._module.refresh()
        if self._serve is not None:
            options = tf.saved_model.SaveOptions(save_debug_info=False)
            tf.saved_model.save(self._module, os.fspath(directory), {"serving_default": self._serve}, options)
            (directory / "assets").rmdir()  # always there, always empty
        named = None
        if "plan" in recipe.export:
            assert self._objects is not None  # noqa: S101 - the commands that write versions see to it
            named = write_plan(plan_of(recipe, weights_of(self._module)), directory, self._objects)
        x = mf.golden_rows(space, seed=recipe.training.seed)
        p = self._learner.predict(x)
        extra = directory / "assets.extra"
        extra.mkdir()
        (directory / mf.RECIPE).write_bytes(self._recipe_yaml)
        (directory / mf.GOLDEN).write_bytes(mf.pack_golden(x, p))
        document = mf.Manifest(
            model=recipe.model,
            version=version,
            label=recipe.label,
            created=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            row_len=space.row_len,
            table_rows=space.table_rows,
            formats=recipe.export,
            signature=None if self._serve is None else _signature(directory),
            files=mf.hash_files(directory),
            objects=named,
            training=mf.TrainedOn(
                rows=learnt.rows, from_ms=learnt.from_ms, to_ms=learnt.to_ms, position=mf.json_position(learnt.pos)
            ),
            metrics=learnt.metrics if metrics is None else metrics,
        )
        (directory / mf.MANIFEST).write_bytes(document.dump())
        for format_ in recipe.export if self._verify else ():
            _check_written(directory, p, format_, self._objects)


def _signature(directory: Path) -> mf.Signature:
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((directory / "saved_model.pb").read_bytes())
    serving = proto.meta_graphs[0].signature_def["serving_default"]
    return mf.Signature(input_tensor=serving.inputs["rows"].name, output_tensor=serving.outputs["probability"].name)


def _check_written(directory: Path, p: Float32s, format_: str, objects: Path | None) -> None:
    version = Version(directory, check_sums=False, format_=format_, objects=objects)
    got = version.score(mf.read_golden(directory)[0])
    worst = float(np.abs(got - p).max())
    if not worst <= mf.TOLERANCE:
        raise VersionError(
            f"the written {format_} is off the Keras model by {worst:.2g}, more than {mf.TOLERANCE}",
            where=str(directory),
            remedy="report this with the recipe; nothing was published",
        )
