"""`pytrain export-onnx`: a version that pytrain learnt as an ONNX file, or as a version whose format is onnx."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from pytrain import loop, store
from pytrain import manifest as mf
from pytrain.cli_fit import publish
from pytrain.errors import ConfigError
from pytrain.recipe import NAME


def export_onnx(
    version: Annotated[Path, typer.Argument(help="A version that pytrain learnt: <store>/<model>/<version>.")],
    out: Annotated[Path | None, typer.Argument(help="The ONNX file to write, as model.onnx.")] = None,
    store_dir: Annotated[
        Path | None, typer.Option("--store", help="Publish it as a version of this model store too, or instead.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The model's name there; its own name and _onnx if not given.")
    ] = None,
) -> None:
    """Write a version's model as ONNX, which any ONNX runtime computes, and the bidder too.

    The model takes `rows`, int32[N, F], indices as the version's recipe encodes them, and gives `probability`,
    float32[N]. Before it is written, onnxruntime must give the version's golden probabilities to 1e-6. With --store,
    the bidder can serve it beside the version it is from. The last line on stdout is one JSON object.

    Example: `python -m pytrain export-onnx var/store/ctr/7 ctr.onnx`
    """
    if out is None and store_dir is None:
        raise ConfigError("nothing is to be written", where="export-onnx", remedy="name a file, or a --store")
    manifest = mf.read_manifest(version)
    name = model or f"{manifest.model}_onnx"
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"{name!r} is no name", where="--model", remedy=f"match {NAME}, as ctr_onnx")
    if "savedmodel" not in manifest.formats:
        raise ConfigError(
            f"has the formats {', '.join(manifest.formats)}, and a SavedModel is needed",
            where=str(version),
            remedy="name a version that pytrain learnt, with savedmodel in its recipe's export",
        )
    mf.check_files(version, manifest)
    recipe = mf.read_recipe(version)
    from pytrain.onnx_file import OnnxWriter, check, model_of  # noqa: PLC0415 - onnxruntime
    from pytrain.plan.learned import read_weights  # noqa: PLC0415

    data = model_of(recipe, read_weights(version), where=str(version)).SerializeToString()
    difference = check(data, *mf.read_golden(version), where=str(version))
    if out is not None:
        try:
            store.write_file(out, data)
        except OSError as e:
            remedy = "name a file in a directory that may be written"
            raise ConfigError(f"cannot be written: {e.strerror or e}", where=str(out), remedy=remedy) from e
        typer.echo(f"wrote {out}")
    summary: dict[str, object] = {"bytes": len(data), "golden_difference": difference}
    if store_dir is not None:
        trained = manifest.training
        learnt = loop.Learnt(
            rows=trained.rows, pos=None, from_ms=trained.from_ms, to_ms=trained.to_ms, metrics=manifest.metrics
        )
        path = publish(store_dir, name, OnnxWriter(data, version, manifest, name), learnt)
        typer.echo(f"published {path}")
        summary |= {"model": name, "version": int(path.name)}
    print(json.dumps(summary))  # noqa: T201
