r"""What the running Python knows of characters: words, spaces and lower case, as the tables of docs/plan-format.md.

Versions of Python have different Unicode. So nothing is taken from a database: `re` (`\w`, `\s`) and `str.lower` are
asked about every code point: scikit-learn asks them when it fits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from pytrain.plan.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

WORD, SPACE, CASED, IGNORABLE, SPECIAL = 1, 2, 4, 8, 16

_CODE_POINTS = 0x110000
_BLOCK = 256
_APART = 1  # a control character, neither cased nor case-ignorable: the sigma on one side of it does not see the other
_SIGMA, _FINAL_SIGMA = 0x3A3, 0x3C2


@dataclass(frozen=True)
class Unicode:
    """The tables. Block b holds the code points c whose `blocks[c >> 8]` is b, at [256 b + (c & 255)].

    `blocks` uint8[4352], `classes` uint8[256 B], `lower` int32[256 B], `special` int32[m, 4].
    """

    blocks: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]
    lower: npt.NDArray[np.int32]
    special: npt.NDArray[np.int32]

    @cached_property
    def objects(self) -> Mapping[str, Tensor]:
        """The tables by the names they have in a plan."""
        return {
            "blocks": Tensor(self.blocks),
            "classes": Tensor(self.classes),
            "lower": Tensor(self.lower),
            "special": Tensor(self.special),
        }


@cache
def tables() -> Unicode:
    """Return the tables of this process's Python."""
    every = np.arange(_CODE_POINTS, dtype=np.uint32)
    lower, special = _lower(every)
    classes = np.zeros(_CODE_POINTS, np.uint8)
    text = _text(every)
    for bit, pattern in ((WORD, r"(?u)\w+"), (SPACE, r"(?u)\s+")):
        for run in re.finditer(pattern, text):
            classes[run.start() : run.end()] |= bit
    cased = _before_final_sigma("", every)
    classes[cased] |= CASED
    classes[_before_final_sigma("A", every) & ~cased] |= IGNORABLE
    classes[special[:, 0]] |= SPECIAL

    pages = np.concatenate([lower.reshape(-1, _BLOCK), classes.reshape(-1, _BLOCK).astype(np.int32)], axis=1)
    numbers: dict[bytes, int] = {}
    blocks = [numbers.setdefault(page.tobytes(), len(numbers)) for page in pages]
    if len(numbers) > _BLOCK:
        raise AssertionError(f"Unicode has {len(numbers)} different blocks; the format of plans has room for {_BLOCK}")
    different = np.stack([np.frombuffer(page, np.int32) for page in numbers])
    return Unicode(
        blocks=np.array(blocks, np.uint8),
        classes=different[:, _BLOCK:].astype(np.uint8).ravel(),
        lower=different[:, :_BLOCK].copy().ravel(),
        special=special,
    )


def _text(points: npt.NDArray[np.uint32]) -> str:
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)


def _lower_each(probes: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.intp]]:
    """Return the lower case of many texts of one length (a row each), one after another, and where each ends."""
    apart = np.full(len(probes), _APART, np.uint32)
    # A character that is what stands between texts is replaced by its like.
    points = np.column_stack([np.where(probes == _APART, _APART + 1, probes), apart])
    lowered = _points(_text(points.ravel()).lower())
    return lowered, np.flatnonzero(lowered == _APART)


def _lower(every: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the difference of each code point to its lower case, and the rows of `special`."""
    lowered, ends = _lower_each(every[:, None])
    starts = np.append(0, ends[:-1] + 1)
    difference = lowered[starts].astype(np.int32) - every.astype(np.int32)
    difference[_APART] = 0
    more = np.flatnonzero(ends - starts != 1)
    difference[more] = 0
    special = [[int(c), *lowered[starts[c] : ends[c]].tolist()] for c in more]
    if any(len(row) > 4 for row in special):
        raise AssertionError("a lower case has more than three characters; the format of plans has no room for it")
    return difference, np.array([row + [0] * (4 - len(row)) for row in special], np.int32).reshape(-1, 4)


def _before_final_sigma(before: str, every: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Return for each code point c whether the sigma of `before` c Σ is final."""
    columns = [np.full(len(every), ord(c), np.uint32) for c in before]
    lowered, ends = _lower_each(np.column_stack([*columns, every, np.full(len(every), _SIGMA, np.uint32)]))
    final: npt.NDArray[np.bool_] = lowered[ends - 1] == _FINAL_SIGMA
    return final
