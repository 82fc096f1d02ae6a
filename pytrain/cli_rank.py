"""`pytrain rank train` and `pytrain rank show`: a classifier for each campaign, for the ranker."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pytrain.errors import ConfigError, PytrainError

if TYPE_CHECKING:
    from pytrain.ranking.classifier import Classifier
    from pytrain.ranking.manager import Manager, Round
    from pytrain.ranking.watch import Stop

log = logging.getLogger("pytrain")
app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

TABLE_WIDTH = 120  # if stdout is not a terminal; otherwise the terminal's width
NAMED = 20  # data sets named in a log, at most


@app.callback()
def rank() -> None:
    """Train classifiers for rankings, one a campaign, and look at them."""


@app.command()
def train(
    data: Annotated[Path, typer.Option("--data", help="The data sets: <root>/<data set>, a directory a campaign.")],
    out: Annotated[Path, typer.Option("--out", help="Where the classifier files go; the ranker watches it.")],
    config: Annotated[Path, typer.Option("--config", help="The recipe: features, data, calibration, trainer.")],
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: train what changes, as soon as it changes, until SIGTERM.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", min=0, help="Processes; 0: one for each core, of all machines with ray and dask.")
    ] = 0,
    backend: Annotated[
        str, typer.Option("--backend", help="joblib's backend: loky (this machine), threading, ray or dask.")
    ] = "loky",
) -> None:
    """Train a classifier for each campaign whose data changed, and remove those of campaigns that ended.

    A campaign is trained again if its data set, the recipe or the prior changed. Data sets are Parquet files
    (docs/datasets.md); classifiers are small files (docs/classifier-files.md) that appear whole. A data set that
    cannot be read is reported by name, keeps its classifier, and does not stop the others; the exit status is then 2.
    It may be killed at any time: the next run goes on where it ended.

    The last line on stdout is one JSON object; with --watch there is one for each round that did anything.

    Example: `python -m pytrain rank train --data var/datasets/sales --out var/classifiers --config
    models/sale/prior.yaml --watch`
    """
    from pytrain.ranking import recipe as recipes  # noqa: PLC0415 - NumPy, SciPy and pyarrow
    from pytrain.ranking.manager import BACKENDS, Manager  # noqa: PLC0415
    from pytrain.ranking.watch import Stop  # noqa: PLC0415

    if backend not in BACKENDS:
        raise ConfigError(
            f"{backend!r} is no backend", where="--backend", remedy=f"choose one of {', '.join(BACKENDS)}"
        )
    recipe = recipes.load(config)
    manager = Manager(data, out, recipe, jobs=jobs, backend=backend)
    with Stop() as stop:
        try:
            if watch:
                _watch(manager, data, stop)
                return
            done = _round(manager, stop)
        finally:
            manager.close()
    _report(done)
    print(json.dumps(done.wire()))  # noqa: T201
    if done.unreadable or done.failed:
        raise typer.Exit(2)


def _watch(manager: Manager, data: Path, stop: Stop) -> None:
    from pytrain.ranking.watch import Watcher  # noqa: PLC0415

    watcher = Watcher(data)
    told = False
    try:
        while not stop.requested:
            if watcher.follow(path for path in data.iterdir() if path.is_dir()):
                continue  # one came while we looked
            if watcher.refused and not told:
                told = True
                log.warning(
                    "%d directories cannot be watched, and their changes are found within a minute; "
                    "raise fs.inotify.max_user_watches",
                    watcher.refused,
                )
            try:
                done = _round(manager, stop)
            except PytrainError as e:  # a full disk, or no data yet: it may be better next time
                log.error("%s", e)  # noqa: TRY400 - the sentence says it all
            else:
                if done.trained or done.removed or done.unreadable or done.failed:
                    _report(done)
                    print(json.dumps(done.wire()), flush=True)  # noqa: T201
            if not stop.requested:
                watcher.wait(stop)
    finally:
        watcher.close()


def _round(manager: Manager, stop: Stop) -> Round:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("looking for changes", total=None)

        def tell(what: str) -> None:
            log.info("%s", what)
            bar.update(task, description=what)

        return manager.round(
            tell=tell,
            started=lambda n: bar.update(task, description="training", total=n, completed=0),
            ended=lambda _: bar.advance(task),
            stopping=lambda: stop.requested,
        )


def _report(done: Round) -> None:
    """Log what a person should know."""
    log.info(
        "%d classifiers trained, %d current, %d removed, %d too small, %d failed, %d unreadable, in %.1f s",
        done.trained,
        done.current,
        len(done.removed),
        len(done.too_small),
        len(done.failed),
        len(done.unreadable),
        done.seconds,
    )
    for warning, campaigns in done.warnings.items():
        log.warning("%d campaigns: %s", campaigns, warning)
    for kind, faults in (("cannot be read", done.unreadable), ("was not trained", done.failed)):
        for name, fault in list(faults.items())[:NAMED]:
            log.error("data set %s %s: %s", name, kind, fault)
        if len(faults) > NAMED:
            log.error("%d more data sets %s; the JSON line names them", len(faults) - NAMED, kind)


@app.command()
def show(
    file: Annotated[
        Path, typer.Argument(help="A classifier or prior: <campaign>.classifier, prior.<version>.classifier.")
    ],
    top: Annotated[int, typer.Option(min=0, max=1000, help="Largest weights shown of each feature.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Show a classifier: its campaign, data and age, and the largest weights of each feature.

    A weight is what a value adds to the logit of a sale: +0.69 doubles a rare probability. Weights of a classifier
    with a prior are differences from the prior's. The golden profiles are computed again, with the prior's file if it
    lies in the same directory.

    Example: `python -m pytrain rank show var/classifiers/shoes.classifier --top 3`
    """
    from pytrain.ranking import files  # noqa: PLC0415

    found = files.read(file)
    prior_file = file.parent / f"prior.{found.prior}{files.SUFFIX}"
    prior = files.read(prior_file) if found.prior and prior_file.exists() else None
    error = found.golden_error(prior) if prior or not found.prior else None
    if as_json:
        print(json.dumps(_document(found, top, error)))  # noqa: T201
    else:
        _print(found, top, error)


def _largest(found: Classifier, top: int) -> list[tuple[str, int, float, list[tuple[str, float]]]]:
    """Of each feature: its name, values, the weight of *other*, and the largest weights."""
    rows = []
    for f in found.features:
        order = sorted(range(len(f.values)), key=lambda i: -abs(f.weights[i]))[:top]
        rows.append((f.name, len(f.values), f.other, [(f.values[i], float(f.weights[i])) for i in order]))
    return rows


def _document(found: Classifier, top: int, error: float | None) -> dict[str, Any]:
    keys = (
        "kind",
        "campaign",
        "version",
        "prior",
        "trainer",
        "trained_ms",
        "rows",
        "positives",
        "intercept",
        "variance",
    )
    features = [
        {"name": name, "values": values, "other": other, "largest": largest}
        for name, values, other, largest in _largest(found, top)
    ]
    return {k: getattr(found, k) for k in keys} | {
        "data": found.data.hex(),
        "features": features,
        "golden": len(found.golden.profiles),
        "golden_error": error,
    }


def _print(found: Classifier, top: int, error: float | None) -> None:
    out = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH, highlight=False)
    what = f"[bold]{found.campaign}[/]" if found.kind == "classifier" else "[bold]prior[/]"
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found.trained_ms / 1000))
    out.print(f"{what} version {found.version}, {when}, by {found.trainer}")
    rate = found.positives / max(1, found.rows)
    out.print(
        f"fitted to {found.rows:,} rows with {found.positives:,} sales ({rate:.2e}), data {found.data.hex()[:12]}"
    )
    if found.prior:
        out.print(f"weights are differences from prior {found.prior}")
    out.print(f"intercept {found.intercept:+.4f}, its variance {found.variance:.4g}")
    checked = "not checked: the prior's file is not here" if error is None else f"off by {error:.1e} at most"
    out.print(f"{len(found.golden.profiles)} golden profiles {checked}")
    table = Table(title="features", title_justify="left")
    for name in ("feature", "values", "other", "largest weights"):
        table.add_column(name, justify="right" if name in ("values", "other") else "left")
    for name, values, other, largest in _largest(found, top):
        shown = ", ".join(f"{v.replace(chr(31), ' × ') or '(missing)'} {w:+.3f}" for v, w in largest)
        table.add_row(name, f"{values:,}", f"{other:+.3f}", shown)
    out.print(table)
