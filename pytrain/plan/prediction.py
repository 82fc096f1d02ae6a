"""What a predictor's importer returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytrain.errors import Refusal
    from pytrain.plan.values import Value

Label = str | int | float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a predictor offers; what it does not is None.

    Attributes
    ----------
    labels
        The classes; empty for a regression.
    decision
        scikit-learn's decision_function: one column for two classes, else one a class.
    probability
        predict_proba: a column a class.
    value
        predict of a regression: one column an output.
    index
        predict of a classifier, as the place in `labels`; from decision or probability if not given.
    transform
        transform, of the few predictors that have it.
    refused
        Why nothing of this is offered but `transform`.
    """

    labels: tuple[Label, ...] = ()
    decision: Value | None = None
    probability: Value | None = None
    value: Value | None = None
    index: Value | None = None
    transform: Value | None = None
    refused: Refusal | None = None

    def classes(self) -> Value | None:
        """Return `index`, or the greatest of the decision or the probabilities."""
        if self.index is not None:
            return self.index
        best = self.decision if self.decision is not None else self.probability
        return best.argmax() if best is not None else None

    def outputs(self) -> dict[str, Value]:
        """Return the outputs of a plan that ends here: the value, the probabilities, or the class and what it is by.

        Raises
        ------
        Refusal
            It is `refused`.
        """
        if self.refused is not None:
            raise self.refused
        if self.value is not None:
            return {"value": self.value}
        if self.probability is not None:
            return {"probability": self.probability}
        found = {"class": self.classes(), "decision": self.decision}
        return {name: value.dense() for name, value in found.items() if value is not None}
