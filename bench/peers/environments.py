"""Virtual environments of the peers, build/peers/<name>/, from the hash-pinned locks/<name>.lock.

They are made on demand and kept while the lock is unchanged. uv makes them, since it links what several of them hold
(TensorFlow, mostly) instead of copying it; it comes from the package index, pinned as well.

    locks/<name>.in      what a peer needs, by hand
    locks/<name>.lock    everything that takes, with hashes: `make lock-peers`
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
    """A server cannot be run here; the message says why, and is what its row of the table says."""


def ensure(name: str, *, interpreter: str = "") -> Path:
    """Make the environment, or keep the one that fits, and return its Python.

    Raises
    ------
    Unavailable
        The interpreter is not there, or a package cannot be had.
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
    """Gavel's own Python, not the virtual environment's link to it."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def _run(command: list[str | Path]) -> None:
    environment = os.environ | {"UV_CACHE_DIR": str(CACHE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no word of why").splitlines()[-1]
        raise Unavailable(f"{Path(command[0]).name} {command[1]} failed: {last}")


def versions(name: str) -> dict[str, str]:
    """Return what the environment was asked to hold: package and version, by hand (locks/<name>.in) as locked."""
    wanted = {_bare(line) for line in (LOCKS / f"{name}.in").read_text().splitlines()}
    pins = (line.split()[0].split("==") for line in (LOCKS / f"{name}.lock").read_text().splitlines() if "==" in line)
    return {pin[0]: pin[1] for pin in pins if len(pin) == 2 and pin[0] in wanted}


def _bare(requirement: str) -> str:
    return re.split(r"[\[=<>~;]", requirement, maxsplit=1)[0]
