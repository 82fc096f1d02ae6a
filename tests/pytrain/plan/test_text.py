"""Importers of text beside scikit-learn, and what they refuse."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MaxAbsScaler

from pytrain.errors import Refusal
from pytrain.plan.importing import import_model
from tests.pytrain.plan.helper import assert_equal, table, targets

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TEXTS = [
    *("", "a", "  two  spaces ", "Good film, good plot.", "Όδος ΟΔΟΣ ΣΑΣ", "İstanbul'da", "no\tplot\n\nat all"),
    *("the the the cat", "e\u0301tude étude", "日本語 の テキスト", "👩\u200d💻 codes", "\x00 nul \x00", "a_b c-d 3 ٣"),
] * 4
CLASSES = targets(len(TEXTS))
WORDS = r"(?u)\b\w+\b"


def model(*steps: Any) -> Any:
    return make_pipeline(*steps, LogisticRegression()).fit(TEXTS, CLASSES)


@pytest.mark.parametrize(
    "steps",
    [
        (CountVectorizer(),),
        (CountVectorizer(token_pattern=WORDS, ngram_range=(1, 3), lowercase=False),),
        (CountVectorizer(analyzer="char", ngram_range=(1, 4), binary=True), MaxAbsScaler()),
        (CountVectorizer(analyzer="char_wb", ngram_range=(2, 6)), TfidfTransformer(sublinear_tf=True)),
        (CountVectorizer(vocabulary=["good", "plot", "never seen", "στ"]),),
        (CountVectorizer(vocabulary={"good film": 1, "film good": 0}, ngram_range=(2, 2)), TfidfTransformer(norm="l1")),
        (TfidfVectorizer(stop_words="english"),),
        (TfidfVectorizer(strip_accents="unicode", stop_words=["étude", "good"]),),
        (CountVectorizer(strip_accents="ascii", analyzer="char", ngram_range=(1, 3), lowercase=False),),
        (HashingVectorizer(strip_accents="unicode", n_features=64, analyzer="char_wb"),),
        (TfidfVectorizer(stop_words=["good", "\ud800", "σας"], min_df=2, max_df=0.9, max_features=9, norm="l1"),),
        (TfidfVectorizer(use_idf=False, norm=None, sublinear_tf=True, analyzer="char"),),
        (HashingVectorizer(n_features=64),),
        (HashingVectorizer(n_features=7, analyzer="char", ngram_range=(1, 2), norm=None, binary=True),),
        (HashingVectorizer(n_features=100, alternate_sign=False, norm=None), TfidfTransformer(sublinear_tf=True)),
        (HashingVectorizer(n_features=100, norm="l1"), TfidfTransformer()),
        (make_union(CountVectorizer(), TfidfVectorizer(analyzer="char_wb")), TfidfTransformer(sublinear_tf=True)),
    ],
    ids=str,
)
def test_equals_scikit_learn(steps: tuple[Any, ...]) -> None:
    assert_equal(model(*steps), TEXTS, at_least=30)


def test_in_a_table() -> None:
    frame = table()
    columns = ColumnTransformer(
        [("text", TfidfVectorizer(analyzer="char"), "city"), ("number", "passthrough", ["size"])]
    )
    found = assert_equal(make_pipeline(columns, LogisticRegression()).fit(frame, targets()), frame)
    assert [value.type for value in found.plan.inputs] == ["text", "float64"]


def test_lower_case_is_shared() -> None:
    union = make_union(CountVectorizer(), CountVectorizer(analyzer="char"), HashingVectorizer(n_features=8))
    plan = import_model(model(union), file="m.skops").plan
    assert [node.op for node in plan.nodes].count("lower") == 1


def tokens(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((CountVectorizer(tokenizer=tokens, token_pattern=None),), "tokenizer=tokens"),
        ((CountVectorizer(preprocessor=str.upper),), "preprocessor=str.upper"),
        ((CountVectorizer(analyzer=tokens),), "analyzer=tokens"),
        ((CountVectorizer(strip_accents=str.upper),), "strip_accents=str.upper"),
        ((CountVectorizer(token_pattern=r"[a-z]+"),), r"token_pattern='[a-z]+'"),  # noqa: S106 - of words
        ((CountVectorizer(decode_error="ignore"),), "decode_error='ignore'"),
        ((CountVectorizer(encoding="latin-1"),), "encoding='latin-1'"),
        ((CountVectorizer(dtype=np.int8),), "dtype=int8"),
        ((CountVectorizer(analyzer="char", ngram_range=(0, 2)),), "ngram_range=(0, 2)"),
        ((CountVectorizer(vocabulary=["a", "\ud800"]),), "no texts"),
        ((TfidfVectorizer(dtype=np.float32),), "dtype=float32"),
        ((HashingVectorizer(n_features=2**24 + 1),), "n_features=16777217"),
        ((HashingVectorizer(n_features=64, norm=None), TfidfTransformer(sublinear_tf=True)), "logarithm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses(steps: tuple[Any, ...], message: str) -> None:
    with np.errstate(all="ignore"):
        fitted = make_pipeline(*steps).fit(TEXTS)
    with pytest.raises(Refusal, match=re.escape(message)) as e:
        import_model(fitted, file="m.skops")
    assert "steps[" in str(e.value)
