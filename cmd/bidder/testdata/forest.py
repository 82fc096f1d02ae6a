"""Publish a classifier for Python workers, and print rows with scikit-learn's own answers, as JSON.

python cmd/bidder/testdata/forest.py STORE
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pytrain.workers.publishing import publish_estimator

rng = np.random.default_rng(5)
n = 120
rows = pd.DataFrame(
    {
        "country": rng.choice(["DE", "PL", "Żółć"], n).astype(object),
        "price": rng.gamma(2, 3, n),
        "hour": rng.integers(0, 24, n),
    }
)
labels = np.array(["no", "perhaps", "yes"])[rng.integers(0, 3, n)]
encoder = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["country"]), remainder="passthrough"
)
pipeline = make_pipeline(encoder, GaussianNB()).fit(rows, labels)
publish_estimator(pipeline, rows.iloc[:20], store=Path(sys.argv[1]), model="visit", label="visit")
asked = pd.concat([rows.iloc[:5], pd.DataFrame([{"country": "XX", "price": 0.5, "hour": 3}])])
json.dump({"rows": asked.to_dict("records"), "probability": pipeline.predict_proba(asked).tolist()}, sys.stdout)
