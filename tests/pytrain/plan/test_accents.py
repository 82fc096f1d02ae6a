"""`replace_characters` beside scikit-learn's own functions: every character, and drawn texts."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import strip_accents_ascii, strip_accents_unicode

from pytrain.plan.accents import KINDS, characters

ENGINE = Path(__file__).parents[3] / "internal/engine/plan"
OF_SCIKIT_LEARN = {"unicode": strip_accents_unicode, "ascii": strip_accents_ascii}

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to build the engine's stages")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    target = tmp_path_factory.mktemp("engine") / "replace.so"
    sources = [Path(__file__).with_name("replace_text.c"), ENGINE / "arena.c", ENGINE / "replace.c"]
    flags = ["-O2", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, f"-I{ENGINE}", "-o", target, *sources], check=True)
    found = ctypes.CDLL(str(target))
    found.replace_text.restype = ctypes.c_int64
    return found


def by_engine(library: ctypes.CDLL, kind: str, text: str) -> str:
    arrays: list[Any] = [tensor.array for tensor in characters(kind).values()]
    data = text.encode()
    out = ctypes.create_string_buffer(64 * len(data) + 1)
    length = library.replace_text(*(ctypes.c_void_p(a.ctypes.data) for a in arrays), data, len(data), out)
    assert length >= 0
    return out.raw[:length].decode()


@pytest.mark.parametrize("kind", KINDS)
def test_every_character(library: ctypes.CDLL, kind: str) -> None:
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for at in range(0, len(every), 50_000):
        text = "".join(every[at : at + 50_000])
        assert by_engine(library, kind, text) == OF_SCIKIT_LEARN[kind](text)


ACCENTED = st.text(
    st.sampled_from("aeé\u0301\u0327\u0323\u0345ñﬁⅧ²①한글각\u1100\u1161\u11a8ﷺÅK\u0f73\u0f71ΐ\u1e9b\u0323日🙂 -")
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(ACCENTED)
def test_drawn_texts(library: ctypes.CDLL, text: str) -> None:
    for kind in KINDS:
        assert by_engine(library, kind, text) == OF_SCIKIT_LEARN[kind](text)


def test_the_tables_are_small() -> None:
    for kind in KINDS:
        tensors = characters(kind)
        assert sum(tensor.array.nbytes for tensor in tensors.values()) < 400_000, kind
        assert np.all(tensors["rows"].array[int(tensors["blocks"].array[0]) * 256 :][:128] == -1)
