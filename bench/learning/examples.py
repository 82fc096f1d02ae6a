"""The examples of a benchmark: made by `bin/exchange examples`, through the encoder that serves."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scripts.loop.settings import ROOT

if TYPE_CHECKING:
    from pytrain.frames import Float32s, Int32s, Int64s

RATE = 800  # auctions a second, as `make run` offers


@dataclass(frozen=True)
class Examples:
    """Rows in the order of time, with what is known of them."""

    x: Int32s  # (n, F)
    y: Float32s  # (n,), labels
    truth: npt.NDArray[np.float64]  # (n,), hidden probabilities; NaN on a log
    time_ms: Int64s  # (n,)

    def __len__(self) -> int:
        return len(self.y)


def make(
    recipe: Path, directory: Path, *, rows: int, seed: int, data: Path | None = None, campaigns: Path | None = None
) -> Examples:
    """Have the exchange write examples for a recipe, and open them.

    Raises
    ------
    RuntimeError
        The exchange failed; the message is its own.
    """
    command: list[str | Path] = [ROOT / "bin/exchange", "examples"]
    command += ["--recipe", recipe, "--campaigns", campaigns or ROOT / "configs/campaigns.yaml", "--out", directory]
    command += ["--rows", str(rows), "--seed", str(seed), "--rate", str(RATE)]
    if data:
        command += ["--data", data]
    else:  # its share of impressions that are shown is the simulated world's; of a log every row counts
        command += ["--config", ROOT / "configs/exchange.yaml"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"no examples for {recipe}: {done.stderr.strip()}")
    if not json.loads(done.stdout.splitlines()[-1])["examples"]:
        raise RuntimeError(f"no examples for {recipe}: nothing was won; do the campaigns match the traffic?")
    x, y, truth, time_ms = (np.load(directory / f"{name}.npy") for name in ("x", "label", "truth", "time_ms"))
    return Examples(x, y, truth, time_ms)
