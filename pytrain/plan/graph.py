"""Plans: whole graphs of values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytrain.plan.operators import MOST_INPUTS, MOST_NODES, Fault
from pytrain.plan.places import here

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytrain.plan.prediction import Label
    from pytrain.plan.values import Value

_TOLERANCES = (1e-12, 1e-6)
_MOST_NAME = 4096  # bytes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole graph. `nodes` holds each distinct value that the outputs need, once, after those it reads.

    Attributes
    ----------
    inputs
        In the order of their numbers.
    outputs
        Dense values of float64 or float32 by their names.
    labels
        The classes, in the order of the columns of `probability`: all texts, integers or floats. Empty for a
        regression.
    tolerance
        The largest difference from the golden outputs: 1e-12 or 1e-6.
    source
        Library, its version, and the model as its library prints it.
    """

    inputs: tuple[Value, ...]
    outputs: Mapping[str, Value]
    labels: tuple[Label, ...] = ()
    tolerance: float = 1e-6
    source: str = ""
    nodes: tuple[Value, ...] = field(init=False)
    numbers: Mapping[bytes, int] = field(init=False, repr=False)  # digest → number of the value

    def __post_init__(self) -> None:
        self._check()
        numbers = {value.digest: i for i, value in enumerate(self.inputs)}
        nodes: list[Value] = []
        for name, value in self.outputs.items():
            if value.type not in ("float64", "float32") or value.sparse:
                raise Fault(f"the output {name} is {value}, not dense numbers")
            for found in _in_order(value, numbers):
                if found.op == "input":
                    raise Fault(f"the input {found.name!r} is not among the plan's")
                numbers[found.digest] = len(self.inputs) + len(nodes)
                nodes.append(found)
        if len(nodes) > MOST_NODES:
            raise here().refuse(
                f"needs {len(nodes)} operators; a plan has at most {MOST_NODES}", "use fewer columns or estimators"
            )
        object.__setattr__(self, "nodes", tuple(nodes))
        object.__setattr__(self, "numbers", numbers)

    def _check(self) -> None:
        """Check what docs/plan-format.md asks of a plan beside its nodes; the bidder refuses other plans too.

        Raises
        ------
        Fault
            A name, a label, the tolerance, or the number of inputs or outputs is not allowed.
        """
        if not 1 <= len(self.inputs) <= MOST_INPUTS:
            raise Fault(f"a plan has {len(self.inputs)} inputs; from 1 to {MOST_INPUTS} are allowed")
        if len({value.name for value in self.inputs}) < len(self.inputs):
            raise Fault("two inputs share a name")
        if not self.outputs:
            raise Fault("a plan has no outputs")
        for name in (*(value.name for value in self.inputs), *self.outputs):
            if not name or len(name.encode()) > _MOST_NAME:
                raise Fault(f"the name {name[:40]!r} of an input or output has not from 1 to {_MOST_NAME} bytes")
        if self.tolerance not in _TOLERANCES:
            raise Fault(f"has the tolerance {self.tolerance!r}, not one of {_TOLERANCES}")
        if {type(label) for label in self.labels} not in (set(), {str}, {int}, {float}):
            raise Fault("has labels that are not all texts, all integers or all floats")
        probability = self.outputs.get("probability")
        if self.labels and probability is not None and probability.width != len(self.labels):
            raise Fault(f"has {len(self.labels)} labels, and {probability.width} columns of probability")


def _in_order(value: Value, numbers: Mapping[bytes, int]) -> Iterator[Value]:
    """Yield the values that have no number yet, each after those it reads. The caller numbers each before the next."""
    stack = [value]
    while stack:
        top = stack[-1]
        if top.digest in numbers:
            stack.pop()
            continue
        missing = [v for v in reversed(top.inputs) if v.digest not in numbers]
        if missing:
            stack += missing
        else:
            stack.pop()
            yield top
