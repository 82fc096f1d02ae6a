"""Write estimators of two campaigns, one linear and one not, and what they give for a profile, as JSON, to stdout."""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.preprocessing import OneHotEncoder

from pytrain.workers.files import write_one_hot

directory, version = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(version)
x = np.stack([rng.choice(["DE", "PL", "FR"], 300), rng.choice(["mobile", "desktop"], 300)], axis=1).astype(object)
encoder = OneHotEncoder(handle_unknown="ignore").fit(x)
want = {}
for campaign, estimator in (("shoes", LogisticRegression()), ("hats", BernoulliNB())):
    fitted = estimator.fit(encoder.transform(x), rng.integers(0, 2, 300))
    golden = [{"country": "DE", "device": "mobile"}]
    write_one_hot(directory, campaign, fitted, encoder, [("country",), ("device",)], version=version, golden=golden)
    row = encoder.transform(np.array([["DE", "mobile"]], dtype=object))
    want[campaign] = float(fitted.predict_proba(row)[0, 1])
json.dump(want, sys.stdout)
