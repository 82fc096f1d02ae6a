"""Fitted pipelines as ONNX, by skl2onnx in the peers' environment `trees`, kept beside them, as are refusals."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.peers.environments import Unavailable, ensure
from bench.plans.fleets import Fleet
from bench.report import say
from scripts.loop.settings import ROOT

MOST = 50  # pipelines of a fleet, evenly chosen
SIDES = 2  # conversions at once


@dataclass(frozen=True)
class Converted:
    """A fleet file of the models that could be converted, and the Python that runs them."""

    file: Path
    python: Path
    models: list[tuple[str, str]]
    of: int  # models that were tried
    refused: dict[str, int]  # how many could not be converted, by the reason
    helped: dict[str, int]  # of the models: those converted without their imputers of texts, by the reason before


def converted(fleet: Fleet) -> Converted | None:
    """Convert MOST models. Return None, having said why, where there is nothing that converts."""
    try:
        python = ensure("trees")
    except Unavailable as e:
        say(f"no onnxruntime: {e}")
        return None
    home = fleet.directory / "onnx"
    home.mkdir(exist_ok=True)
    chosen = fleet.models[:: max(1, len(fleet.models) // MOST)][:MOST]
    wanted = [name for name, _ in chosen if not any((home / f"{name}{end}").exists() for end in (".onnx", ".refused"))]
    if wanted:
        say(f"{fleet.name}: converting {len(wanted)} pipelines to ONNX")
        parts = [part for i in range(SIDES) if (part := wanted[i::SIDES])]
        running = [
            subprocess.Popen(
                [python, "-m", "bench.plans.peers.to_onnx", fleet.file, home, *part],
                cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            for part in parts
        ]  # fmt: skip
        for each in running:
            _, errors = each.communicate()
            if each.returncode:
                say(f"{fleet.name}: skl2onnx ended: {(errors.strip() or 'no message').splitlines()[-1]}")
    models = [(name, table) for name, table in chosen if (home / f"{name}.onnx").exists()]

    def reasons(of: list[tuple[str, str]], end: str) -> dict[str, int]:
        files = [home / f"{name}{end}" for name, _ in of]
        return dict(Counter(file.read_text() for file in files if file.exists()).most_common())

    file = fleet.variant("onnx", models=models, onnx=str(home))
    return Converted(file, python, models, len(chosen), reasons(chosen, ".refused"), reasons(models, ".first"))
