"""Requests for one prediction: JSON over HTTP, in the two protocols that model servers have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Protocol:
    """One protocol."""

    name: Literal["instances", "v2"]
    path: str

    def request(self, row: Sequence[int]) -> str:
        """Return the body of a request for one row, without spaces."""
        if self.name == "instances":  # TensorFlow Serving's
            document: dict[str, Any] = {"instances": [row]}
        else:  # the Open Inference Protocol's
            tensor = {"name": "rows", "shape": [1, len(row)], "datatype": "INT32", "data": row}
            document = {"inputs": [tensor]}
        return json.dumps(document, separators=(",", ":"))

    def probability(self, answer: bytes) -> float:
        """Return the one probability of an answer. ValueError if it has none, or more."""
        document = json.loads(answer)
        try:
            if self.name == "instances":
                (value,) = document if isinstance(document, list) else document["predictions"]
            else:
                (output,) = document["outputs"]
                (value,) = output["data"]
            return float(value)
        except (KeyError, TypeError) as e:
            raise ValueError(f"not an answer of the protocol {self.name}: {answer[:200]!r}") from e


def instances(path: str = "/v1/models/bench:predict") -> Protocol:
    """Read `{"predictions": [p]}`, or the bare list: the answer to `{"instances": [[…]]}`."""
    return Protocol("instances", path)


def v2(path: str = "/v2/models/bench/infer") -> Protocol:
    """Read `{"outputs": [{…, "data": [p]}]}`: the answer to `{"inputs": [{…, "data": […]}]}`."""
    return Protocol("v2", path)
