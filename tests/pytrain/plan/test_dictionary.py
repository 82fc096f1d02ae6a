"""Dictionaries: every text is found, others are not, and the table keeps to the format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrain.plan.dictionary import dictionary, find, key_of


def test_keys_are_those_of_the_format() -> None:
    assert key_of(b"") == 1 << 56
    assert key_of(b"ab") == 0x03000000_00006261
    assert key_of(b"abcdefg") == 0x08676665_64636261
    # From the C side's own test of the same layout.
    x = 8 ^ int.from_bytes(b"abcdefgh", "little")
    x = (x ^ (x >> 32)) * 0x9E3779B97F4A7C15 % 2**64
    assert key_of(b"abcdefgh") == (x ^ (x >> 29)) | 0xFF << 56


@given(st.lists(st.binary(max_size=40), unique=True, max_size=200), st.lists(st.binary(max_size=40), max_size=50))
def test_finds_its_texts_and_no_other(texts: list[bytes], others: list[bytes]) -> None:
    objects = dictionary(texts)
    numbers = {text: i for i, text in enumerate(texts)}
    for text in texts + others:
        assert find(objects, text) == numbers.get(text)
    table = objects["table"].array
    assert len(table) >= max(2, 2 * len(texts))
    assert len(table) & (len(table) - 1) == 0
    assert sorted(table[:, 1][table[:, 1] > 0].tolist()) == list(range(1, len(texts) + 1))
    assert {int(k) for k in table[:, 0] if k} == {key_of(t) for t in texts}


def test_many() -> None:
    rng = np.random.default_rng(0)
    texts = list({rng.bytes(int(n)) for n in rng.integers(0, 30, 20_000)})
    objects = dictionary(texts)
    assert all(find(objects, texts[i]) == i for i in range(0, len(texts), 97))
    assert sorted(objects["table"].array[:, 1].tolist())[-len(texts) :] == list(range(1, len(texts) + 1))


def test_refuses_a_text_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        dictionary([b"a", b"b", b"a"])
