"""What a plan compares its inputs with: edges of bins, thresholds, keys of lookups.

Each is followed back to the input it was computed from, as far as single columns lead there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytrain.plan.columns import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from pytrain.plan.graph import Plan
    from pytrain.plan.values import Value

NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-9, -1e9, 1e15, 5e-324)
_MOST_EDGES = 24  # of one column


class Edges:
    """What a plan compares its inputs with, by input and column."""

    def __init__(self, plan: Plan) -> None:
        self._numbers: dict[tuple[bytes, int], list[float]] = {}
        self._texts: dict[bytes, list[str]] = {}
        self._words: set[bytes] = set()
        self._whole: set[bytes] = set()
        self._missing: set[tuple[bytes, int]] = set()
        self._only_texts: dict[bytes, list[str]] = {}
        self._only_numbers: dict[tuple[bytes, int], npt.NDArray[np.float64]] = {}
        for node in plan.nodes:
            self._look(node)

    def texts(self, value: Value) -> list[str]:
        """Return texts that are known, a few that are not, and odd ones."""
        known = self._texts.get(value.digest, [])
        return [*known[:64], "an unknown value", "", *(k.upper() for k in known[:4]), *(f" {k}" for k in known[:2])]

    def terms(self, value: Value) -> list[str]:
        """Return texts that are known."""
        return self._texts.get(value.digest, [])

    def only_texts(self, value: Value) -> list[str]:
        """Return the texts that a lookup knows which refuses all others; empty if none does."""
        return self._only_texts.get(value.digest, [])

    def only_numbers(self, value: Value, j: int) -> npt.NDArray[np.float64]:
        """Return the numbers that a lookup knows which refuses all others; empty if none does."""
        return self._only_numbers.get((value.digest, j), np.zeros(0))

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
        refuses = node.op == "lookup" and node.settings["unknown"] is None
        while read.op in ("lower", "replace_characters"):
            read = read.inputs[0]
        if "offsets" in t:
            data, offsets = t["bytes"].tobytes(), t["offsets"]
            keys = [data[offsets[i] : offsets[i + 1]] for i in range(min(len(offsets) - 1, 400))]
            known = [k.decode() for k in keys if k != MISSING]
            self._texts.setdefault(read.digest, []).extend(known)
            if refuses:
                self._only_texts[read.digest] = known
        elif refuses and (found := self._source(read, 0, t["keys"])) is not None:
            self._only_numbers[found[0]] = found[1][np.isfinite(found[1])]
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
