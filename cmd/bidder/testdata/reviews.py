"""Publish a pipeline of a text and two numbers as a plan, and print rows with scikit-learn's own answers.

python cmd/bidder/testdata/reviews.py STORE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from typer.testing import CliRunner

from pytrain.cli import app

WORDS = ["good", "bad", "Żółć", "fine", "awful", "café", "great", "dull", "plot", "cast", "日本"]


def main(store: Path) -> None:
    """Write the models `likely` and `chosen` into a store, and print rows with their answers as JSON."""
    rng = np.random.default_rng(0)
    n = 200
    rows = pd.DataFrame(
        {
            "sentence": [" ".join(rng.choice(WORDS, rng.integers(0, 9))) for _ in range(n)],
            "age": rng.integers(18, 90, n).astype(float),
            "price": rng.gamma(2, 3, n),
        }
    )
    rows.loc[rng.random(n) < 0.2, "age"] = np.nan
    score = rows["sentence"].str.count("good|great|fine") - rows["sentence"].str.count("bad|awful|dull")
    labels = np.select([score > 0, score < 0], ["positive", "négative"], "mixed")
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    split = ColumnTransformer(
        [
            ("words", TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3)), "sentence"),
            ("numbers", numbers, ["age", "price"]),
        ]
    )
    likely = make_pipeline(split, LogisticRegression()).fit(rows, labels)
    chosen = make_pipeline(split, LinearSVC()).fit(rows, labels)
    for name, model in (("likely", likely), ("chosen", chosen)):
        skops.io.dump(model, store / f"{name}.skops")
        arguments = ["port", str(store / f"{name}.skops"), "--store", str(store), "--model", name]
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    asked = rows.head(60)
    answers = {
        "rows": asked.astype(object).where(asked.notna(), None).to_dict(orient="records"),
        "labels": likely.classes_.tolist(),
        "probability": likely.predict_proba(asked).tolist(),
        "class": chosen.predict(asked).tolist(),
        "decision": chosen.decision_function(asked).tolist(),
    }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
