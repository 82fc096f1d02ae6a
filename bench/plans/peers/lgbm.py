"""LightGBM: models as its own text files, on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm

from bench.plans.peers.serving import Scorer, main


def load(fleet: dict[str, Any], model: dict[str, str]) -> Scorer:
    booster = lightgbm.Booster(model_file=Path(fleet["fitted"]) / f"{model['name']}.txt")
    return lambda rows: booster.predict(rows, num_threads=1)


if __name__ == "__main__":
    main(load)
