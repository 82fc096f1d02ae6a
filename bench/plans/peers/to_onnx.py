"""`python -m bench.plans.peers.to_onnx FLEET OUT MODEL…`: convert fitted text pipelines by skl2onnx.

What cannot be converted leaves OUT/<model>.refused with the reason. Tokens are those of scikit-learn's default pattern;
skl2onnx takes another expression for the same, since its engine lacks Unicode flags and word boundaries.
"""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer


def main() -> None:
    file, out, *names = sys.argv[1:]
    fleet = json.loads(Path(file).read_text())
    for name in names:
        fitted = pickle.loads((Path(fleet["fitted"]) / f"{name}.pickle").read_bytes())  # noqa: S301 - ours
        try:
            graph = to_onnx(
                fitted, initial_types=[("text", StringTensorType([None, 1]))], options=_options(fitted), target_opset=17
            )
            for node in graph.graph.node:
                if node.op_type == "StringNormalizer":  # its default, en_US, is not on every machine
                    node.attribute.append(helper.make_attribute("locale", "C.UTF-8"))
            (Path(out) / f"{name}.onnx").write_bytes(graph.SerializeToString())
        except Exception as e:  # noqa: BLE001 - whatever it is, the peer cannot run this one
            (Path(out) / f"{name}.refused").write_text(f"{type(e).__name__}: {e}")


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
