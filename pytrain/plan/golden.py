"""Golden rows: rows at the edges of a model, with scikit-learn's own outputs.

`edges` finds them in the plan. Beside each value that an input is compared with stand its neighbours, one unit in the
last place below and above.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.plan.asking import expected, take
from pytrain.plan.edges import Edges
from pytrain.plan.steady import steady

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from pytrain.plan.asking import Column
    from pytrain.plan.graph import Plan
    from pytrain.plan.importing import Model

LONG_TEXT = 1024  # characters: more n-grams than are searched at once
TEXTS = (
    "", " ", "a", "\t tab\nand newline ", "Hello, World!", "ΟΔΥΣΣΕΥΣ ΣΑΣ", "İstanbul İ", "straße ﬁ", "日本語 テキスト",
    "naïve café ＡＢＣ", "e\u0301 é", "👩\u200d💻 emoji", "a'b_c-d", "٣ ४ 7", "word " * 40,
)  # fmt: skip
FEWEST_ROWS = 16  # that prove a version
_PHRASES, _TERMS = 24, 8  # of a text whose words are counted; each takes as long as ten rows of numbers


def golden_rows(model: Model, *, seed: int, most: int = 128) -> tuple[dict[str, Column], dict[str, Any]]:
    """Choose rows at the edges of a model that scikit-learn answers.

    Returns
    -------
    The inputs by name, and the outputs (n, width) by name, n ≥ 16 as far as scikit-learn answers rows at all.
    """
    rng = np.random.default_rng(seed)
    rows, outputs = _answered(model, candidates(model.plan, rng, most=4 * most))
    chosen = _distinct(rows)
    if len(chosen) > most:  # the first are the simplest
        chosen = np.sort(np.concatenate([chosen[:8], rng.choice(chosen[8:], most - 8, replace=False)]))
    elif len(chosen) < most:
        more, found = _answered(model, plain_rows(model.plan, rng, most=most))
        rows, outputs = beside(rows, more), beside(outputs, found)
        chosen = _distinct(rows)[:most]
    return {name: take(column, chosen) for name, column in rows.items()}, {n: o[chosen] for n, o in outputs.items()}


def _answered(model: Model, rows: dict[str, Column]) -> tuple[dict[str, Column], dict[str, Any]]:
    """Return the rows that scikit-learn answers with numbers that do not hang on the last place of a sum."""
    outputs, answered = expected(model, rows, doubtful=_doubtful(model.plan, rows))
    answered &= steady(model, rows, outputs, answered)
    for output in outputs.values():  # a golden output is a number
        answered &= np.isfinite(output).all(axis=1)
    kept = np.flatnonzero(answered)
    return {name: take(column, kept) for name, column in rows.items()}, {n: o[kept] for n, o in outputs.items()}


def beside(rows: Mapping[str, Column], more: Mapping[str, Column]) -> dict[str, Any]:
    """Return the rows of both, by the names of the columns."""
    return {
        name: np.concatenate([a, more[name]]) if isinstance(a, np.ndarray) else [*a, *more[name]]
        for name, a in rows.items()
    }


def candidates(plan: Plan, rng: np.random.Generator, *, most: int) -> dict[str, Column]:
    """Return `most` rows: every edge of every column, beside random values of the others; and random rows."""
    edges = Edges(plan)
    rows: dict[str, Column] = {}
    for value in plan.inputs:
        if value.type == "text":
            texts: list[str | None] = [None]
            if edges.reads_words(value):
                texts += [*TEXTS, "é" * LONG_TEXT, *_phrases(edges.terms(value), rng)]
            if edges.reads_whole(value) or len(texts) == 1:
                texts += edges.texts(value)
            rows[value.name] = [texts[i] for i in _spread(len(texts), most, rng)]
            continue
        columns = []
        for j in range(value.width):
            found = edges.numbers(value, j)
            spare = _between(found, rng)
            numbers = np.concatenate([found, spare, [np.nan]] if edges.takes_missing(value, j) else [found, spare])
            columns.append(numbers[_spread(len(numbers), most, rng)])
        rows[value.name] = np.stack(columns, axis=1)
    return rows


def plain_rows(plan: Plan, rng: np.random.Generator, *, most: int) -> dict[str, Column]:
    """Return `most` rows of plain values: texts and numbers that are known, or lie about the edges.

    A model of many columns may refuse nearly all candidates, each for some value that it does not know, or add numbers
    in them that cancel. It answers these.
    """
    edges = Edges(plan)
    rows: dict[str, Column] = {}
    for value in plan.inputs:
        if value.type == "text":
            texts = edges.only_texts(value) or [*edges.terms(value)[:64], *_phrases(edges.terms(value), rng)]
            rows[value.name] = [texts[i] for i in _spread(len(texts), most, rng)]
            continue
        columns = []
        for j in range(value.width):
            only = edges.only_numbers(value, j)
            numbers = only if len(only) else _between(edges.numbers(value, j), rng)
            columns.append(numbers[_spread(len(numbers), most, rng)])
        rows[value.name] = np.stack(columns, axis=1)
    return rows


def _spread(count: int, n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return n places, each as often as any other, in random order."""
    whole = np.concatenate([rng.permutation(count) for _ in range(-(-n // count))])
    return whole[:n]


def _doubtful(plan: Plan, rows: Mapping[str, Column]) -> npt.NDArray[np.bool_]:
    """Return which rows (n,) hold a value that a lookup does not know which refuses it."""
    edges = Edges(plan)
    found = np.zeros(max(len(column) for column in rows.values()), bool)
    for value in plan.inputs:
        column = rows[value.name]
        if isinstance(column, list):
            texts = edges.only_texts(value)
            found |= np.array([bool(texts) and text not in texts for text in column])
            continue
        for j in range(value.width):
            numbers = edges.only_numbers(value, j)
            found |= bool(len(numbers)) & ~np.isin(column[:, j], numbers)
    return found


def _between(found: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return as many usual numbers as there are edges, about them."""
    usual = found[np.abs(found) < 1e6]
    low, high = (usual.min(), usual.max()) if len(usual) else (-1.0, 1.0)
    return rng.uniform(low - 1, high + 1, max(len(found), 16)).round(6)


def _phrases(terms: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return texts of terms: phrases of up to 11, and some alone. All of them differ, as far as there are so many."""
    order = [terms[i] for i in rng.permutation(len(terms))] or ["word"]
    counts = [*rng.integers(1, 12, _PHRASES).tolist(), *[1] * _TERMS]
    ends = np.cumsum([0, *counts])
    return [" ".join(order[i % len(order)] for i in range(a, b)) for a, b in pairwise(ends.tolist())]


def _distinct(rows: Mapping[str, Column]) -> npt.NDArray[np.int64]:
    """Return the places of rows without those that equal an earlier one; but as many as a version needs."""
    columns = [c if isinstance(c, list) else [row.tobytes() for row in c] for c in rows.values()]
    first: dict[tuple[Any, ...], int] = {}
    repeats = [i for i, row in enumerate(zip(*columns, strict=True)) if first.setdefault(row, i) != i]
    missing = max(0, FEWEST_ROWS - len(first))
    return np.sort(np.array([*first.values(), *repeats[:missing]], np.int64))
