"""`pytrain port`: a fitted model, or a version that pytrain learnt, as a plan in a version that the bidder serves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytrain import loop
from pytrain import manifest as mf
from pytrain.cli_fit import StoreOption, publish
from pytrain.errors import ConfigError, VersionError
from pytrain.recipe import NAME, OBJECTS

if TYPE_CHECKING:
    from pytrain.plan.graph import Plan


def port(
    file: Annotated[
        Path,
        typer.Argument(
            help="A fitted model: scikit-learn (.skops), LightGBM (.txt), XGBoost (.json, .ubj), ONNX (.onnx). "
            "Or a version's directory."
        ),
    ],
    store_dir: StoreOption,
    model: Annotated[str, typer.Option("--model", help="The model's name in the store.")],
    label: Annotated[
        str | None,
        typer.Option(
            "--label", help="What it predicts, as click; it is shown, not used. Default: value; of a version, its own."
        ),
    ] = None,
    text_input: Annotated[
        str, typer.Option("--text-input", help="The name of the one input of a model that reads only a text.")
    ] = "text",
) -> None:
    """Publish a model as a plan: operators and parameters as data, which the bidder computes without Python.

    The plan of a fitted model gives its library's own answers, to 1e-6, or 1e-12 for trees alone. What no plan can
    express exactly is refused: the message names the step, and what to use instead. A model that was fitted on a
    DataFrame has one input a column. Only .skops files of trusted types are opened.

    A version that pytrain learnt, <store>/<model>/<version>, becomes a plan of the same weights. Its recipe and golden
    rows stay, so that auctions can use it. The last line on stdout is one JSON object.

    Example: `python -m pytrain port model.skops --store var/store --model churn`
    """
    if not re.fullmatch(NAME, model) or model == OBJECTS:
        raise ConfigError(f"{model!r} is no name", where="--model", remedy=f"match {NAME}, but not {OBJECTS}, as churn")
    for option, value in (("--label", label), ("--text-input", text_input)):
        if value == "":
            raise ConfigError("is empty", where=option, remedy="give it a text, or leave it out")
    if file.is_dir():
        path, plan = _port_version(file, store_dir, model, label)
    elif file.suffix == ".onnx":
        path, plan = _port_onnx(file, store_dir, model, label or "value")
    else:
        path, plan = _port_fitted(file, store_dir, model, label or "value", text_input)
    typer.echo(f"published {path}")
    for read in plan.inputs:
        typer.echo(f"  reads {read.name}: {read.type}" + (f"[{read.width}]" if read.width > 1 else ""))
    for name, output in plan.outputs.items():
        classes = f" of {', '.join(map(str, plan.labels))}" if plan.labels and name in ("probability", "class") else ""
        typer.echo(f"  gives {name}: {output.type}[{output.width}]{classes}")
    objects = {tensor.sha256: tensor.array.nbytes for value in plan.nodes for tensor in value.tensors.values()}
    summary = {
        "model": model,
        "version": int(path.name),
        "operators": len(plan.nodes),
        "objects": len(objects),
        "object_bytes": sum(objects.values()) + 64 * len(objects),
        "inputs": [value.name for value in plan.inputs],
        "outputs": list(plan.outputs),
    }
    print(json.dumps(summary))  # noqa: T201


def _port_fitted(file: Path, store_dir: Path, model: str, label: str, text_input: str) -> tuple[Path, Plan]:
    from pytrain.plan.importing import import_model  # noqa: PLC0415 - scikit-learn takes a second
    from pytrain.plan.reading import read_model  # noqa: PLC0415
    from pytrain.plan.version import PlanWriter  # noqa: PLC0415

    ported = import_model(read_model(file), file=str(file), text=text_input)
    writer = PlanWriter(ported, name=model, label=label, objects=store_dir / OBJECTS, where=str(file))
    path = publish(store_dir, model, writer, loop.Learnt(rows=0, pos=None, from_ms=0, to_ms=0, metrics={}))
    return path, ported.plan


def _port_onnx(file: Path, store_dir: Path, model: str, label: str) -> tuple[Path, Plan]:
    from pytrain.plan.onnx_port import OnnxPlanWriter, import_onnx, read_onnx  # noqa: PLC0415 - onnxruntime

    ported = import_onnx(read_onnx(file), file=str(file))
    writer = OnnxPlanWriter(ported, name=model, label=label, objects=store_dir / OBJECTS, where=str(file))
    path = publish(store_dir, model, writer, loop.Learnt(rows=0, pos=None, from_ms=0, to_ms=0, metrics={}))
    return path, ported.plan


def _port_version(source: Path, store_dir: Path, model: str, label: str | None) -> tuple[Path, Plan]:
    from pytrain.plan.learned import plan_of, read_weights  # noqa: PLC0415 - TensorFlow takes seconds
    from pytrain.plan.version import LearnedWriter  # noqa: PLC0415

    recipe, manifest = mf.read_recipe(source), mf.read_manifest(source)
    if "savedmodel" not in manifest.formats:
        raise VersionError(
            f"has no SavedModel among its formats ({', '.join(manifest.formats)}), and a plan is made of that",
            where=str(source),
            remedy="name a version that pytrain exported, with savedmodel in its recipe's export",
        )
    mf.check_files(source, manifest)
    if label not in (None, recipe.label):
        raise ConfigError(
            f"is {label}, but the version's recipe says {recipe.label}", where="--label", remedy="leave it out"
        )
    plan = plan_of(recipe, read_weights(source), where=str(source))
    writer = LearnedWriter(source, plan, recipe, manifest, name=model, objects=store_dir / OBJECTS)
    t = manifest.training
    learnt = loop.Learnt(rows=t.rows, pos=t.position, from_ms=t.from_ms, to_ms=t.to_ms, metrics=manifest.metrics)
    return publish(store_dir, model, writer, learnt), plan
