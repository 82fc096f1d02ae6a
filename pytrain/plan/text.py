"""Importers of text: CountVectorizer, TfidfVectorizer, HashingVectorizer, TfidfTransformer.

A plan reads texts, never bytes or files, so `encoding` and `decode_error` must be left alone. `max_df`, `min_df`,
`max_features` and a vocabulary that was given are all in the fitted vocabulary.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.utils.validation import check_is_fitted

from pytrain.plan.accents import KINDS, characters
from pytrain.plan.dictionary import dictionary
from pytrain.plan.operators import MOST_WIDTH
from pytrain.plan.registry import importer
from pytrain.plan.unicode import tables
from pytrain.plan.values import node

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytrain.plan.places import Place
    from pytrain.plan.tensors import Tensor
    from pytrain.plan.values import Value

_MOST_NGRAM = 1 << 16
# Patterns by the least characters of a word. Since \w+ is greedy, each finds whole runs of word characters.
_TOKENS = {
    f"{flag}{pattern}": least
    for flag in ("(?u)", "")
    for least, patterns in ((1, (r"\b\w+\b", r"\w+")), (2, (r"\b\w\w+\b", r"\w\w+", r"\b\w{2,}\b")))
    for pattern in patterns
}
FIXED = {
    "input": ("content", "give the texts themselves"),
    "encoding": ("utf-8", "give texts as str and leave encoding at 'utf-8'"),
    "decode_error": ("strict", "give texts as str and leave decode_error at 'strict'"),
    "preprocessor": (None, "preprocess before the pipeline, in training and in serving"),
}


@importer(CountVectorizer)
def count_vectorizer(estimator: Any, value: Value, place: Place) -> Value:
    """Count the vocabulary's n-grams."""
    _check_dtype(estimator, place, np.int64, np.int32, np.float64)
    return _ngrams(estimator, value, place)


@importer(TfidfVectorizer)
def tfidf_vectorizer(estimator: Any, value: Value, place: Place) -> Value:
    """Count, weigh and normalize."""
    _check_dtype(estimator, place, np.float64)
    check_is_fitted(estimator, "_tfidf")
    counts = _ngrams(estimator, value, place)
    return tfidf_transformer(estimator._tfidf, counts, place)  # noqa: SLF001 - its parameters are those at fit


@importer(HashingVectorizer)
def hashing_vectorizer(estimator: Any, value: Value, place: Place) -> Value:
    """Count n-grams by their hash."""
    _check_dtype(estimator, place, np.float64)
    width = int(estimator.n_features)
    if width > MOST_WIDTH:
        raise place.refuse(f"has n_features={width}; a plan has at most {MOST_WIDTH} columns", "fit it with fewer")
    settings, tensors = _analyzer(estimator, place)
    settings |= {"width": width, "alternate_sign": bool(estimator.alternate_sign)}
    counts = node("hashing", [_characters(estimator, value, place)], settings, tensors)
    return counts if estimator.norm is None else counts.normalize(estimator.norm)


@importer(TfidfTransformer)
def tfidf_transformer(estimator: Any, value: Value, place: Place) -> Value:
    """Weigh counts, and normalize."""
    value = value.finite()
    if not value.sparse:
        raise place.refuse("reads dense numbers", "use it after CountVectorizer or HashingVectorizer")
    if estimator.sublinear_tf and not _is_positive(value):
        raise place.refuse(
            "has sublinear_tf=True, but reads what may be negative or 0, of which there is no logarithm",
            "use it after CountVectorizer, or after HashingVectorizer(alternate_sign=False, norm=None)",
        )
    tensors = {}
    idf = getattr(estimator, "idf_", None)
    if idf is not None:
        idf = np.asarray(idf)
        if idf.dtype != np.float64:
            raise place.refuse(f"has weights of {idf.dtype}", "fit it on counts of float64 or integers")
        if not np.isfinite(idf).all():
            raise place.refuse("has weights that are not finite", "fit it with smooth_idf=True")
        tensors["idf"] = idf
    if tensors or estimator.sublinear_tf:
        value = node("tfidf", [value], {"sublinear": bool(estimator.sublinear_tf)}, tensors)
    return value if estimator.norm is None else value.normalize(estimator.norm)


def _is_positive(value: Value) -> bool:
    """Say whether all that the value lists is above 0."""
    match value.op:
        case "ngrams":
            return True
        case "hashing":
            return value.settings["binary"] or not value.settings["alternate_sign"]
        case "concat" | "select" | "normalize":
            return all(_is_positive(part) for part in value.inputs)
        case "tfidf" if not value.settings["sublinear"]:
            return _is_positive(value.inputs[0]) and bool((value.tensors["idf"].array > 0).all())
    return False


def _check_dtype(estimator: Any, place: Place, *types: type) -> None:
    if np.dtype(estimator.dtype) not in [np.dtype(t) for t in types]:
        name = np.dtype(estimator.dtype).name
        raise place.refuse(f"has dtype={name}, whose rounding is not that of a plan", "fit it with dtype=numpy.float64")


def _ngrams(estimator: Any, value: Value, place: Place) -> Value:
    settings, tensors = _analyzer(estimator, place)
    return node(
        "ngrams", [_characters(estimator, value, place)], settings, tensors | dictionary(_terms(estimator, place))
    )


def _characters(estimator: Any, value: Value, place: Place) -> Value:
    """Return the texts in lower case, and then without accents, as the estimator says."""
    value = value.texts()
    if estimator.lowercase:
        value = node("lower", [value], {}, tables().objects)
    accents = estimator.strip_accents
    if accents is None:
        return value
    if accents not in KINDS:
        raise place.refuse(f"has strip_accents={_show(accents)}", "use strip_accents='unicode' or 'ascii'")
    return node("replace_characters", [value], {}, characters(accents))


def _terms(estimator: Any, place: Place) -> list[bytes]:
    """Return the vocabulary in the order of columns."""
    # A vocabulary that was given may be used without a fit. scikit-learn settles it then, in a copy of ours.
    terms = copy.copy(estimator).get_feature_names_out()
    columns = estimator.vocabulary_.values() if hasattr(estimator, "vocabulary_") else range(len(terms))
    if sorted(columns) != list(range(len(terms))):
        raise place.refuse("has a vocabulary whose columns are not 0, 1, 2 and so on", "fit it again")
    try:
        return [term.encode() for term in terms]
    except (AttributeError, UnicodeEncodeError):
        raise place.refuse("has a vocabulary with terms that are no texts", "leave them out, and fit again") from None


def _analyzer(estimator: Any, place: Place) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the settings and objects that `ngrams` and `hashing` share."""
    for name, (wanted, remedy) in FIXED.items():
        found = getattr(estimator, name)
        if found != wanted and not (name == "encoding" and str(found).lower().replace("_", "-") in ("utf-8", "utf8")):
            raise place.refuse(f"has {name}={_show(found)}", remedy)
    analyzer = estimator.analyzer
    if analyzer not in ("word", "char", "char_wb"):
        raise place.refuse(f"has analyzer={_show(analyzer)}", "use analyzer='word', 'char' or 'char_wb'")
    low, high = estimator.ngram_range
    if not (1 <= low <= high <= _MOST_NGRAM):
        raise place.refuse(f"has ngram_range=({low}, {high})", "use lengths from 1 on, the smaller first")
    settings = {"analyzer": analyzer, "low": int(low), "high": int(high), "binary": bool(estimator.binary)}
    tensors = dict(tables().objects)
    if analyzer == "word":
        if estimator.tokenizer is not None:
            raise place.refuse(f"has tokenizer={_show(estimator.tokenizer)}", r"use token_pattern=r'(?u)\b\w+\b'")
        if estimator.token_pattern not in _TOKENS:
            raise place.refuse(
                f"has token_pattern={estimator.token_pattern!r}", r"use r'(?u)\b\w\w+\b' or r'(?u)\b\w+\b'"
            )
        settings["token"] = _TOKENS[estimator.token_pattern]
        stop = estimator.get_stop_words()
        if stop:
            objects = dictionary(_stop_words(stop))
            tensors |= {f"stop_{name}": tensor for name, tensor in objects.items()}
    return settings, tensors


def _stop_words(words: Iterable[object]) -> list[bytes]:
    """Return them in an order of their own. A word that is no text, or no Unicode, equals none of a text."""
    texts = {word.encode("utf-8", "surrogatepass") for word in words if isinstance(word, str)}
    return sorted(texts)


def _show(found: object) -> str:
    return getattr(found, "__qualname__", None) or repr(found)
