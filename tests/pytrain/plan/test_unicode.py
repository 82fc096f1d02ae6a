"""The tables of characters: lower case by them is Python's own, for every code point and around sigmas."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrain.plan.unicode import CASED, IGNORABLE, SPACE, SPECIAL, WORD, tables

SIGMA, FINAL_SIGMA, SMALL_SIGMA = "Σ", "ς", "σ"


def class_of(c: str) -> int:
    t = tables()
    return int(t.classes[int(t.blocks[ord(c) >> 8]) * 256 + (ord(c) & 255)])


@cache
def special() -> dict[str, str]:
    return {chr(row[0]): "".join(map(chr, filter(None, row[1:]))) for row in tables().special.tolist()}


def lower(text: str) -> str:
    """Lower case as the engine has it."""
    t = tables()
    out = []
    for i, c in enumerate(text):
        if c == SIGMA:
            before = next((x for x in map(class_of, reversed(text[:i])) if not x & IGNORABLE), 0)
            after = next((x for x in map(class_of, text[i + 1 :]) if not x & IGNORABLE), 0)
            out.append(FINAL_SIGMA if before & CASED and not after & CASED else SMALL_SIGMA)
        elif class_of(c) & SPECIAL:
            out.append(special()[c])
        else:
            out.append(chr(ord(c) + int(t.lower[int(t.blocks[ord(c) >> 8]) * 256 + (ord(c) & 255)])))
    return "".join(out)


@pytest.mark.parametrize("plane", range(17))
def test_every_code_point(plane: int) -> None:
    word, space = re.compile(r"(?u)\w"), re.compile(r"(?u)\s")
    for c in map(chr, range(plane << 16, (plane + 1) << 16)):
        assert lower(c) == c.lower(), f"U+{ord(c):04X}"
        bits = class_of(c)
        assert bool(bits & WORD) == bool(word.match(c))
        assert bool(bits & SPACE) == bool(space.match(c)) == c.isspace() == (not f"{c}".split())


@pytest.mark.parametrize("plane", range(17))
def test_code_points_beside_a_sigma(plane: int) -> None:
    every = map(chr, range(plane << 16, (plane + 1) << 16))
    for c in (c for c in every if class_of(c) or c.isprintable() or ord(c) % 61 == 0):
        for probe in (f"{c}Σ", f"aΣ{c}", f"a{c}Σ", f"aΣ{c}b"):
            assert lower(probe) == probe.lower(), f"U+{ord(c):04X} in {probe!r}"


_NEAR_SIGMA = st.sampled_from("ΣΣΣσςaAİıß.'’:·­ʰͅ1 \n\u0300\u0345Ⓐǅ漢𐐀") | st.characters()


@given(st.text(_NEAR_SIGMA, max_size=30))
def test_texts(text: str) -> None:
    assert lower(text) == text.lower()


def test_shapes() -> None:
    t = tables()
    blocks = int(t.blocks.max()) + 1
    assert t.blocks.shape == (4352,)
    assert t.classes.shape == t.lower.shape == (256 * blocks,)
    assert t.special.shape[1] == 4
    assert (np.diff(t.special[:, 0]) > 0).all()
    assert {name: tensor.array.dtype.name for name, tensor in t.objects.items()} == {
        "blocks": "uint8",
        "classes": "uint8",
        "lower": "int32",
        "special": "int32",
    }
