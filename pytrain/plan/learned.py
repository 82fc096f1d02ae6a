"""Versions that pytrain learnt as plans: logreg, fm and deepfm over rows of indices.

TensorFlow is imported by `read_weights` alone.

The weights are those of the serving graph (export.py), not of the Keras model, so that the plan adds the same numbers:

    logit = operator(rows: int32[F])    probability = float32(sigmoid(float64(logit)))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain import build
from pytrain.errors import VersionError
from pytrain.plan.graph import Plan
from pytrain.plan.places import Place, at
from pytrain.plan.values import Input, node

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from pytrain.recipe import Recipe

    Floats = npt.NDArray[np.float32]

_REMEDY = "port a version that this pytrain exported"
_VARIABLE = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True)
class Weights:
    """The variables of a serving graph, float32.

    Attributes
    ----------
    table
        (N, 1 + k): linear weight and embedding of each index.
    bias
        (1,)
    kernels, biases
        Of the hidden layers: (F·(1 + k), h0), (h0, h1), … and (h0,), (h1,), …
    head
        (2·(1 + k) + h_last, 1), what [S, S² − Q, H] is multiplied with; None for logreg.
    """

    table: Floats
    bias: Floats
    kernels: tuple[Floats, ...] = ()
    biases: tuple[Floats, ...] = ()
    head: Floats | None = None


def weights_of(module: Any) -> Weights:
    """Return the weights of an `export.ServingModule`."""
    head = getattr(module, "head", None)
    return Weights(
        table=module.table.numpy(),
        bias=module.bias.numpy(),
        kernels=tuple(v.numpy() for v in module.kernels),
        biases=tuple(v.numpy() for v in module.biases),
        head=None if head is None else head.numpy(),
    )


def read_weights(version_dir: Path) -> Weights:
    """Read the weights of a version's SavedModel: its variables, not its graph.

    Raises
    ------
    VersionError
        They are absent, damaged, or not those of a serving graph.
    """
    import tensorflow as tf  # noqa: PLC0415 - it takes seconds

    path = version_dir / "variables" / "variables"
    try:
        checkpoint = tf.train.load_checkpoint(str(path))
        names = set(checkpoint.get_variable_to_shape_map())

        def read(name: str) -> Floats:
            return np.asarray(checkpoint.get_tensor(name + _VARIABLE))

        layers = sum(name.startswith("kernels/") for name in names)
        return Weights(
            table=read("table"),
            bias=read("bias"),
            kernels=tuple(read(f"kernels/{i}") for i in range(layers)),
            biases=tuple(read(f"biases/{i}") for i in range(layers)),
            head=read("head") if "head" + _VARIABLE in names else None,
        )
    except (ValueError, RuntimeError, tf.errors.OpError) as e:
        raise VersionError(f"its variables cannot be read: {e}", where=str(path), remedy=_REMEDY) from e


def plan_of(recipe: Recipe, weights: Weights, *, where: str = "") -> Plan:
    """Return the plan of a recipe's model: `rows` int32[F] to `probability` float32.

    Parameters
    ----------
    where
        What to call the version in messages.

    Raises
    ------
    VersionError
        The weights are not of the recipe's shapes, or not of a form that the operators compute.
    """
    kind = recipe.architecture.kind
    where = where or recipe.model
    _check(recipe, weights, where)
    tensors: dict[str, npt.NDArray[Any]] = {"table": weights.table, "bias": weights.bias}
    settings: dict[str, Any] = {}
    if kind == "deepfm":
        assert weights.head is not None  # noqa: S101 - _check has seen it
        settings["layers"] = len(weights.kernels)
        tensors["head"] = weights.head
        for i, (kernel, bias) in enumerate(zip(weights.kernels, weights.biases, strict=True)):
            tensors[f"kernel{i}"], tensors[f"layer_bias{i}"] = kernel, bias
    rows = Input("rows", "int32", width=recipe.space.row_len)
    with at(Place((f"{recipe.model}: {kind}",))):
        logit = node(OPERATORS[kind], [rows], settings, tensors)
        probability = logit.cast("float64").link("sigmoid").cast("float32")
    version, _ = build.version_and_commit()
    described = f"{kind} of {recipe.space.row_len} fields"
    if kind != "logreg":
        described += f", embedding_dim {recipe.architecture.embedding_dim}"
    if recipe.architecture.hidden:
        described += f", hidden {list(recipe.architecture.hidden)}"
    return Plan(inputs=(rows,), outputs={"probability": probability}, source=f"pytrain {version}: {described}")


OPERATORS = {"logreg": "indices_linear", "fm": "fm", "deepfm": "deepfm"}


def _check(recipe: Recipe, weights: Weights, where: str) -> None:
    a, space, width = recipe.architecture, recipe.space, recipe.table_width
    want: dict[str, tuple[int, ...]] = {"table": (space.table_rows, width), "bias": (1,)}
    got: dict[str, Floats] = {"table": weights.table, "bias": weights.bias}
    read = space.row_len * width
    for i, units in enumerate(a.hidden):
        want |= {f"kernels[{i}]": (read, units), f"biases[{i}]": (units,)}
        read = units
    for i, (kernel, bias) in enumerate(zip(weights.kernels, weights.biases, strict=True)):
        got |= {f"kernels[{i}]": kernel, f"biases[{i}]": bias}
    if a.kind != "logreg":
        want["head"] = (2 * width + (read if a.hidden else 0), 1)
    if weights.head is not None:
        got["head"] = weights.head
    faults = [
        f"{name} is {_shape(got.get(name))}, the recipe's {a.kind} has {_shape(want.get(name))}"
        for name in sorted(want.keys() | got.keys())
        if name not in got or got[name].shape != want.get(name) or got[name].dtype != np.float32
    ]
    if not faults and a.kind == "fm" and not np.array_equal(_fm_head(width), got["head"]):
        faults.append("head is not 1 for weights and ½ for pairs, as an fm's is")
    if faults:
        raise VersionError("; ".join(faults), where=where, remedy=_REMEDY)


def _shape(found: Floats | tuple[int, ...] | None) -> str:
    if found is None:
        return "nothing"
    return str(list(found)) if isinstance(found, tuple) else f"{found.dtype}{list(found.shape)}"


def _fm_head(width: int) -> Floats:
    head = np.full((2 * width, 1), 0.5, np.float32)
    head[1:width] = head[width] = 0
    head[0] = 1
    return head
