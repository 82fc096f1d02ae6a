"""The sides of a comparison: processes that load a fleet and measure what they are asked, a line of JSON each way.

Gavel's side is the driver. A peer's is a module of bench/plans/peers, started by the Python of its environment.
Their address space is bounded, since a converted pipeline once took 22 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from bench.plans.fleets import BUILD
from scripts.loop.settings import ROOT

LIMIT_KB = 20 << 20  # of address space; of which Go and C libraries reserve some GB that they do not use
DRIVER = BUILD / "driver"
TENSORFLOW_DRIVER = BUILD / "tensorflow/driver"  # the same with TensorFlow linked


class SideError(Exception):
    """A side ended, or refused what it was asked. The message is its last line on stderr."""


def build_driver(*, tensorflow: bool) -> None:
    """Build the driver, and maybe also the form of it that links TensorFlow."""
    forms: list[tuple[Path, list[str]]] = [(BUILD, [])]
    if tensorflow:
        forms.append((TENSORFLOW_DRIVER.parent, ["-tags", "tensorflow"]))
    for directory, flags in forms:
        subprocess.run([ROOT / "scripts/build.sh", directory, *flags, "./bench/plans/driver"], cwd=ROOT, check=True)


class Side:
    """A running side. `cores` are those that it may use, as taskset names them."""

    def __init__(self, command: Sequence[str | Path], *, cores: str = "", bounded: bool = True) -> None:
        line = ["taskset", "-c", cores] if cores else []
        line += [
            "bash",
            "-c",
            f'ulimit -v {LIMIT_KB if bounded else "unlimited"}; exec "$@"',
            "side",
            *map(str, command),
        ]
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = os.environ | one | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        self._command = [str(part) for part in command[-2:]]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the side
        self._process = subprocess.Popen(
            line,
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._in, self._out = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises
        ------
        SideError
            There is none.
        """
        self.send(**request)
        return self.answer()

    def send(self, **request: Any) -> None:
        """Send a request, whose answer is read later."""
        try:
            self._in.write(json.dumps(request) + "\n")
            self._in.flush()
        except BrokenPipeError:
            pass  # the answer will be missing, and says why

    def answer(self) -> dict[str, Any]:
        """Return the next answer, as of a side that speaks first."""
        line = self._out.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = (self._errors.read().strip() or "no message").splitlines()[-1]
            raise SideError(f"{' '.join(self._command)} ended: {last}")
        return dict(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the side."""
        with suppress(BrokenPipeError):  # it has ended, with a request unread
            self._in.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def gavel(subcommand: str, fleet: Path, *, extra: Sequence[str] = (), **options: Any) -> Side:
    return Side([DRIVER, subcommand, fleet, *extra], **options)


def peer(module: str, subcommand: str, fleet: Path, *, python: Path | str = sys.executable, **options: Any) -> Side:
    return Side([python, "-m", f"bench.plans.peers.{module}", subcommand, fleet], **options)
