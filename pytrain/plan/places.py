"""Where in a model an importer is: for messages, and for the `at` of the nodes it makes."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytrain.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Place:
    """A path into a model, as `model.skops: steps[0] prep: ColumnTransformer > transformers[1] num: StandardScaler`."""

    path: tuple[str, ...] = ()
    file: str = ""

    def child(self, name: str, estimator: object) -> Place:
        """Return the place of a part: `name` is where its parent keeps it, as `steps[1] scaler`."""
        return self.part(f"{name}: {type(estimator).__name__}")

    def part(self, name: str) -> Place:
        """Return the place of a part that is no estimator."""
        return Place((*self.path, name), self.file)

    def refuse(self, message: str, remedy: str) -> Refusal:
        """Return the error to raise when the estimator here cannot be expressed exactly.

        Parameters
        ----------
        message
            What no plan can express, with the setting: `has dtype float32`.
        remedy
            What to do instead, with a supported substitute: `fit it with dtype=numpy.float64`.
        """
        return Refusal(message, where=f"{self.file}: {self}" if self.file else str(self), remedy=remedy)

    def __str__(self) -> str:
        return " > ".join(self.path) or "the model"


_NOWHERE = Place()
_here: ContextVar[Place] = ContextVar("place", default=_NOWHERE)


def here() -> Place:
    """Return the place of the importer that runs."""
    return _here.get()


@contextlib.contextmanager
def at(place: Place) -> Iterator[None]:
    """Nodes made within are of this place."""
    token = _here.set(place)
    try:
        yield
    finally:
        _here.reset(token)
