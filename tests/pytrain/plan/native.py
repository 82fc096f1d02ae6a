"""The engine's own C code of trees, compiled alone and called from Python."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytrain.plan import Value

ROOT = Path(__file__).parents[3]
ENGINE = ROOT / "internal/engine/plan"
SOURCES = ("trees_forest.c", "trees_quick.c", "trees_run.c", "arena.c", "testdata/trees_harness.c")
FLAGS = ("-O3", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")
ARRAYS = {
    "roots": "int32", "feature": "int32", "left": "int32", "right": "int32", "leaf": "int32", "threshold": "float64",
    "flags": "uint8", "bit_start": "int32", "bit_count": "int32", "bits": "uint32", "values": "float64",
}  # fmt: skip
FORMS = {"by rows": 0, "walk": 1, "quick": 2}
_ACCEPTS = {"any": 0, "no_infinity": 1, "finite": 2}
_NUMBERS = 3


class Invalid(Exception):
    """The engine does not take the trees."""


class _Source(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("trees", "nodes", "leaf_rows", "words", "value_width", "width")),
        *((name, ctypes.c_void_p) for name in ARRAYS),
        ("less", ctypes.c_uint8),
        ("nan_false", ctypes.c_uint8),
    )


class _Trees(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("forest", "values", "columns", "base")),
        ("divide", ctypes.c_double),
        ("outputs", ctypes.c_int32),
        *((name, ctypes.c_uint8) for name in ("use", "single", "accepts", "form")),
    )


@cache
def library(*, portable: bool = False) -> ctypes.CDLL:
    """Compile the C files, unless they have been; `portable` without the kernels for AVX2."""
    text = b"".join(p.read_bytes() for p in sorted([*ENGINE.glob("*.[ch]"), *ENGINE.glob("testdata/*.c")]))
    name = f"plan-trees-{hashlib.sha256(text).hexdigest()[:16]}{'-portable' if portable else ''}.so"
    path = ROOT / "build" / name
    if not path.exists():
        made = path.with_suffix(f".{os.getpid()}")  # another process may be making it too
        flags = (*FLAGS, "-DGV_PORTABLE") if portable else FLAGS
        subprocess.run(["gcc", *flags, *(ENGINE / s for s in SOURCES), "-lm", "-o", made], check=True)
        made.rename(path)
    found = ctypes.CDLL(str(path))
    found.gv_forest_build.restype = ctypes.c_void_p
    found.gv_forest_build.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    found.gv_forest_free.argtypes = (ctypes.c_void_p,)
    found.harness_run.restype = ctypes.c_double
    return found


class Trees:
    """A node `trees` or `leaves`, ready to run."""

    def __init__(self, op: str, settings: Mapping[str, Any], tensors: Mapping[str, Any], width: int) -> None:
        self.arrays: dict[str, Any] = {
            n: np.ascontiguousarray(tensors[n], t) if n in tensors else None for n, t in ARRAYS.items()
        }
        self.base = np.ascontiguousarray(tensors["base"], np.float64)
        values, bits = self.arrays["values"], self.arrays["bits"]
        source = _Source(
            len(tensors["roots"]), len(tensors["feature"]), len(tensors["values"]), 0 if bits is None else len(bits),
            values.shape[1], width, *(None if a is None else a.ctypes.data for a in self.arrays.values()),
            settings["compare"] == "lt", not settings.get("nan", True),
        )  # fmt: skip
        why = ctypes.create_string_buffer(300)
        self.forest = library().gv_forest_build(ctypes.byref(source), why, len(why))
        if not self.forest:
            raise Invalid(why.value.decode())
        columns = settings.get("columns")
        self.columns = None if columns is None else np.array(columns, np.int32)
        self.k = len(tensors["roots"]) if op == "leaves" else len(self.base)
        use = _NUMBERS if op == "leaves" else 1 if columns is not None else 2 if self.k > 1 else 0
        self.params = _Trees(
            self.forest, values.ctypes.data, None if self.columns is None else self.columns.ctypes.data,
            None if op == "leaves" else self.base.ctypes.data, settings.get("divide", 1.0), self.k, use,
            settings.get("precision") == "float32", _ACCEPTS[settings.get("accepts", "any")], 0,
        )  # fmt: skip
        self.ns = 0.0

    def __del__(self) -> None:
        if getattr(self, "forest", None):
            library().gv_forest_free(self.forest)

    def run(
        self, x: Any, *, form: str = "by rows", tile: int = 64, times: int = 1, portable: bool = False
    ) -> tuple[Any, Any]:
        """Return the output (n, k), and which rows are refused (n,). `ns` is how long one time took."""
        x = np.ascontiguousarray(x)
        out, fault = np.full((len(x), self.k), np.nan), np.zeros(len(x), np.uint8)
        self.params.form = FORMS[form]
        self.ns = library(portable=portable).harness_run(
            ctypes.byref(self.params), {"float64": 1, "float32": 2}[x.dtype.name], x.shape[1],
            ctypes.c_void_p(x.ctypes.data),
            ctypes.c_int64(len(x)), tile, ctypes.c_void_p(out.ctypes.data), ctypes.c_void_p(fault.ctypes.data), times,
        ) / times  # fmt: skip
        assert self.ns >= 0
        return out, fault != 0


def step(read: Any, value: Value, tensors: Mapping[str, Any], refused: Any) -> Any:
    """Run a node of a plan in all forms and three sizes of batches, which must agree to the last bit."""
    trees = Trees(value.op, value.settings, tensors, value.inputs[0].width)
    out, fault = trees.run(read[0])
    for form, tile, portable in (
        ("walk", 1, False), ("walk", 64, False), ("quick", 64, False), ("quick", 64, True), ("by rows", 21, False),
    ):  # fmt: skip
        again, fault_again = trees.run(read[0], form=form, tile=tile, portable=portable)
        assert again.tobytes() == out.tobytes(), f"{form} of {tile} rows differs"
        assert np.array_equal(fault_again, fault)
    refused |= fault
    return out
