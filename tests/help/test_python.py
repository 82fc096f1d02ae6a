"""The help texts of every command line in Python: nothing is missing, nothing is swallowed, nothing is too wide."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 80
SOURCES = sorted(
    path.relative_to(ROOT)
    for room in ("pytrain", "bench", "scripts")
    for path in (ROOT / room).rglob("*.py")
    if "typer.Typer(" in path.read_text() and "servers" not in path.parts
)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The command and all below it, each with the words that call it."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def words(text: str) -> str:
    """The text without the breaks of lines and the quotes of code."""
    return " ".join(text.split())


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_help(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    module = importlib.import_module(".".join(source.with_suffix("").parts))
    app: typer.Typer = module.app
    for path, command in commands(typer.main.get_command(app)):
        shown = CliRunner().invoke(app, [*path, "--help"], terminal_width=WIDTH)
        name = f"{source} {' '.join(path)}"
        assert shown.exit_code == 0, name
        assert "//" not in shown.output.replace("://", ""), f"{name}: something is swallowed:\n{shown.output}"
        wide = [line for line in shown.output.splitlines() if len(line) > WIDTH]
        assert not wide, f"{name}: lines wider than {WIDTH}: {wide}"
        texts = {"the command": inspect.cleandoc(command.help or "").split("\f")[0]}
        for option in command.params:
            texts[option.opts[0] if option.opts else str(option.name)] = getattr(option, "help", None) or ""
        for part, text in texts.items():
            assert text, f"{name}: {part} has no help text"
            for bracketed in re.findall(r"<[^>\n]+>|\[[^\]\n]+\]", text):
                assert bracketed in words(shown.output), f"{name}: {bracketed} of {part} is not shown"


def test_the_command_lines_are_found() -> None:
    assert Path("pytrain/cli.py") in SOURCES
    assert Path("bench/__main__.py") in SOURCES
    assert Path("scripts/loop/command.py") in SOURCES


VERSION = re.escape((ROOT / "VERSION").read_text().split()[0])
OUTPUTS = {
    "pytrain --help": r"Usage: .*",
    "pytrain --version": rf"pytrain {VERSION}, commit \S+, Python 3\.\d+\.\d+, TensorFlow \d+\.\d+\.\d+\n",
    "bench --help": r"Usage: .*",
}


@pytest.mark.parametrize("call", OUTPUTS)
def test_nothing_else_is_written(call: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    command = [sys.executable, "-m", *call.split()]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert re.fullmatch(OUTPUTS[call], done.stdout, re.DOTALL)
    assert done.stderr == ""
