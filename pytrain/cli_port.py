"""`pytrain port-sklearn`: a fitted scikit-learn pipeline as a recipe and a version."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from pytrain import loop
from pytrain.cli_fit import StoreOption, ThreadsOption, VerifyOption, build_learner, publish
from pytrain.errors import ConfigError, InputError
from pytrain.files import DEFAULT_ENCODER, encode
from pytrain.recipe import NAME, OBJECTS, parse_recipe
from pytrain.store import write_file

if TYPE_CHECKING:
    from pytrain.recipe import Recipe


def port_sklearn(
    file: Annotated[Path, typer.Argument(help="A fitted pipeline, written by skops.io.dump.")],
    store_dir: StoreOption,
    model: Annotated[str, typer.Option("--model", help="The model's name in the store.")],
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="COLUMN=FIELD, repeated: the request field of each input column, as country=device.geo.country.",
        ),
    ] = None,
    label: Annotated[Literal["click", "conversion"], typer.Option(help="What the second class means.")] = "click",
    recipe_out: Annotated[Path | None, typer.Option("--recipe-out", help="Write the recipe there too.")] = None,
    encoder: Annotated[
        Path, typer.Option("--encoder", help="The trainer binary: Go must read the recipe as Python wrote it.")
    ] = DEFAULT_ENCODER,
    threads: ThreadsOption = 1,
    verify: VerifyOption = True,
) -> None:
    """Publish a scikit-learn pipeline of OneHotEncoder and LogisticRegression as a version with equal probabilities.

    The encoder may be in a ColumnTransformer. Every column becomes a vocabulary feature. Values never seen in training
    get the weight that scikit-learn gives them. A column whose name has a dot is its own source. Only .skops files of
    trusted types are opened. The last line on stdout is one JSON object.

    Example: `python -m pytrain port-sklearn model.skops --store var/store --model ctr_lr --source os=device.os`
    """
    if not re.fullmatch(NAME, model) or model == OBJECTS:
        raise ConfigError(
            f"{model!r} is no name", where="--model", remedy=f"match {NAME}, but not {OBJECTS}, as ctr_lr"
        )
    sources: dict[str, str] = {}
    for pair in source or ():
        column, equals, field = pair.partition("=")
        if not (column and equals and field):
            raise ConfigError(
                f"{pair!r} is not COLUMN=FIELD", where="--source", remedy="write it as country=device.geo.country"
            )
        sources[column] = field
    from pytrain.sklearn_port import load_pipeline, port  # noqa: PLC0415 - scikit-learn takes a second

    ported = port(load_pipeline(file), model=model, label=label, sources=sources, where=str(file))
    unused = sources.keys() - set(ported.columns)
    if unused:
        raise ConfigError(
            f"the pipeline has no column {', '.join(sorted(unused))}",
            where="--source",
            remedy=f"its columns are {', '.join(ported.columns)}",
        )
    recipe_yaml = ported.recipe.dump_yaml().encode()
    check_written(ported.recipe, recipe_yaml, encoder)
    learner, writer = build_learner(
        ported.recipe, recipe_yaml, threads=threads, objects=store_dir / OBJECTS, verify=verify
    )
    learner.set_weights(ported.table, ported.bias)
    path = publish(store_dir, model, writer, loop.Learnt(rows=0, pos=None, from_ms=0, to_ms=0, metrics={}))
    if recipe_out is not None:
        try:
            write_file(recipe_out, recipe_yaml)
        except OSError as e:
            raise ConfigError(
                f"cannot be written: {e.strerror or e}", where=str(recipe_out), remedy="name another file"
            ) from e
    typer.echo(f"published {path}")
    for feature, column in zip(ported.recipe.features, ported.columns, strict=True):
        typer.echo(f"  {column} → {feature.name} ({feature.source}), {feature.size - 1} values and other")
    print(json.dumps({"model": model, "version": int(path.name), "table_rows": ported.recipe.space.table_rows}))  # noqa: T201


def check_written(recipe: Recipe, recipe_yaml: bytes, encoder: Path) -> None:
    """Read a written recipe back in both languages, and let Go encode every value of every feature.

    Raises
    ------
    InputError
        Python or Go reads the recipe differently, so it must not be published.
    """
    remedy = "cast the column to other texts, and report this with the file"
    if parse_recipe(recipe_yaml, where="the written recipe") != recipe:
        raise InputError("Python reads it back as another recipe", where="the written recipe", remedy=remedy)
    names = [f.name for f in recipe.features]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*names, "label"])
    longest = max(len(f.values or ()) for f in recipe.features)
    want = np.zeros((longest, len(names)), np.int32)  # (rows, F): a row takes the next value of every feature
    for i in range(longest):
        row = [""] * len(names)
        for j, (feature, column) in enumerate(zip(recipe.features, recipe.space.columns, strict=True)):
            values = feature.values or ()
            if i < len(values):
                row[j], want[i, j] = values[i], column.low + i
        table.writerow([*row, 0])
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(recipe_yaml)
        file.flush()
        chunks = iter([text.getvalue().encode()])
        frames = list(encode(chunks, recipe, Path(file.name), encoder=encoder, where="the written recipe"))
    got = np.concatenate([f.x for f in frames])
    wrong = np.argwhere(got != want)
    if len(wrong):
        i, j = wrong[0]
        value = (recipe.features[j].values or ())[i]
        raise InputError(
            f"Go takes {value!r} of {names[j]} for another value", where="the written recipe", remedy=remedy
        )
