"""scikit-learn in one process: each pipeline from a pickle of its own, as a server without shared parameters loads it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import bench.plans.tabular
import bench.plans.text  # noqa: F401 - what pickles name is imported before a clock starts
from bench.plans.peers.serving import Scorer, main


def load(fleet: dict[str, Any], model: dict[str, str]) -> Scorer:
    data = (Path(fleet["fitted"]) / f"{model['name']}.pickle").read_bytes()
    fitted = pickle.loads(data)  # noqa: S301 - ours
    return getattr(fitted, "predict_proba", None) or fitted.predict


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(load)
