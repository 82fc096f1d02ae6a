"""Classes as labels of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pytrain.plan.places import Place
    from pytrain.plan.prediction import Label


def labels_of(classes: Any, place: Place) -> tuple[Label, ...]:
    """Return a classifier's classes as texts, integers (booleans too) or floats.

    Raises
    ------
    Refusal
        A class is of another type, or there are several lists of them.
    """
    if isinstance(classes, list):
        raise place.refuse("has several outputs", "fit one classifier an output")
    found: list[Label] = []
    for c in np.asarray(classes).tolist():
        if isinstance(c, bool):
            found.append(int(c))
        elif isinstance(c, str | int | float):
            found.append(c)
        else:
            raise place.refuse(f"has the class {c!r}", "fit it with texts or numbers as classes")
    return tuple(found)
