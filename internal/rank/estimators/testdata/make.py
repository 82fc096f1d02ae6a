"""Write estimators into a directory as users do, and what they give, as JSON, to stdout."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pytrain.workers.files import Column, write_one_hot, write_table

directory = Path(sys.argv[1])
rng = np.random.default_rng(2)
FIELDS = [("country",), ("device",), ("country", "hour")]


def profile():
    """Return a profile, with values that no training saw, and fields that are absent."""
    p = {"country": str(rng.choice(["DE", "PL", "FR", "XX"])), "device": f"d{rng.integers(40)}"}
    return p | {"hour": str(rng.integers(5))} if rng.random() < 0.8 else p


def texts(profiles):
    """Return the features' texts."""
    return np.array([["\x1f".join(p.get(name, "") for name in of) for of in FIELDS] for p in profiles], dtype=object)


profiles = [profile() for _ in range(40)]
want = {}
for i, options in enumerate(
    [
        {"handle_unknown": "ignore"},
        {"handle_unknown": "infrequent_if_exist", "min_frequency": 8},
        {"handle_unknown": "infrequent_if_exist", "max_categories": 6, "dtype": np.float32},
        {"handle_unknown": "infrequent_if_exist"},
        {"handle_unknown": "ignore", "min_frequency": 0.05},
    ]
):
    seen, y = [p for p in (profile() for _ in range(300)) if p["country"] != "XX"], None
    x = texts(seen)
    y = rng.integers(0, 2, len(seen))
    encoder = OneHotEncoder(**options).fit(x)
    for kind, estimator in (("linear", LogisticRegression()), ("forest", RandomForestClassifier(5, random_state=1))):
        name = f"{kind} {i}"
        fitted = estimator.fit(encoder.transform(x), y)
        write_one_hot(directory, name, fitted, encoder, FIELDS, version=1 + i, variance=0.5, golden=profiles[:3])
        want[name] = [float(fitted.predict_proba(encoder.transform(texts([p])))[0, 1]) for p in profiles]

frame = pd.DataFrame([{"country": p.get("country", ""), "device": p.get("device", "")} for p in seen])
pipeline = make_pipeline(
    make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["country", "device"])), LogisticRegression()
).fit(frame, y)
asked = [pd.DataFrame([{"country": p["country"], "device": p["device"]}]) for p in profiles]
want["pipeline"] = [float(pipeline.predict_proba(row)[0, 1]) for row in asked]
write_table(
    directory,
    "pipeline",
    pipeline,
    [Column("country", ("country",)), Column("device", ("device",))],
    version=9,
    golden=profiles[:2],
    probabilities=want["pipeline"][:2],
)
json.dump({"profiles": profiles, "want": want}, sys.stdout)
