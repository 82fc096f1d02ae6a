"""Golden rows: rows at the edges of a model, with scikit-learn's own outputs.

The edges are found in the plan. What a bin, a threshold, a tree or a lookup compares with is followed back to the input
it was computed from. Beside each such value stand its neighbours, one unit in the last place below and above.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.plan.asking import expected, take
from pytrain.plan.steady import steady

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from pytrain.plan.asking import Column
    from pytrain.plan.graph import Plan, Value
    from pytrain.plan.importing import Model

MISSING = b"\xff"
LONG_TEXT = 1024  # characters: more n-grams than are searched at once
TEXTS = (
    "", " ", "a", "\t tab\nand newline ", "Hello, World!", "ΟΔΥΣΣΕΥΣ ΣΑΣ", "İstanbul İ", "straße ﬁ", "日本語 テキスト",
    "naïve café ＡＢＣ", "e\u0301 é", "👩\u200d💻 emoji", "a'b_c-d", "٣ ४ 7", "word " * 40,
)  # fmt: skip
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-9, -1e9, 1e15, 5e-324)
FEWEST_ROWS = 16  # that prove a version
_MOST_EDGES = 24  # of one column
_PHRASES, _TERMS = 24, 8  # of a text whose words are counted; each takes as long as ten rows of numbers


def golden_rows(model: Model, *, seed: int, most: int = 128) -> tuple[dict[str, Column], dict[str, Any]]:
    """Choose rows at the edges of a model that scikit-learn answers.

    Returns
    -------
    The inputs by name, and the outputs (n, width) by name, n ≥ 16 as far as scikit-learn answers rows at all.
    """
    rng = np.random.default_rng(seed)
    rows = candidates(model.plan, rng, most=4 * most)
    outputs, answered = expected(model, rows)
    answered &= steady(model, rows, outputs, answered)
    for output in outputs.values():  # a golden output is a number
        answered &= np.isfinite(output).all(axis=1)
    chosen = _distinct(rows, np.flatnonzero(answered))
    if len(chosen) > most:  # the first are the simplest
        chosen = np.sort(np.concatenate([chosen[:8], rng.choice(chosen[8:], most - 8, replace=False)]))
    return {name: take(column, chosen) for name, column in rows.items()}, {n: o[chosen] for n, o in outputs.items()}


def candidates(plan: Plan, rng: np.random.Generator, *, most: int) -> dict[str, Column]:
    """Return `most` rows: every edge of every column, beside random values of the others; and random rows."""
    edges = _Edges(plan)
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


def _spread(count: int, n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return n places, each as often as any other, in random order."""
    whole = np.concatenate([rng.permutation(count) for _ in range(-(-n // count))])
    return whole[:n]


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


def _distinct(rows: Mapping[str, Column], places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the places without those whose row is that of an earlier one; but as many as a version needs."""
    columns = [c if isinstance(c, list) else [row.tobytes() for row in c] for c in rows.values()]
    first: dict[tuple[Any, ...], int] = {}
    repeats = [i for i in places.tolist() if first.setdefault(tuple(c[i] for c in columns), i) != i]
    missing = max(0, FEWEST_ROWS - len(first))
    return np.sort(np.array([*first.values(), *repeats[:missing]], np.int64))


class _Edges:
    """What the plan compares its inputs with, by input and column."""

    def __init__(self, plan: Plan) -> None:
        self._numbers: dict[tuple[bytes, int], list[float]] = {}
        self._texts: dict[bytes, list[str]] = {}
        self._words: set[bytes] = set()
        self._whole: set[bytes] = set()
        self._missing: set[tuple[bytes, int]] = set()
        for node in plan.nodes:
            self._look(node)

    def texts(self, value: Value) -> list[str]:
        """Return texts that are known, a few that are not, and odd ones."""
        known = self._texts.get(value.digest, [])
        return [*known[:64], "an unknown value", "", *(k.upper() for k in known[:4]), *(f" {k}" for k in known[:2])]

    def terms(self, value: Value) -> list[str]:
        """Return texts that are known."""
        return self._texts.get(value.digest, [])

    def reads_words(self, value: Value) -> bool:
        """Whether words or characters of the text are counted."""
        return value.digest in self._words

    def reads_whole(self, value: Value) -> bool:
        """Whether the text is looked up."""
        return value.digest in self._whole

    def takes_missing(self, value: Value, j: int) -> bool:
        """Whether NaN has a meaning in the column."""
        return (value.digest, j) in self._missing

    def numbers(self, value: Value, j: int) -> npt.NDArray[np.float64]:
        """Return the edges of a column with their neighbours, and usual extremes."""
        found = sorted(set(self._numbers.get((value.digest, j), [])))
        if len(found) > _MOST_EDGES:
            found = [found[i] for i in np.linspace(0, len(found) - 1, _MOST_EDGES).astype(int)]
        edges = np.array(found, np.float64)
        edges = edges[np.isfinite(edges)]
        beside = [edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)]
        return np.concatenate([*beside, np.array(NUMBERS)])

    def _look(self, node: Value) -> None:
        read, t = node.inputs[0], {name: tensor.array for name, tensor in node.tensors.items()}
        for j in range(read.width if node.op in _COMPARES else 0):
            self._trace(read, j, _COMPARES[node.op](node, t, j))
        if node.op in ("impute", "missing", "trees", "leaves") or np.isnan(t.get("keys", np.zeros(0))).any():
            for j in range(read.width):
                self._note_missing(read, j)
        while read.op in ("lower", "replace_characters"):
            read = read.inputs[0]
        if "offsets" in t:
            data, offsets = t["bytes"].tobytes(), t["offsets"]
            known = [data[offsets[i] : offsets[i + 1]] for i in range(min(len(offsets) - 1, 400))]
            self._texts.setdefault(read.digest, []).extend(k.decode() for k in known if k != MISSING)
        if node.op in ("ngrams", "hashing"):
            self._words.add(read.digest)
        if node.op == "lookup":
            self._whole.add(read.digest)

    def _note_missing(self, value: Value, column: int) -> None:
        found = self._source(value, column, np.zeros(0))
        if found is not None:
            self._missing.add(found[0])

    def _trace(self, value: Value, column: int, edges: Any) -> None:
        found = self._source(value, column, np.asarray(edges, np.float64))
        if found is not None:
            place, numbers = found
            self._numbers.setdefault(place, []).extend(numbers.tolist())

    def _source(self, value: Value, column: int, edges: npt.NDArray[np.float64]) -> Any:
        """Return the input and column that a column is computed from, and the edges there; None if from several."""
        if value.type == "text":
            return None
        while value.op != "input":
            before = value.inputs[0]
            if value.op == "concat":
                for before in value.inputs:
                    if column < before.width:
                        break
                    column -= before.width
            elif value.op == "select":
                column = value.settings["columns"][column]
            elif value.op in _BACK:
                each = value.tensors["value"].array[column]
                with np.errstate(all="ignore"):
                    edges = _BACK[value.op](edges, each)
            elif value.op not in ("dense", "cast", "finite", "impute", "clip", "equal_missing"):
                return None
            value = before
        return (value.digest, column), edges


def _bin_edges(node: Value, t: Mapping[str, Any], j: int) -> Any:
    ends = np.cumsum((0, *node.settings["counts"]))
    return t["edges"][ends[j] : ends[j + 1]]


def _thresholds(_node: Value, t: Mapping[str, Any], j: int) -> Any:
    return t["threshold"][t["feature"] == j][:200]


# What a node compares column j of what it reads with.
_COMPARES: dict[str, Callable[[Value, Mapping[str, Any], int], Any]] = {
    "bins": _bin_edges,
    "binarize": lambda node, _t, _j: [node.settings["threshold"]],
    "equal_missing": lambda node, _t, _j: [node.settings["value"]],
    "lookup": lambda _node, t, _j: t.get("keys", np.zeros(0)),
    "trees": _thresholds,
    "leaves": _thresholds,
}

# What a node computes, the other way.
_BACK: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, v: x - v,
    "sub": lambda x, v: x + v,
    "mul": lambda x, v: x / v,
    "div": lambda x, v: x * v,
}
