"""Text pipelines: each of 5 char dictionaries with each of 10 word dictionaries and 5 classifiers.

A dictionary is fitted once. So the pipelines share it as the paper's do: equal parameters in separate files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import FeatureUnion, Pipeline

from bench.plans.data import SEED, Rows

DICTIONARY_ROWS, FIT_ROWS = 20_000, 5_000
CHARS: tuple[dict[str, Any], ...] = (
    {"ngram_range": (2, 3), "max_features": 12_000},
    {"ngram_range": (3, 3), "max_features": 9_000},
    {"ngram_range": (2, 4), "max_features": 25_000},
    {"ngram_range": (3, 4), "max_features": 25_000, "sublinear_tf": True},
    {"ngram_range": (1, 3), "max_features": 15_000, "use_idf": False},
)
WORDS: tuple[dict[str, Any], ...] = (
    {"ngram_range": (1, 1)},
    {"ngram_range": (1, 1), "sublinear_tf": True},
    {"ngram_range": (1, 1), "min_df": 2},
    {"ngram_range": (1, 2), "max_features": 10_000},
    {"ngram_range": (1, 2), "max_features": 20_000},
    {"ngram_range": (1, 2), "max_features": 30_000},
    {"ngram_range": (1, 2), "max_features": 20_000, "sublinear_tf": True},
    {"ngram_range": (2, 2), "max_features": 25_000},
    {"ngram_range": (1, 3), "max_features": 20_000},
    {"ngram_range": (1, 3), "max_features": 30_000, "use_idf": False},
)


def _classifiers() -> list[Any]:
    return [
        *(LogisticRegression(C=c, solver="liblinear") for c in (0.5, 4)),
        *(SGDClassifier(loss="log_loss", alpha=a, max_iter=20, tol=None, random_state=SEED) for a in (1e-5, 1e-4)),
        SGDClassifier(loss="modified_huber", alpha=1e-4, max_iter=20, tol=None, random_state=SEED),
    ]


def pipelines(rows: Rows, *, chars: int = len(CHARS), words: int = len(WORDS)) -> Iterator[tuple[str, Any]]:
    """Yield fitted pipelines by name: chars × words × 5."""
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(len(rows.train))
    texts, some = rows.train[chosen[:DICTIONARY_ROWS]], chosen[:FIT_ROWS]

    def fitted(settings: dict[str, Any], analyzer: str) -> tuple[Any, Any]:
        vectorizer = TfidfVectorizer(analyzer=analyzer, **settings).fit(texts)
        return vectorizer, vectorizer.transform(rows.train[some])

    by_char = [fitted(settings, "char") for settings in CHARS[:chars]]
    by_word = [fitted(settings, "word") for settings in WORDS[:words]]
    for i, (char, char_columns) in enumerate(by_char):
        for j, (word, word_columns) in enumerate(by_word):
            columns = sparse.hstack([char_columns, word_columns]).tocsr()
            for k, classifier in enumerate(_classifiers()):
                classifier.fit(columns, rows.labels[some])
                union = FeatureUnion([("char", char), ("word", word)])
                yield f"text_c{i}_w{j}_m{k}", Pipeline([("features", union), ("classifier", classifier)])
