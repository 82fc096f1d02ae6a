"""`pytrain init` and `pytrain fit`: a first version, and training on the stream."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from pytrain import frames, loop, store
from pytrain.answers import Answers
from pytrain.checkpoint import CheckpointDir, owned
from pytrain.errors import ConfigError, ExportError, PytrainError
from pytrain.recipe import OBJECTS, load_recipe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from pytrain.export import VersionWriter
    from pytrain.learner import Learner
    from pytrain.recipe import Recipe

log = logging.getLogger("pytrain")

RecipeOption = Annotated[Path, typer.Option("--recipe", help="The model's recipe, models/<model>/recipe.yaml.")]
ObjectsOption = Annotated[
    Path | None,
    typer.Option("--objects", help="Where the parameters of plans are, <store>/objects. Needed for plans only."),
]
StoreOption = Annotated[Path, typer.Option("--store", help="The model store's directory.")]
ThreadsOption = Annotated[
    int,
    typer.Option(
        "--threads", min=1, help="TensorFlow's threads; 1 uses only the calling thread, best beside a bidder."
    ),
]
VerifyOption = Annotated[
    bool, typer.Option("--verify/--no-verify", help="Load every exported version again and compare its golden rows.")
]


def init(recipe: RecipeOption, store_dir: StoreOption, threads: ThreadsOption = 1) -> None:
    """Publish an untrained version, so that a bidder can start before anything is learnt.

    It predicts about the recipe's base rate. It becomes the stable version: 1, or one above the highest there.

    Example: `python -m pytrain init --recipe models/ctr/recipe.yaml --store var/store`
    """
    settings = load_recipe(recipe)
    learner, writer = build_learner(
        settings, recipe.read_bytes(), threads=threads, objects=store_dir / OBJECTS, verify=True
    )
    del learner
    path = publish(store_dir, settings.model, writer, loop.Learnt(rows=0, pos=None, from_ms=0, to_ms=0, metrics={}))
    typer.echo(str(path))


class Writer(Protocol):
    """What fills an empty directory with a complete version."""

    def write(self, directory: Path, version: int, learnt: loop.Learnt) -> None:
        """Write the version's files; the caller syncs and renames the directory."""


def publish(store_dir: Path, model: str, writer: Writer, learnt: loop.Learnt) -> Path:
    """Write the next version straight into a store, point at it unless the pointer is pinned; return its directory."""
    model_dir = store_dir / model
    with store.locked(model_dir):
        version = max(store.versions(model_dir), default=0) + 1
        final, staging = model_dir / str(version), model_dir / ".staging"
        with store.staged(final, staging, objects=store_dir / OBJECTS) as aside:
            writer.write(aside, version, learnt)
        if not store.write_pointer(model_dir, stable=version):
            log.warning(
                "the pointer of %s is pinned: version %d is in the store and does not serve; "
                "bin/bidder models promote %s %d makes it",
                model,
                version,
                model,
                version,
            )
    return model_dir / str(version)


def fit(
    recipe: RecipeOption,
    checkpoint_dir: Annotated[
        Path,
        typer.Option("--checkpoint-dir", help="Where weights, slots and stream position are kept; made if absent."),
    ],
    export_dir: Annotated[
        Path,
        typer.Option("--export-dir", help="Where versions appear as <version>/, whole; on the store's file system."),
    ],
    objects: ObjectsOption = None,
    threads: ThreadsOption = 1,
    verify: VerifyOption = True,
) -> None:
    """Learn from training frames on stdin until they end; answer on stdout (docs/contracts.md, protocol 1).

    It resumes from the newest checkpoint; `hello` has the checkpoint's stream position. Each example is predicted
    before it is learnt. On SIGTERM, a stop frame or the end of stdin, it writes a checkpoint and ends with status 0.

    Example: `bin/trainer encode --recipe R <a.csv | python -m pytrain fit --recipe R --checkpoint-dir C --export-dir E`
    """
    answers = Answers()
    stopping = _Stopping()
    try:
        settings = load_recipe(recipe)
        if "plan" in settings.export and objects is None:
            raise ConfigError(
                "is not given, but the recipe exports plans",
                where="--objects",
                remedy="name the directory of their parameters, <store>/objects",
            )
        learner, writer = build_learner(
            settings, recipe.read_bytes(), threads=threads, objects=objects and objects.absolute(), verify=verify
        )
        export = exporter(writer.write, export_dir.absolute())
        _fit(settings, learner, checkpoint_dir, export=export, answers=answers, stopping=stopping)
    except PytrainError as e:
        with contextlib.suppress(PytrainError):  # stdout itself may be broken
            answers.write(frames.pack_control("error", message=e.message, where=e.where, remedy=e.remedy))
        raise


def exporter(write: Callable[[Path, int, loop.Learnt], None], export_dir: Path) -> loop.Exporter:
    """Return a function that exports a version to `export_dir`/<version>, whole or not at all.

    The function raises ExportError if `write` or the file system fails. The process may then restart from its
    checkpoint.
    """

    def export(version: int, learnt: loop.Learnt) -> Path:
        final = export_dir / str(version)
        try:
            if final.exists():  # left by a run that ended before the version was published
                log.warning("%s is left from an earlier run; replacing it", final)
                shutil.rmtree(final)
            with store.staged(final, export_dir / ".aside") as aside:
                write(aside, version, learnt)
        except (PytrainError, OSError) as e:
            raise ExportError(
                f"version {version} was not exported: {e}",
                where=str(final),
                remedy="check the disk and the model; examples up to the last checkpoint stay learnt",
            ) from e
        return final

    return export


def _fit(
    settings: Recipe,
    learner: Learner,
    checkpoint_dir: Path,
    *,
    export: loop.Exporter,
    answers: Answers,
    stopping: _Stopping,
) -> None:
    from pytrain.learner import fingerprint  # noqa: PLC0415 - TensorFlow

    with owned(checkpoint_dir, log=log):
        checkpoints = CheckpointDir(checkpoint_dir, fingerprint=fingerprint(settings), log=log)
        trainer = loop.Trainer(settings, learner, checkpoints=checkpoints, export=export, answer=answers.write)
        trainer.resume()
        gc.collect()
        gc.freeze()  # TensorFlow's and Keras' objects live as long as the process; do not scan them again and again
        queue = loop.FrameQueue(frames.read_frames(_Stdin(), settings.space))
        stopping.attach(queue)
        log.info("%s: learning from stdin, %d examples learnt before", settings.model, trainer.rows)
        trainer.run(queue.get)
        log.info("%s: ended, %d examples learnt in all", settings.model, trainer.rows)


class _Stdin:
    """File descriptor 0 without a buffer object, whose lock the reader thread would hold while Python shuts down."""

    def read1(self, size: int = -1, /) -> bytes:
        return os.read(0, size)


class _Stopping:
    """Turn SIGTERM, and Ctrl-C at a terminal, into a stop frame. Under a parent process, the parent handles Ctrl-C."""

    def __init__(self) -> None:
        self._queue: loop.FrameQueue | None = None
        self._requested = False
        signal.signal(signal.SIGTERM, self._handle)
        signal.signal(signal.SIGINT, self._handle if sys.stdin.isatty() else signal.SIG_IGN)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True
        if self._queue is not None:
            self._queue.stop()

    def attach(self, queue: loop.FrameQueue) -> None:
        self._queue = queue
        if self._requested:
            queue.stop()


def build_learner(
    recipe: Recipe, recipe_yaml: bytes, *, threads: int, objects: Path | None = None, verify: bool
) -> tuple[Learner, VersionWriter]:
    """Import TensorFlow and build the learner and its exporter. Parameters of plans go to `objects`."""
    from pytrain.export import VersionWriter  # noqa: PLC0415 - TensorFlow
    from pytrain.learner import Learner, set_threads  # noqa: PLC0415

    set_threads(threads)
    learner = Learner(recipe)
    return learner, VersionWriter(learner, recipe_yaml=recipe_yaml, objects=objects, verify=verify)
