"""The command line: `python -m pytrain <command>`. Only commands that need TensorFlow import it."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated, NoReturn

import typer

from pytrain import build, cli_file, cli_fit, cli_onnx, cli_plan, cli_port, cli_rank
from pytrain.errors import PytrainError

app = typer.Typer(
    name="pytrain",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # markup would swallow <model> in help texts
)


def print_version(wanted: bool) -> None:
    """Print the version, and end."""
    if wanted:
        print(build.line())  # noqa: T201
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=print_version,
            is_eager=True,
            help="Print the versions of pytrain, Python and TensorFlow and the commit, and end.",
        ),
    ] = False,
) -> None:
    """Learns click and conversion probabilities, and writes the model versions that the bidder serves.

    Exit status: 0 clean end, 2 bad configuration or file, 3 broken stream. Logs go to stderr.
    """


app.command("init")(cli_fit.init)
app.command("fit")(cli_fit.fit)
app.command("fit-file")(cli_file.fit_file)
app.command("evaluate")(cli_file.evaluate)
app.command("inspect")(cli_file.inspect)
app.command("port-sklearn")(cli_port.port_sklearn)
app.command("port")(cli_plan.port)
app.command("export-onnx")(cli_onnx.export_onnx)
app.add_typer(cli_rank.app, name="rank")


def main() -> NoReturn:
    """Run one command. A fault is printed as one line on stderr that names place and remedy."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda r: r.levelno >= logging.WARNING or r.name == "pytrain")  # TensorFlow logs every export
    logging.basicConfig(
        handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        app()
    except PytrainError as e:
        print(f"pytrain: {e}", file=sys.stderr)  # noqa: T201
        sys.exit(e.exit_code)
    sys.exit(0)
