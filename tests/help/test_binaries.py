"""The help texts and versions of the Go binaries; and that TensorFlow writes nothing of its own beside them."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.name for path in (ROOT / "cmd").iterdir())
WIDTH = 80
FLAG = re.compile(r"^\s+(?:-\w, |    )--(?P<name>[\w-]+)\S*(?P<text>.*)$")
COMMAND = re.compile(r"^  (?P<name>[a-z][\w -]*?)(?: [<\[-].*)?$")


@functools.cache
def run(name: str, *arguments: str) -> str:
    """What the binary writes to stdout; it must write nothing to stderr, whatever TensorFlow's default is."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")} | {"COLUMNS": str(WIDTH)}
    binary = ROOT / "bin" / name
    assert binary.exists(), f"not built: {binary}; run `make setup`"
    done = subprocess.run([binary, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), (name, arguments)
    return done.stdout


def texts(shown: str, section: str, entry: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Each entry of a section with its text, which may begin on the entry's line or be indented more below it."""
    lines = shown.partition(f"\n{section}:\n")[2].split("\n\n" if section == "Arguments" else "\n")
    name, text = "", ""
    for line in lines:
        if line and not line.startswith(" "):  # the next section
            break
        if found := entry.match(line):
            if name:
                yield name, text
            name, text = found["name"], found.groupdict().get("text", "") or ""
        else:
            text += line
    if name:
        yield name, text


def helps(name: str, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The help of a binary and of every command below it."""
    shown = run(name, *path, "--help")
    yield path, shown
    if not path:
        for command, _ in texts(shown, "Commands", COMMAND):
            yield from helps(name, *command.split())


@pytest.mark.parametrize("name", NAMES)
def test_help(name: str) -> None:
    for path, shown in helps(name):
        where = f"{name} {' '.join(path)}"
        assert "//" not in shown.replace("://", ""), f"{where}: something is swallowed:\n{shown}"
        wide = [line for line in shown.splitlines() if len(line) > WIDTH]
        assert not wide, f"{where}: lines wider than {WIDTH}: {wide}"
        flags = dict(texts(shown, "Flags", FLAG))
        assert {"help", "version"} <= flags.keys(), where
        for part, text in [*flags.items(), *texts(shown, "Commands", COMMAND)]:
            assert text.strip(), f"{where}: {part} has no help text"


def test_commands_are_found() -> None:
    assert {path for path, _ in helps("bidder")} >= {(), ("serve",), ("verify",)}


@pytest.mark.parametrize("name", NAMES)
def test_version(name: str) -> None:
    version = re.escape((ROOT / "VERSION").read_text().split()[0])
    tensorflow = r", TensorFlow \d+\.\d+\.\d+" if name == "bidder" else ""
    commit = r"(unknown|[0-9a-f]{12}(-dirty)?)"
    line = rf"{name} {version}, commit {commit}, go1\.\d+(\.\d+)?{tensorflow}\n"
    assert re.fullmatch(line, run(name, "--version"))
