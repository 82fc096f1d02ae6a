"""Write the estimators of the tests, and what they are and give, as JSON, to stdout."""

import hashlib
import json
import sys
from pathlib import Path

import joblib
import misbehaving
import numpy as np
import pandas as pd
import skops.io
from scipy.sparse import csr_matrix
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

WIDTH, SLOTS, ROWS = 120, 6, 20
PER = WIDTH // SLOTS
directory = Path(sys.argv[1])
rng = np.random.default_rng(1)
made = []


def rows_of(n):
    """Return n one-hot rows: a column of each of six features, sometimes none."""
    rows = []
    for _ in range(n):
        columns = [s * PER + int(rng.integers(PER)) for s in range(SLOTS) if rng.random() < 0.9]
        rows.append([c for c in columns if c] or [1])  # column 0 makes others misbehave
    return rows


def matrix(rows, dtype=np.float64):
    """Return rows as scikit-learn takes them."""
    ends = np.cumsum([0] + [len(r) for r in rows])
    return csr_matrix((np.ones(ends[-1], dtype), np.concatenate(rows), ends), (len(rows), WIDTH))


def add(name, estimator, rows, *, pickle=False, dtype="float64", probabilities=None, columns=None):
    """Write one estimator."""
    path = directory / f"{name}.{'joblib' if pickle else 'skops'}"
    (joblib.dump if pickle else skops.io.dump)(estimator, path)
    if probabilities is None:
        probabilities = [estimator.predict_proba(matrix([r], dtype))[0].tolist() for r in rows]
    made.append(
        {
            "name": name,
            "path": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "width": 0 if columns else WIDTH,
            "dtype": dtype,
            "columns": columns or [],
            "rows": rows,
            "p": probabilities,
            "labels": [str(c) for c in estimator.classes_],
        }
    )


x, y = matrix(rows_of(400)), rng.integers(0, 2, 400)
many = rng.integers(0, 3, 400)
for i in range(24):
    add(f"linear{i}", LogisticRegression(C=0.1 + i).fit(x, y), rows_of(ROWS))
narrow = LogisticRegression().fit(x.astype(np.float32), y)
add("narrow", narrow, rows_of(ROWS), dtype="float32")
add("bayes", BernoulliNB().fit(x, y), rows_of(ROWS))
add("forest", RandomForestClassifier(60, random_state=1).fit(x, y), rows_of(5))
add("three", LogisticRegression().fit(x, many), rows_of(ROWS))
for kind in ("Raiser", "Killer", "Hanger", "Printer", "Greedy"):
    add(kind, getattr(misbehaving, kind)(WIDTH), rows_of(2), pickle=True)

frame = pd.DataFrame({"country": rng.choice(["DE", "PL", ""], 300), "age": rng.normal(40, 9, 300)})
pipeline = make_pipeline(
    make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["country"]), (StandardScaler(), ["age"])),
    LogisticRegression(),
).fit(frame, rng.integers(0, 2, 300))
asked = [["DE", 41.5], ["XX", 20.0], ["", 77.25]]
expected = [pipeline.predict_proba(pd.DataFrame([r], columns=["country", "age"]))[0].tolist() for r in asked]
add("pipeline", pipeline, asked, probabilities=expected, columns=[["country", "text"], ["age", "float64"]])
json.dump(made, sys.stdout)
