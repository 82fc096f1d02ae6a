"""The engine's stages of text, bit for bit beside scikit-learn: rows of a data set, and texts made to be hard."""

from __future__ import annotations

import csv
import ctypes
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.preprocessing import normalize

from pytrain.plan.importing import import_model

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[3]
ENGINE = ROOT / "internal/engine/plan"
SOURCES = ("arena.c", "runtime.c", "cache.c", "cached.c", "dictionary.c", "lower.c", "ngrams.c", "tfidf.c")
DATA = Path(os.environ.get("GAVEL_DATA", ROOT.parent / "shared" / "data")) / "sst_binary"
TOO_LONG, NOT_UTF8, NO_TEXT = 3, 5, 6  # gv_fault
WORDS = r"(?u)\b\w+\b"

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to build the engine's stages"),
]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    target = tmp_path_factory.mktemp("engine") / "text.so"
    sources = [Path(__file__).with_name("text_chain.c"), *(ENGINE / name for name in SOURCES)]
    flags = ["-O2", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, f"-I{ENGINE}", "-o", target, *sources, "-lm"], check=True)
    found = ctypes.CDLL(str(target))
    found.chain_new.restype = ctypes.c_void_p
    found.chain_unicode.restype = found.chain_dictionary.restype = ctypes.c_char_p
    found.chain_run.restype = ctypes.c_int64
    return found


def pointer(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def sized(*arrays: Any) -> list[Any]:
    return [part for array in arrays for part in (pointer(array), ctypes.c_uint64(len(array)))]


class Chain:
    """A fitted vectorizer, imported, in the engine. Its norm is scikit-learn's own."""

    def __init__(self, library: ctypes.CDLL, vectorizer: Any) -> None:
        value = import_model(vectorizer, file="").plan.outputs["value"]
        nodes = {}
        while value.op != "input":
            nodes[value.op] = value
            value = value.inputs[0]
        self.norm = nodes["normalize"].settings["norm"] if "normalize" in nodes else None
        grams = nodes.get("ngrams") or nodes["hashing"]
        self.arrays = {name: tensor.array for name, tensor in grams.tensors.items()}
        self.width, s = grams.width, grams.settings
        self.library, self.chain = library, ctypes.c_void_p(library.chain_new())
        unicode = [self.arrays[name] for name in ("blocks", "classes", "lower", "special")]
        assert library.chain_unicode(self.chain, *sized(*unicode)) is None
        for stop, prefix in enumerate(("", "stop_")):
            if f"{prefix}bytes" in self.arrays:
                parts = [self.arrays[f"{prefix}{name}"] for name in ("bytes", "offsets", "table")]
                assert library.chain_dictionary(self.chain, stop, *sized(*parts)) is None
        analyzer = 1 + ("word", "char", "char_wb").index(s["analyzer"])
        options = (s["low"], s["high"], s.get("token", 1), s["binary"], s.get("alternate_sign", 0), self.width)
        library.chain_analyzer(self.chain, analyzer, *map(int, options))
        tfidf = nodes.get("tfidf")
        self.idf = tfidf.tensors["idf"].array if tfidf and "idf" in tfidf.tensors else None
        library.chain_stages(
            self.chain,
            int("lower" in nodes),
            int(grams.op == "hashing"),
            int(tfidf is not None),
            int(tfidf is not None and tfidf.settings["sublinear"]),
            pointer(self.idf) if self.idf is not None else None,
        )

    def run(self, texts: Sequence[str | bytes], *, tile: int = 64) -> tuple[Any, Any]:
        """Return the rows, sparse, and the fault of each."""
        data = [t if isinstance(t, bytes) else t.encode() for t in texts]
        offsets = np.cumsum([0, *map(len, data)])
        joined = np.frombuffer(b"".join(data) + bytes(64), np.uint8)
        room = 1 << 22
        start, fault = np.zeros(len(data) + 1, np.int64), np.zeros(len(data), np.uint8)
        index, entry = np.zeros(room, np.int32), np.zeros(room)
        n = self.library.chain_run(
            self.chain, pointer(joined), pointer(offsets), ctypes.c_int64(len(data)), tile,
            pointer(start), pointer(index), pointer(entry), ctypes.c_int64(room), pointer(fault),
        )  # fmt: skip
        assert n >= 0
        assert self.library.chain_zeros(self.chain)
        rows = sparse.csr_array((entry[:n], index[:n], start), shape=(len(data), self.width))
        return normalize(rows, norm=self.norm) if self.norm else rows, fault

    def close(self) -> None:
        self.library.chain_free(self.chain)


def assert_same(got: Any, want: Any) -> None:
    want = want.copy()
    want.sort_indices()
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.indptr, want.indptr)
    np.testing.assert_array_equal(got.indices, want.indices)
    np.testing.assert_array_equal(got.data, want.data.astype(float))


VECTORIZERS = [
    CountVectorizer(),
    CountVectorizer(token_pattern=WORDS, ngram_range=(1, 3), lowercase=False),
    CountVectorizer(analyzer="char", ngram_range=(1, 5)),
    CountVectorizer(analyzer="char", ngram_range=(6, 9), binary=True, lowercase=False, max_features=20_000),
    CountVectorizer(analyzer="char_wb", ngram_range=(1, 12), max_features=30_000),
    TfidfVectorizer(ngram_range=(1, 2), stop_words="english", sublinear_tf=True, token_pattern=WORDS),
    TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), norm="l1"),
    HashingVectorizer(ngram_range=(1, 2)),
    HashingVectorizer(analyzer="char", ngram_range=(1, 4), n_features=1000, norm="l1"),
    HashingVectorizer(analyzer="char", ngram_range=(2, 3), n_features=3, alternate_sign=False, norm=None),
    HashingVectorizer(analyzer="char_wb", ngram_range=(1, 9), n_features=1 << 18, binary=True),
    HashingVectorizer(n_features=1, norm=None),
]


@cache
def sentences() -> list[str]:
    files = [DATA / f"sst_binary_{part}.csv" for part in ("train", "test")]
    if not all(file.is_file() for file in files):
        pytest.skip(f"needs the data set sst_binary in {DATA}; another folder is named by GAVEL_DATA")
    return [row["sentence"] for file in files for row in csv.DictReader(file.read_text().splitlines())]


@pytest.mark.parametrize(("vectorizer", "step"), [(v, 1 if i % 3 == 0 else 7) for i, v in enumerate(VECTORIZERS)])
def test_sentences(library: ctypes.CDLL, vectorizer: Any, step: int) -> None:
    every = sentences()
    vectorizer.fit(every[:5000])
    chain = Chain(library, vectorizer)
    for at in range(0, len(every), 10_000):
        some = every[at : at + 10_000 : step]
        got, fault = chain.run(some)
        assert not fault.any()
        assert_same(got, vectorizer.transform(some))
    chain.close()


HARD = [
    *("", " ", "   ", "\x00", "a", "aa", "\n", " a", "a  b", "a \n\t b", "\u3000\u3000x", "x\u2003", "\u00a0\u00a0"),
    *("Σ", "ΑΣ", "ΑΣ Σ", "ΑΣ.", "Α\u0301Σ\u0301", "ΑΣ\u00adΑ", "ΣΣΣ", "'Σ", "ΑΣ'", "ΑΣ'Α", "ΟΔΥΣΣΕΥΣ, ΣΑΣ", "ς σ"),
    *("İstanbul İ", "ıI", "ẞ ß", "ﬁ Ǆ ǅ ǆ", "Ⱥⱥ Ⱦ", "K Å", "e\u0301tude", "नमस्ते दुनिया"),
    *("สวัสดี", "日本語テキスト", "한국어 텍스트", "𐐀𐐨 𝔘", "ABCDEFG", "ABCDEFGH"),
    *("👩\u200d💻👍🏽", "٣ ४ Ⅷ ²", "a_b-c'd", "\ufeffx", "\u2028\u2029", "\x1c\x1d\x1e\x1f"),
    *("\x85", "\u200b", "\U0010ffff", "\u1e9e", "\u0345Σ"),
    *("word " * 3000, "é" * 5000, "x" * 30_000, "\u0301" * 3000 + "Σ" + "\u0301" * 3000, " " * 5000),
]  # fmt: skip
_LETTERS = st.sampled_from("aAbΣσςİıéÉ\u0301\u0345ß ﬁ日🙂.'_-0 \t\n\x00\x1c\u3000\u2028ªⅧ") | st.characters(
    exclude_categories=["Cs"]
)
TEXT = st.text(_LETTERS, max_size=60) | st.sampled_from(HARD)


@pytest.fixture(scope="module")
def chains(library: ctypes.CDLL) -> Any:
    fitted = [vectorizer.fit([*HARD, *HARD]) for vectorizer in VECTORIZERS]
    made = [(vectorizer, Chain(library, vectorizer)) for vectorizer in fitted]
    yield made
    for _, chain in made:
        chain.close()


def test_hard_texts(chains: Any) -> None:
    for vectorizer, chain in chains:
        got, fault = chain.run(HARD)
        assert not fault.any()
        assert_same(got, vectorizer.transform(HARD))
        one, _ = chain.run(HARD, tile=1)
        assert_same(one, got)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5))
def test_drawn_texts(chains: Any, texts: list[str]) -> None:
    for vectorizer, chain in chains:
        got, fault = chain.run(texts)
        assert not fault.any()
        assert_same(got, vectorizer.transform(texts))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"\xff", NO_TEXT),
        *((data, NOT_UTF8) for data in (
            b"a\xff", b"\x80", b"\xc0\x80", b"\xc3", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\xf0\x80\x80\x80",
            b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"ok \xce\xa3 \xf0\x9f\x99", "ΑΣ".encode() + b"\xcc", b"\xfe",
        )),
        (b"x" * ((1 << 20) + 1), TOO_LONG),
    ],
)  # fmt: skip
def test_refuses_a_row_and_no_other(chains: Any, text: bytes, fault: int) -> None:
    for vectorizer, chain in chains:
        got, faults = chain.run(["before", text, "after"])
        assert faults.tolist() == [0, fault, 0]
        assert_same(got, vectorizer.transform(["before", "", "after"]))


def test_more_hits_than_are_kept(chains: Any) -> None:
    text = "the quick brown fox, ΣΑΣ éÉ  " * 2000
    for vectorizer, chain in chains:
        got, fault = chain.run([text, "fox", text[:1000]])
        assert not fault.any()
        assert_same(got, vectorizer.transform([text, "fox", text[:1000]]))
