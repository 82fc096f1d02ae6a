"""scikit-learn's `strip_accents` as a text for each character, from the Unicode of the Python that runs.

    unicode   the compatibility decomposition (NFKD) without combining characters
    ascii     the ASCII characters of the decomposition

A character's decomposition does not depend on those beside it: normalization orders combining characters alone, and
none of these is left. So a table of characters gives what scikit-learn gives for whole texts.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pytrain.plan.tensors import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("unicode", "ascii")

_CODE_POINTS = 0x110000
_BLOCK = 256
_LONGEST = 64  # bytes of a text that stands for a character
_SURROGATES = range(0xD800, 0xE000)  # in no text


def stripped(character: str, kind: str) -> str:
    """Return what is left of a character."""
    whole = unicodedata.normalize("NFKD", character)
    if kind == "ascii":
        return "".join(c for c in whole if c.isascii())
    return "".join(c for c in whole if not unicodedata.combining(c))


@cache
def characters(kind: str) -> Mapping[str, Tensor]:
    """Return the objects of `replace_characters`: `blocks`, `rows`, `bytes`, `offsets`."""
    texts: dict[str, int] = {}
    rows = np.full(_CODE_POINTS, -1, np.int32)
    for first in range(0, _CODE_POINTS, _BLOCK):
        block = [chr(c) for c in range(first, first + _BLOCK)]
        if first in _SURROGATES:
            continue
        if first > 0 and unicodedata.is_normalized("NFKD", "".join(block)):  # nothing is decomposed: most blocks
            if kind == "ascii":
                rows[first : first + _BLOCK] = texts.setdefault("", len(texts))
                continue
            if not any(map(unicodedata.combining, block)):
                continue
        for c, character in enumerate(block, first):
            left = stripped(character, kind)
            if left != character:
                rows[c] = texts.setdefault(left, len(texts))
    data = [text.encode() for text in texts]
    pages: dict[bytes, int] = {}
    blocks = [pages.setdefault(page.tobytes(), len(pages)) for page in rows.reshape(-1, _BLOCK)]
    if len(pages) > _BLOCK or max(map(len, data)) > _LONGEST:
        raise AssertionError(
            "Unicode has more different blocks, or longer decompositions, than the format has room for"
        )
    return {
        "blocks": Tensor(np.array(blocks, np.uint8)),
        "rows": Tensor(np.concatenate([np.frombuffer(page, np.int32) for page in pages])),
        "bytes": Tensor(np.frombuffer(b"".join(data), np.uint8)),
        "offsets": Tensor(np.cumsum([0, *map(len, data)]).astype(np.uint32)),
    }
