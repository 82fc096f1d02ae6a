"""`python -m bench.plans.peers.to_onnx FLEET OUT MODEL…`: convert fitted pipelines by skl2onnx.

What cannot be converted, or run then, leaves OUT/<model>.refused with the reason. What could be converted only without
its imputers of texts leaves OUT/<model>.first with the reason before. Numbers are float32, as in skl2onnx's guide.
Tokens are those of scikit-learn's default pattern; skl2onnx takes another expression for the same, since its engine
lacks Unicode flags and word boundaries.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import msgpack
from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline

from bench.plans.peers.onnx import Columns, read, scorer


def main() -> None:
    file, out, *names = sys.argv[1:]
    fleet = json.loads(Path(file).read_text())
    types = {table: _types(Path(rows)) for table, rows in fleet["tables"].items()}
    asked = {table: read(Path(rows)) for table, rows in fleet["tables"].items()}
    tables = {model["name"]: model["table"] for model in fleet["models"]}
    for name in names:
        fitted = pickle.loads((Path(fleet["fitted"]) / f"{name}.pickle").read_bytes())  # noqa: S301 - ours
        given, rows = types[tables[name]], asked[tables[name]]
        try:
            try:
                graph = _convert(fitted, given, rows)
            except Exception as e:
                if not isinstance(fitted.steps[0][1], ColumnTransformer):
                    raise
                (Path(out) / f"{name}.first").write_text(_reason(e))
                graph = _convert(_without_text_imputers(fitted), given, rows)
            (Path(out) / f"{name}.onnx").write_bytes(graph)
        except Exception as e:  # noqa: BLE001 - whatever it is, the peer cannot run this one
            (Path(out) / f"{name}.refused").write_text(_reason(e))


def _convert(fitted: Any, given: list[tuple[str, Any]], rows: Columns) -> bytes:
    """Convert, and see that the graph runs: some that skl2onnx makes do not."""
    graph = to_onnx(fitted, initial_types=given, options=_options(fitted), target_opset=17)
    for node in graph.graph.node:
        if node.op_type == "StringNormalizer":  # its default, en_US, is not on every machine
            node.attribute.append(helper.make_attribute("locale", "C.UTF-8"))
    data = bytes(graph.SerializeToString())
    score = scorer(data)
    for count in (1, 3):
        score(rows[list(range(count))])
    return data


def _without_text_imputers(fitted: Any) -> Any:
    """Take out what replaces missing texts, which skl2onnx refuses: rows without one need it not."""
    first = fitted.steps[0][1]
    first.transformers_ = [
        (name, part.steps[-1][1] if isinstance(part, Pipeline) and name == "categories" else part, columns)
        for name, part, columns in first.transformers_
    ]
    return fitted


def _types(rows: Path) -> list[tuple[str, Any]]:
    """Return the inputs of a table: a column each."""
    columns = msgpack.unpackb(rows.read_bytes())
    return [
        (c["name"], (StringTensorType if c["type"] == "text" else FloatTensorType)([None, c["width"]])) for c in columns
    ]


def _reason(e: Exception) -> str:
    """Return the first line of an error, without what only one model has: names of nodes, attributes, addresses."""
    line = (str(e).strip() or type(e).__name__).splitlines()[0]
    return re.split(r" at 0x|\(node: | with name=|\. Name:", line)[0][:160]


def _options(fitted: Any) -> dict[Any, dict[str, Any]]:
    last = fitted.steps[-1][1]
    options: dict[Any, dict[str, Any]] = {id(last): {"zipmap": False}} if hasattr(last, "classes_") else {}
    for _, part in getattr(fitted.steps[0][1], "transformer_list", []):
        if isinstance(part, TfidfVectorizer) and part.analyzer == "word":
            options[id(part)] = {"tokenexp": r"[a-zA-Z0-9_][a-zA-Z0-9_]+"}
    return options


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
