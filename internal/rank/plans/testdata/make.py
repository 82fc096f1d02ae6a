"""Publish pipelines as plans into a store, a model a campaign; write what scikit-learn gives, as JSON, to stdout."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder

from pytrain import loop
from pytrain.cli_fit import publish
from pytrain.plan.importing import import_model
from pytrain.plan.version import PlanWriter
from pytrain.recipe import OBJECTS

warnings.simplefilter("ignore")
store, only = Path(sys.argv[1]), sys.argv[2:]
rng = np.random.default_rng(3)
LEARNT = loop.Learnt(rows=300, pos=None, from_ms=0, to_ms=0, metrics={})


def rows(n, countries):
    """Return a frame of texts, some of them in no training."""
    country = rng.choice(countries, n)
    return pd.DataFrame(
        {
            "country": country,
            "device": [f"d{i}" for i in rng.integers(40, size=n)],
            "hour": rng.choice(["", "0", "13"], n),
        }
    )


seen = rows(600, ["DE", "PL", "FR", "ES"])
sold = (rng.random(600) < 0.2 + 0.4 * (seen["country"] == "DE")).astype(int)
asked = rows(60, ["DE", "PL", "FR", "ES", "XX", ""])


def one_hot(**options):
    """Return an encoder of texts."""
    return OneHotEncoder(**{"handle_unknown": "ignore"} | options)


pipelines = {
    "plain": make_pipeline(one_hot(), LogisticRegression(C=10)),
    "rare": make_pipeline(one_hot(handle_unknown="infrequent_if_exist", min_frequency=15), LogisticRegression()),
    "most": make_pipeline(one_hot(handle_unknown="infrequent_if_exist", max_categories=9), LogisticRegression()),
    "dropped": make_pipeline(one_hot(drop="if_binary"), LogisticRegression(fit_intercept=False)),
    "dense": make_pipeline(one_hot(sparse_output=False), LogisticRegression()),
    "scaled": make_pipeline(one_hot(), MaxAbsScaler(), SGDClassifier(loss="log_loss", random_state=1)),
    "twice": make_pipeline(
        make_column_transformer((one_hot(min_frequency=20), ["device", "hour"]), (one_hot(), ["country", "device"])),
        LogisticRegression(),
    ),
    "part": make_pipeline(
        make_column_transformer((one_hot(), ["country"])), LogisticRegression(penalty="l1", solver="liblinear")
    ),
    "strict": make_pipeline(one_hot(handle_unknown="error"), LogisticRegression()),
    "forest": make_pipeline(one_hot(sparse_output=False), RandomForestClassifier(3, max_depth=3, random_state=1)),
}
want = {}
for name, pipeline in pipelines.items():
    if only and name not in only:
        continue
    pipeline.fit(seen, sold)
    ported = import_model(pipeline, file=name)
    publish(store, name, PlanWriter(ported, name=name, label="sale", objects=store / OBJECTS, where=name), LEARNT)
    if name not in ("strict", "forest"):
        want[name] = [float(p) for p in pipeline.predict_proba(asked)[:, 1]]
json.dump({"profiles": asked.to_dict("records"), "want": want}, sys.stdout)
