"""scikit-learn in one process: each pipeline from a pickle of its own, as by servers that share nothing."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any, cast

import bench.plans.tabular
import bench.plans.text  # noqa: F401 - what pickles name is imported before a clock starts
from bench.plans.peers.serving import Scorer, main


def load(fleet: dict[str, Any], model: dict[str, str]) -> Scorer:
    data = (Path(fleet["fitted"]) / f"{model['name']}.pickle").read_bytes()
    fitted = pickle.loads(data)  # noqa: S301 - ours
    return cast("Scorer", getattr(fitted, "predict_proba", None) or fitted.predict)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(load)
