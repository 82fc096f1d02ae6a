"""The output of every benchmark: a table for people, then one JSON object as the last line for programs."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.loop.settings import ROOT

console = Console(stderr=False, width=int(os.environ.get("COLUMNS", "120")))
progress = Console(stderr=True)


@dataclass(frozen=True)
class Target:
    """A figure and its target. A figure without one (None) is only reported, and counts as met."""

    name: str
    value: float
    want: float | None = None
    least: bool = True  # want is a lower bound; else an upper one

    @property
    def met(self) -> bool:
        if self.want is None:
            return True
        return self.value >= self.want if self.least else self.value <= self.want

    def row(self) -> list[str]:
        if self.want is None:
            return [self.name, number(self.value), "–", "reported"]
        bound = f"{'≥' if self.least else '≤'} {number(self.want)}"
        return [self.name, number(self.value), bound, "yes" if self.met else "NO"]


def number(value: float) -> str:
    """Format with four significant digits, or as a whole number from 10,000 on."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table. The first column is text, the others are figures."""
    out = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        out.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        out.add_row(*row)
    console.print(out)


def say(text: str) -> None:
    """Print progress to stderr."""
    progress.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {text}", highlight=False)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def output(*command: str) -> str:
    """Return the stripped output of a command; empty if it prints none."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def machine() -> dict[str, Any]:
    """Return what figures depend on apart from the code: machine and versions."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    go = output(os.environ.get("GO", "go"), "version").split()
    wheels = (ROOT / ".venv/lib").glob("python*/site-packages/tensorflow_cpu-*.dist-info")
    tensorflow = next(wheels, None)
    return {
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "go": go[2].removeprefix("go") if len(go) > 2 else "unknown",
        "tensorflow": tensorflow.name.split("-")[1].removesuffix(".dist") if tensorflow else "unknown",
        "python": platform.python_version(),
        "commit": output("git", "rev-parse", "--short", "HEAD"),
    }


def finish(name: str, figures: dict[str, Any], targets: Sequence[Target], *, raw: Any = None) -> int:
    """Print the targets and the JSON line, and keep the raw measurements. Return 0 if every target is met, else 1."""
    if targets:
        table(f"{name}: targets", ["figure", "measured", "wanted", "met"], [t.row() for t in targets])
    document = {
        "benchmark": name,
        **figures,
        "targets": {t.name: {"value": t.value, "want": t.want, "met": t.met} for t in targets},
        "machine": machine(),
        "command": "make " + " ".join(["bench-" + name, *os.environ.get("BENCH_FLAGS", "").split()]),
    }
    if raw is not None:
        kept = ROOT / "var/bench" / f"{name}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({**document, "raw": raw}, indent=1))
        say(f"raw measurements: {kept.relative_to(ROOT)}")
    sys.stdout.flush()
    print(json.dumps(document), flush=True)
    return 0 if all(t.met for t in targets) else 1
