"""Values that are never written; they disappear as the graph is built.

- An *open column* is an input whose type is not known yet, since scikit-learn keeps only its name. What reads it first
  settles whether it is text or float64 (`texts`, `numbers`). `Inputs` has what is settled.
- *Mixed columns*, of `values`: some of them are text, so that no operator could hold them together.
- *Replaced text* is a text column some of whose texts stand for others, as SimpleImputer has it. `lookup` folds it in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrain.plan.operators import Shape
from pytrain.plan.places import here
from pytrain.plan.values import Input, Value, concat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytrain.plan.chain import Text


class OpenColumn(Value):
    """An input whose type is settled by what reads it first."""

    def __init__(self, inputs: Inputs, name: str, *, width: int = 1) -> None:
        super().__init__("open", [], {}, {}, shape=Shape("open", width), name=name)
        self._inputs = inputs

    def numbers(self) -> Value:
        """Settle it as float64."""
        return self._inputs.settle(self.name, "float64")

    def texts(self) -> Value:
        """Settle it as text."""
        return self._inputs.settle(self.name, "text")


class ReplacedText(Value):
    """A text column some of whose texts stand for others: `replaced` has them, None for missing ones."""

    def __init__(self, original: Value, replaced: Mapping[Text, Text], *, refuses_missing: bool) -> None:
        super().__init__("replaced", [original], {}, {}, shape=Shape("text", 1), name=original.name)
        self.original = original
        self.replaced = dict(replaced)
        self.refuses_missing = refuses_missing

    def lookup_texts(self, codes: Mapping[Text, float], *, unknown: float | None) -> Value:
        """Return the code of the text that each stands for."""
        found = dict(codes)
        for text, other in self.replaced.items():
            code = codes.get(other, unknown)
            found.pop(text, None)
            if code is not None:
                found[text] = code
        if not self.refuses_missing:
            return self.original.lookup_texts(found, unknown=unknown)
        found[None] = float("nan")
        return self.original.lookup_texts(found, unknown=unknown).finite()


def note_missing(value: Value, kind: float | None) -> None:
    """Note that missing texts of this column are None, or NaN, in Python. A plan has only one missing text.

    Raises
    ------
    Refusal
        Elsewhere the column's missing texts are of the other kind.
    """
    column = value.original if isinstance(value, ReplacedText) else value
    if not isinstance(column, Input) or column.owner is None:
        return
    known = column.owner.missing.setdefault(column.name, kind)
    if (known is None) != (kind is None):
        raise here().refuse(
            f"the column {column.name!r} has both None and NaN as missing texts", "keep one of them, and fit again"
        )


def replace_texts(value: Value, replaced: Mapping[Text, Text], *, refuses_missing: bool = False) -> Value:
    """Return a text column where each key of `replaced` stands for its value; maybe refuse rows where it is missing."""
    value = value.texts()
    refused = refuses_missing
    if isinstance(value, ReplacedText):
        before = {text: replaced.get(other, other) for text, other in value.replaced.items()}
        replaced = {**replaced, **before}
        refused = value.refuses_missing or (refused and None not in value.replaced)
        value = value.original
    return ReplacedText(value, replaced, refuses_missing=refused)


class Inputs:
    """The inputs of a plan while it is built.

    Parameters
    ----------
    names
        The columns, in the order of the fitted data.
    together
        They are one input of numbers named `x`, as of a model that was fitted on an array.
    """

    def __init__(self, names: Sequence[str], *, together: bool = False) -> None:
        self.names = tuple(names)
        self.together = together
        self.settled: dict[str, Value] = {}
        self.missing: dict[str, object] = {}  # how a missing text looks to scikit-learn: None or NaN
        if together:
            self.settled["x"] = Input("x", "float64", width=len(names), owner=self)

    def value(self) -> Value:
        """Return all columns."""
        return self.settled["x"] if self.together else concat([OpenColumn(self, name) for name in self.names])

    def settle(self, name: str, kind: str) -> Value:
        """Return the input of that name and type.

        Raises
        ------
        Refusal
            It was read as the other type elsewhere.
        """
        found = self.settled.setdefault(name, Input(name, kind, owner=self))
        if found.type != kind:
            raise here().refuse(
                f"reads the column {name!r} as {'text' if kind == 'text' else 'numbers'}, but another step does not",
                "copy the column under a second name, and fit again",
            )
        return found

    def used(self) -> tuple[Value, ...]:
        """Return the inputs that were read, in the order of the fitted data."""
        return tuple(self.settled[name] for name in (("x",) if self.together else self.names) if name in self.settled)
