"""`pytrain fit-file`, `evaluate` and `inspect`: learn from files, evaluate a version, show its content."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pytrain import loop, manifest, report
from pytrain.cli_fit import ObjectsOption, RecipeOption, ThreadsOption, VerifyOption, build_learner, publish
from pytrain.errors import ConfigError
from pytrain.files import DEFAULT_ENCODER, Examples, read_examples
from pytrain.metrics import Summary, Window, base_rate, calibration_bins
from pytrain.recipe import OBJECTS, Recipe, load_recipe
from pytrain.scoring import FORMATS, Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytrain.learner import Learner
    from pytrain.manifest import Manifest

FileArgument = Annotated[Path, typer.Argument(help="Parquet or CSV, raw or encoded; or a directory of Parquet files.")]
VersionArgument = Annotated[Path, typer.Argument(help="<store>/<model>/<version>")]
EncoderOption = Annotated[Path, typer.Option("--encoder", help="The trainer binary, which encodes raw values.")]

TABLE_WIDTH = 150  # if stdout is not a terminal; otherwise the terminal's width


def fit_file(
    file: FileArgument,
    recipe: RecipeOption,
    store_dir: Annotated[
        Path | None, typer.Option("--store", help="Publish the result there as the next version, and promote it.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the examples.")] = 1,
    holdout: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the examples, the latest ones, kept for evaluation.")
    ] = 0.2,
    shuffle: Annotated[
        bool, typer.Option(help="Learn in a random order (by the recipe's seed), not in the file's order.")
    ] = False,
    encoder: EncoderOption = DEFAULT_ENCODER,
    threads: ThreadsOption = 1,
    verify: VerifyOption = True,
) -> None:
    """Learn from a file of examples, evaluate on its latest part, and publish if asked.

    A file is encoded or raw. An encoded file has columns `row` and `label`, like the trainer's archive. A raw file has
    `label` and a column for each feature of the recipe; several values of one feature are joined by `|`. Both may have
    `weight` and `time_ms`. With `time_ms` the examples are first ordered by time. The last line on stdout is one JSON
    object.

    Example: `python -m pytrain fit-file clicks.parquet --recipe models/ctr/recipe.yaml --store var/store --epochs 2`
    """
    settings = load_recipe(recipe)
    examples = _read(file, settings, recipe, encoder)
    cut = round(len(examples) * (1 - holdout))
    if cut < 1:
        raise ConfigError("leaves nothing to learn from", where="--holdout", remedy="name a smaller share")
    objects = None if store_dir is None else store_dir / OBJECTS
    learner, writer = build_learner(settings, recipe.read_bytes(), threads=threads, objects=objects, verify=verify)
    train, test = examples.part(0, cut), examples.part(cut, len(examples))
    progressive = _learn(learner, train, epochs=epochs, shuffle=shuffle)
    summaries = [("as it learnt, first pass", progressive)]
    prior = base_rate(train.rows.y, train.rows.w)
    if len(test):
        y, w = test.rows.y, test.rows.w
        summaries += [
            (f"holdout, latest {holdout:.0%}", Summary.of(y, _predict(learner, test), w)),
            (f"holdout, constant {prior:.5f}", Summary.of(y, np.full(len(y), prior, np.float32), w)),
        ]
    out = _console()
    out.print(report.summary_table(f"{settings.model}: {len(train):,} examples, {epochs} passes", summaries))
    judged = summaries[1 if len(test) else 0][1].wire()
    times = train.rows.t[train.rows.t > 0]
    result: dict[str, Any] = {
        "model": settings.model,
        "rows": len(train),
        "epochs": epochs,
        "progressive": progressive.wire(),
        "holdout": judged if len(test) else None,
        "prior": summaries[2][1].wire() if len(test) else None,
        "version": None,
    }
    if store_dir is not None:
        learnt = loop.Learnt(
            rows=len(train) * epochs,
            pos=None,
            from_ms=int(times.min()) if len(times) else 0,
            to_ms=int(times.max()) if len(times) else 0,
            metrics=judged,
        )
        path = publish(store_dir, settings.model, writer, learnt)
        out.print(f"published {path}", soft_wrap=True)
        result["version"] = int(path.name)
    print(json.dumps(result))  # noqa: T201


def evaluate(
    version: VersionArgument,
    file: FileArgument,
    prior: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="The constant to compare with. Default: the file's own rate, the best constant."
        ),
    ] = None,
    bins: Annotated[int, typer.Option(min=1, max=1000, help="Bins of calibration.")] = 10,
    window_count: Annotated[int, typer.Option("--windows", min=1, max=1000, help="Windows in time.")] = report.WINDOWS,
    plot: Annotated[Path | None, typer.Option(help="Plot predicted against observed rates here (PNG).")] = None,
    objects: ObjectsOption = None,
    encoder: EncoderOption = DEFAULT_ENCODER,
) -> None:
    """Evaluate a version on a file: AUC, log loss, normalised entropy, calibration by bin and by window of time.

    It is compared with a constant prediction, and with the served probabilities if the file has them. Raw values are
    encoded by the version's own recipe. The last line on stdout is one JSON object.

    Example: `python -m pytrain evaluate var/store/ctr/7 var/archive/ctr --plot reliability.png`
    """
    settings = manifest.read_recipe(version)
    loaded = _load(version, objects)
    examples = _read(file, settings, version / manifest.RECIPE, encoder)
    r = examples.rows
    p = loaded.score(r.x)
    constant = base_rate(r.y, r.w) if prior is None else prior
    summaries = [("version", Summary.of(r.y, p, r.w))]
    if examples.served is not None:
        summaries.append(("as served", Summary.of(r.y, examples.served, r.w)))
    summaries.append((f"constant {constant:.5f}", Summary.of(r.y, np.full(len(r), constant, np.float32), r.w)))
    found = calibration_bins(r.y, p, r.w, count=bins)
    by_window = report.windows(examples, p, constant, window_count)
    name = f"{settings.model} version {loaded.manifest.version}"
    out = _console()
    out.print(report.summary_table(f"{name} on {file}", summaries))
    out.print(report.bins_table(found))
    out.print(report.windows_table(by_window))
    if plot is not None:
        try:
            report.plot_reliability(found, name, plot)
        except OSError as e:
            raise ConfigError(
                f"cannot be written: {e.strerror or e}", where=str(plot), remedy="name another file"
            ) from e
    result = {
        "model": settings.model,
        "version": loaded.manifest.version,
        "metrics": summaries[0][1].wire(),
        "served": summaries[1][1].wire() if examples.served is not None else None,
        "prior": summaries[-1][1].wire(),
        "bins": [asdict(b) for b in found],
        "windows": by_window,
    }
    print(json.dumps(result))  # noqa: T201


def inspect(
    version: VersionArgument,
    top: Annotated[int, typer.Option(min=0, max=1000, help="Largest weights shown of each feature.")] = 5,
    objects: ObjectsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show a version's content: manifest, verified files, and what its model reads.

    Of a learnt version: index ranges of the features, their largest weights, and the largest error of the golden rows
    in any format. Of a ported plan: its inputs, outputs, operators and parameters.

    Example: `python -m pytrain inspect var/store/ctr/7 --top 3`
    """
    m = manifest.read_manifest(version)
    sizes = {name: (version / name).stat().st_size for name in m.files if (version / name).is_file()}
    if not m.indexed:
        _inspect_columns(version, m, sizes, objects, as_json=as_json)
        return
    loaded = _load(version, objects)
    settings = manifest.read_recipe(version)
    features = list(_features(settings, loaded.table(), top))
    error = max(_load(version, objects, f).golden_error() for f in m.formats if f in FORMATS)
    if as_json:
        document = m.model_dump(by_alias=True) | {"sizes": sizes, "features": features, "golden_error": error}
        print(json.dumps(document))  # noqa: T201
        return
    trained = m.training
    out = _console()
    out.print(
        f"[bold]{m.model}[/] version {m.version}, P({m.label}), {settings.architecture.kind}, written {m.created}"
    )
    out.print(
        f"learnt from {trained.rows:,} examples, event times {trained.from_ms} to {trained.to_ms} ms, "
        f"position {trained.position}"
    )
    out.print(
        f"rows of {m.row_len} indices below {m.table_rows:,}; formats {', '.join(m.formats)}; "
        f"golden rows off by {error:.1e} at most"
    )
    out.print("metrics: " + ", ".join(f"{k} {report.number(v)}" for k, v in m.metrics.items()))
    out.print(_files(m, sizes))
    table = Table(title="features", title_justify="left")
    for name in ("feature", "source", "encoder", "columns", "indices", "moved", "largest weights"):
        table.add_column(name)
    for f in features:
        weights = ", ".join(f"{name} {weight:+.3f}" for name, weight in f["largest"])
        table.add_row(
            f["name"],
            f["source"],
            f["encoder"],
            f["columns"],
            f"{f['low']}–{f['high'] - 1}",
            f"{f['moved']:,}",
            weights,
        )
    out.print(table)


def _features(recipe: Recipe, table: Any, top: int) -> Iterator[dict[str, Any]]:
    column = 0
    low = 1
    for f in recipe.features:
        weights = table[low : low + f.size, 0]
        order = np.argsort(-np.abs(weights), kind="stable")[:top]
        names = [*f.values, "(other)"] if f.values is not None else None
        yield {
            "name": f.name,
            "source": f.source or " × ".join(f.of or ()),
            "encoder": f.encoder,
            "columns": str(column) if f.slots == 1 else f"{column}–{column + f.slots - 1}",
            "low": low,
            "high": low + f.size,
            "moved": int(np.count_nonzero(weights)),
            "largest": [(names[i] if names else f"#{i}", float(weights[i])) for i in order if weights[i] != 0],
        }
        low += f.size
        column += f.slots


def _learn(learner: Learner, train: Examples, *, epochs: int, shuffle: bool) -> Summary:
    """Learn `epochs` times; return the metrics of the first pass, which predicts each row before it learns it."""
    r, size = train.rows, learner.recipe.training.batch_rows
    rng = np.random.default_rng(learner.recipe.training.seed)
    window = Window(len(r))
    progressive: Summary | None = None
    with _progress() as bar:
        for epoch in range(epochs):
            task = bar.add_task(f"pass {epoch + 1} of {epochs}", total=len(r))
            order = rng.permutation(len(r)) if shuffle else np.arange(len(r))
            for begin in range(0, len(r), size):
                part = order[begin : begin + size]
                p = learner.learn(r.x[part], r.y[part], r.w[part])
                if epoch == 0:
                    progressive = next(window.add(r.y[part], p, r.w[part]), progressive)
                bar.advance(task, len(part))
    assert progressive is not None  # noqa: S101 - the window is as long as the first pass
    return progressive


def _predict(learner: Learner, examples: Examples, size: int = 8192) -> Any:
    x = examples.rows.x
    return np.concatenate([learner.predict(x[begin : begin + size]) for begin in range(0, len(x), size)])


def _read(file: Path, recipe: Recipe, recipe_path: Path, encoder: Path) -> Examples:
    with _progress() as bar:
        task = bar.add_task(f"reading {file.name}", total=None)
        return read_examples(file, recipe, recipe_path, encoder=encoder, progress=lambda n: bar.advance(task, n))


def _inspect_columns(version: Path, m: Manifest, sizes: dict[str, int], objects: Path | None, *, as_json: bool) -> None:
    """Show a version whose rows are columns: nothing but its plan is read."""
    from pytrain.plan import read_plan  # noqa: PLC0415 - other commands do without

    manifest.check_files(version, m)
    plan = read_plan(version, objects or manifest.objects_of(version)) if "plan" in m.formats else None
    document: dict[str, Any] = m.model_dump(by_alias=True) | {"sizes": sizes}
    if plan is not None:
        parameters = {t.sha256: t for value in plan.nodes for t in value.tensors.values()}
        document |= {
            "inputs": [{"name": v.name, "type": v.type, "width": v.width} for v in plan.inputs],
            "outputs": [{"name": name, "type": v.type, "width": v.width} for name, v in plan.outputs.items()],
            "labels": list(plan.labels),
            "operators": dict(Counter(value.op for value in plan.nodes)),
            "objects": {sha256: tensor.array.nbytes for sha256, tensor in parameters.items()},
            "tolerance": plan.tolerance,
            "source": plan.source,
        }
    if as_json:
        print(json.dumps(document))  # noqa: T201
        return
    out = _console()
    out.print(f"[bold]{m.model}[/] version {m.version}, {m.label}, {', '.join(m.formats)}, written {m.created}")
    if plan is not None:
        for key in ("inputs", "outputs"):
            columns = (f"{v['name']} {v['type']}[{v['width']}]" for v in document[key])
            out.print(f"{key}: {', '.join(columns)}", markup=False)
        if plan.labels:
            out.print(f"classes: {', '.join(map(str, plan.labels))}", markup=False)
        out.print("operators: " + ", ".join(f"{count} {op}" for op, count in document["operators"].items()))
        out.print(f"parameters: {len(document['objects'])} objects, {sum(document['objects'].values()):,} bytes")
        out.print(f"from {plan.source}", markup=False)
    out.print(_files(m, sizes))


def _files(m: Manifest, sizes: dict[str, int]) -> Table:
    files = Table(title="files, each as its sha256 says", title_justify="left")
    for name in ("file", "bytes", "sha256"):
        files.add_column(name, justify="right" if name == "bytes" else "left")
    for name, digest in m.files.items():
        files.add_row(name, f"{sizes[name]:,}", digest[:16] + "…")
    return files


def _load(directory: Path, objects: Path | None, format_: str | None = None) -> Version:
    return Version(directory, objects=objects, format_=format_)


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
    ) as bar:
        yield bar
