"""What both tools tell alike: paths, numbers, the machine, the files written."""

from __future__ import annotations

import math
from pathlib import Path

from bench.report import console, machine
from scripts.loop.settings import ROOT
from scripts.tuning.output import Written


def finite(value: float, digits: int = 3) -> float | None:
    """A number as JSON has it: none where it is infinite, or not a number."""
    return round(value, digits) if math.isfinite(value) else None


def shown(path: Path) -> str:
    """A path as people type it from the repository's root."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def facts() -> list[str]:
    """What a figure depends on besides the code."""
    m = machine()
    return [
        f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}",
        f"Go {m['go']}, TensorFlow {m['tensorflow']}, commit {m['commit']}",
    ]


def show_written(written: Written) -> None:
    """Where the recommended settings lie, on stdout."""
    for path in written.files:
        console.print(f"written: {shown(path)}", highlight=False, soft_wrap=True)
    if not written.kept_comments:
        console.print("the configuration is laid out unusually: its comments are not in the new one", highlight=False)
