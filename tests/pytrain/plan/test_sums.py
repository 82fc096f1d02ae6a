"""The sums of `project` and `distances` have the bits that scikit-learn's have for a batch of rows.

scikit-learn calls OpenBLAS, SciPy and NumPy's einsum for them. The head of internal/engine/plan/matrix.c says in which
order each adds.
"""

from __future__ import annotations

import ctypes
import subprocess
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_info

from tests.pytrain.plan.native import ENGINE, FLAGS

SOURCES = ("matrix.c", "arena.c", "testdata/matrix_harness.c")
FUSED = {"Haswell", "Zen", "SkylakeX", "Cooperlake", "Sapphirerapids"}  # OpenBLAS's kernels with fused multiply-adds
WIDTHS = (1, 2, 3, 7, 14, 31, 64, 256)
OUTPUTS = (2, 3, 4, 5, 8, 11, 20)


@pytest.fixture(scope="module", params=["vectors", "portable"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("sums") / "matrix.so"
    flags = (*FLAGS, "-DGV_PORTABLE") if request.param == "portable" else FLAGS
    subprocess.run(["gcc", *flags, *(ENGINE / s for s in SOURCES), "-lm", "-o", path], check=True)
    return ctypes.CDLL(str(path))


@cache
def _needs_fused() -> None:
    kinds = {i["architecture"] for i in threadpool_info() if i["internal_api"] == "openblas"}
    if not kinds <= FUSED:
        pytest.skip(f"OpenBLAS adds otherwise on this machine: {kinds}")


def _rows(w: int, k: int) -> int:
    """How many rows are a batch. With AVX-512 OpenBLAS adds otherwise below, once there are 32 columns."""
    return 100 if w < 32 else 1_000_000 // (w * k) + 1


def _ours(
    library: ctypes.CDLL, x: Any, matrix: Any, *, fused: bool = False, distances: bool = False, tile: int = 64
) -> Any:
    """Return the stage's output (n, k) of rows (n, w), dense or sparse."""
    start = index = None
    entries = np.ascontiguousarray(x.data if sparse.issparse(x) else x, np.float64)
    if sparse.issparse(x):
        start, index = x.indptr.astype(np.int32), x.indices.astype(np.int32)
    matrix = np.ascontiguousarray(matrix)
    out = np.full((x.shape[0], len(matrix)), np.nan)
    failed = library.harness_products(
        ctypes.c_void_p(entries.ctypes.data),
        None if start is None else ctypes.c_void_p(start.ctypes.data),
        None if index is None else ctypes.c_void_p(index.ctypes.data),
        ctypes.c_int64(len(out)),
        x.shape[1],
        ctypes.c_void_p(matrix.ctypes.data),
        len(matrix),
        fused,
        distances,
        tile,
        ctypes.c_void_p(out.ctypes.data),
    )
    assert failed == 0
    return out


@pytest.mark.parametrize("tile", [1, 5, 64])
def test_dense_products_are_numpys(library: ctypes.CDLL, tile: int) -> None:
    _needs_fused()
    rng = np.random.default_rng(tile)
    for w in WIDTHS:
        for k in OUTPUTS:
            x, matrix = rng.normal(size=(_rows(w, k), w)), rng.normal(size=(k, w))
            assert _ours(library, x, matrix, tile=tile).tobytes() == (x @ matrix.T).tobytes(), (w, k)


def test_sparse_products_are_scipys(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(0)
    for w in WIDTHS:
        for k in OUTPUTS:
            x = sparse.random(100, w, 0.3, format="csr", random_state=rng, data_rvs=rng.standard_normal)
            x.sort_indices()
            matrix = rng.normal(size=(k, w))
            assert _ours(library, x, matrix).tobytes() == np.ascontiguousarray(x @ matrix.T).tobytes(), (w, k)
            fused = _ours(library, x, matrix, fused=True)
            assert fused.tobytes() == _ours(library, x.toarray(), matrix).tobytes(), (w, k)


def test_distances_are_those_of_kmeans(library: ctypes.CDLL) -> None:
    _needs_fused()
    rng = np.random.default_rng(0)
    for w in WIDTHS:
        for k in OUTPUTS:
            x = rng.normal(size=(_rows(w, k), w))
            fitted = KMeans(k, n_init=1, max_iter=2, random_state=0).fit(x[:60])
            dense = np.where(np.abs(x) > 1, x, 0)
            few = sparse.csr_matrix(dense)
            for rows in (x, few):
                want = np.ascontiguousarray(fitted.transform(rows)).tobytes()
                got = _ours(library, rows, fitted.cluster_centers_, distances=True)
                assert got.tobytes() == want, (w, k, type(rows))
            want = np.ascontiguousarray(fitted.transform(dense)).tobytes()
            got = _ours(library, few, fitted.cluster_centers_, fused=True, distances=True)
            assert got.tobytes() == want, (w, k)


def test_the_mean_of_a_pca_comes_after_the_product(library: ctypes.CDLL) -> None:
    _needs_fused()
    x = np.random.default_rng(0).normal(size=(5001, 40)) + 3
    fitted = PCA(5, random_state=0).fit(x)
    got = _ours(library, x, fitted.components_) + -(fitted.mean_.reshape(1, -1) @ fitted.components_.T)
    assert got.tobytes() == fitted.transform(x).tobytes()
