"""`pytrain port`: a fitted model as a plan, in a version that the bidder serves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from pytrain import loop
from pytrain.cli_fit import StoreOption, publish
from pytrain.errors import ConfigError
from pytrain.recipe import NAME


def port(
    file: Annotated[
        Path,
        typer.Argument(help="A fitted model: scikit-learn (.skops), LightGBM (.txt) or XGBoost (.json, .ubj)."),
    ],
    store_dir: StoreOption,
    model: Annotated[str, typer.Option("--model", help="The model's name in the store.")],
    label: Annotated[str, typer.Option("--label", help="What it predicts, as click; it is shown, not used.")] = "value",
    text_input: Annotated[
        str, typer.Option("--text-input", help="The name of the one input of a model that reads only a text.")
    ] = "text",
) -> None:
    """Publish a fitted model as a plan: operators and parameters as data, which the bidder computes without Python.

    The plan gives scikit-learn's own answers, to 1e-6, or 1e-12 for trees alone. What no plan can express exactly is
    refused: the message names the step, and what to use instead. A model that was fitted on a DataFrame has one input a
    column. Only .skops files of trusted types are opened. The last line on stdout is one JSON object.

    Example: `python -m pytrain port model.skops --store var/store --model churn`
    """
    from pytrain.plan.importing import import_model  # noqa: PLC0415 - scikit-learn takes a second
    from pytrain.plan.reading import read_model  # noqa: PLC0415
    from pytrain.plan.version import OBJECTS, PlanWriter  # noqa: PLC0415

    if not re.fullmatch(NAME, model) or model == OBJECTS:
        raise ConfigError(f"{model!r} is no name", where="--model", remedy=f"match {NAME}, but not {OBJECTS}, as churn")
    for option, value in (("--label", label), ("--text-input", text_input)):
        if not value:
            raise ConfigError("is empty", where=option, remedy="give it a text, or leave it out")
    ported = import_model(read_model(file), file=str(file), text=text_input)
    writer = PlanWriter(ported, name=model, label=label, objects=store_dir / OBJECTS, where=str(file))
    path = publish(store_dir, model, writer, loop.Learnt(rows=0, pos=None, from_ms=0, to_ms=0, metrics={}))
    plan = ported.plan
    typer.echo(f"published {path}")
    for read in plan.inputs:
        typer.echo(f"  reads {read.name}: {read.type}" + (f"[{read.width}]" if read.width > 1 else ""))
    for name, output in plan.outputs.items():
        classes = f" of {', '.join(map(str, plan.labels))}" if name in ("probability", "class") else ""
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
