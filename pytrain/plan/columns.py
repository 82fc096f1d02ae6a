"""Rows as typed columns, as golden rows have them: a list of {name, type, width, data}. internal/columns reads it.

Numbers are little-endian, row by row. Texts are a list; a missing one is the byte 0xFF alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytrain.plan.asking import Column

MISSING = b"\xff"
_DTYPES = {"float64": "<f8", "float32": "<f4", "int32": "<i4"}


def columns(values: Mapping[str, Column], types: Mapping[str, tuple[str, int]]) -> list[dict[str, Any]]:
    """Return columns to be packed.

    Parameters
    ----------
    values
        By name: texts with None where missing, or numbers (n, width).
    types
        Type and width of each column, in their order.
    """
    found = []
    for name, (kind, width) in types.items():
        column = values[name]
        data: Any
        if isinstance(column, np.ndarray):
            data = np.asarray(column).reshape(-1, width).astype(_DTYPES[kind]).tobytes()
        else:
            data = [MISSING if text is None else text for text in column]
        found.append({"name": name, "type": kind, "width": width, "data": data})
    return found


def read_columns(raw: list[dict[str, Any]]) -> dict[str, Column]:
    """Return the values by name, as `columns` takes them."""
    found: dict[str, Column] = {}
    for column in raw:
        if column["type"] == "text":
            found[column["name"]] = [None if text == MISSING else text for text in column["data"]]
        else:
            values = np.frombuffer(column["data"], _DTYPES[column["type"]])
            found[column["name"]] = values.reshape(-1, column["width"])
    return found


def pack(**parts: Any) -> bytes:
    """Encode a map."""
    return bytes(msgpack.packb(parts))
