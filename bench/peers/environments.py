"""Virtual environments of the peers, build/peers/<name>/, from the hash-pinned locks/<name>.lock.

They are made on demand and kept while the lock does not change. uv makes them, because it links packages that several
of them contain (such as TensorFlow) instead of copying them. uv itself is pinned too.

    locks/<name>.in      what a peer needs, written by hand
    locks/<name>.lock    all packages with hashes, made by `make lock-peers`
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.report import say
from scripts.loop.settings import ROOT

LOCKS = Path(__file__).with_name("locks")
BUILD = ROOT / "build/peers"
CACHE = BUILD / "cache"
UV = "uv"


class Unavailable(Exception):
    """A server cannot run here. The message says why and appears in the table."""


def ensure(name: str, *, interpreter: str = "") -> Path:
    """Make the environment, unless it is up to date, and return its Python.

    Raises
    ------
    Unavailable
        The interpreter is missing, or a package cannot be installed.
    """
    base = interpreter or _own_interpreter()
    if not shutil.which(base):
        raise Unavailable(f"there is no {base}")
    directory, lock = BUILD / name, LOCKS / f"{name}.lock"
    python, stamp = directory / "bin/python", directory / ".gavel-lock"
    want = hashlib.sha256(lock.read_bytes() + base.encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == want:
        return python
    say(f"{name}: making its virtual environment")
    shutil.rmtree(directory, ignore_errors=True)
    if name == UV:
        _run([base, "-m", "venv", directory])
        _run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", lock])
    else:
        uv = ensure(UV).with_name("uv")
        _run([uv, "venv", "--quiet", "--python", base, directory])
        _run([uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--require-hashes", "-r", lock])
    stamp.write_text(want)
    return python


def _own_interpreter() -> str:
    """Return Gavel's own Python, not the virtual environment's link to it."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def _run(command: list[str | Path]) -> None:
    environment = os.environ | {"UV_CACHE_DIR": str(CACHE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise Unavailable(f"{Path(command[0]).name} {command[1]} failed: {last}")


def versions(name: str) -> dict[str, str]:
    """Return the packages in locks/<name>.in, with their locked versions."""
    wanted = {_bare(line) for line in (LOCKS / f"{name}.in").read_text().splitlines()}
    pins = (line.split()[0].split("==") for line in (LOCKS / f"{name}.lock").read_text().splitlines() if "==" in line)
    return {pin[0]: pin[1] for pin in pins if len(pin) == 2 and pin[0] in wanted}


def _bare(requirement: str) -> str:
    return re.split(r"[\[=<>~;]", requirement, maxsplit=1)[0]
