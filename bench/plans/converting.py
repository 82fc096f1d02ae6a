"""Fitted text pipelines as ONNX, by skl2onnx in the peers' environment `trees`, kept beside them.

Tabular pipelines are not converted.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.peers.environments import Unavailable, ensure
from bench.plans.fleets import Fleet
from bench.report import say
from scripts.loop.settings import ROOT


@dataclass(frozen=True)
class Converted:
    """A fleet file of the models that could be converted, and the Python that runs them."""

    file: Path
    python: Path
    count: int


def converted(fleet: Fleet, *, most: int) -> Converted | None:
    """Convert up to `most` models, evenly chosen. Return None, having said why, where there is nothing to run."""
    try:
        python = ensure("trees")
    except Unavailable as e:
        say(f"no onnxruntime: {e}")
        return None
    home = fleet.directory / "onnx"
    home.mkdir(exist_ok=True)
    step = max(1, len(fleet.models) // most)
    chosen = fleet.models[::step][:most]
    wanted = [name for name, _ in chosen if not any((home / f"{name}{end}").exists() for end in (".onnx", ".refused"))]
    if wanted:
        say(f"{fleet.name}: converting {len(wanted)} pipelines to ONNX")
        command: list[str | Path] = [python, "-m", "bench.plans.peers.to_onnx", fleet.file, home, *wanted]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            say(f"{fleet.name}: skl2onnx ended: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    models = [(name, table) for name, table in chosen if (home / f"{name}.onnx").exists()]
    for refused in sorted(home.glob("*.refused"))[:1]:
        why = f"{refused.stem}: {refused.read_text()[:120]}"
        say(f"{fleet.name}: {len(models)} of {len(chosen)} could be converted; {why}")
    if not models:
        return None
    return Converted(fleet.variant("onnx", models=models, onnx=str(home)), python, len(models))
