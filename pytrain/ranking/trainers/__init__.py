"""The trainers, one file each. A new one is a new file here, with a class that `@register` names.

A trainer fits one campaign at a time (`fit`), in many processes at once. What all campaigns share, it fits before
(`prepare`). The manager does the rest: reading, weights, calibration, golden rows, files.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, TypeVar

from pytrain.ranking.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pytrain.ranking.classifier import Classifier, Feature
    from pytrain.ranking.datasets import DataSet, Examples
    from pytrain.ranking.recipe import FeatureSpec, RankRecipe
    from pytrain.strict_yaml import Strict

    Floats: TypeAlias = "npt.NDArray[Any]"


@dataclass(frozen=True)
class Shared:
    """What all campaigns' fits share: the prior's file and version (none: None and 0), and how far deltas may go.

    `rates` is the spread of the campaigns' intercepts, `l2` the penalty of their weights.
    """

    prior: Path | None = None
    version: int = 0
    rates: Rates = field(default_factory=Rates)
    l2: float = 0.0


@dataclass(frozen=True)
class Pool:
    """What `prepare` is given: all data sets, their hash and number of rows, the recipe, where files go, the time."""

    data_sets: Sequence[DataSet]
    digest: bytes
    rows: int
    recipe: RankRecipe
    out: Path
    now_ms: int
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Fit:
    """A campaign's fit. `logits` (n,) are those of its rows, the prior's included."""

    intercept: float
    features: tuple[Feature, ...]
    logits: Floats
    intercept_l2: float  # 0: none
    warnings: tuple[str, ...] = ()


class Trainer(Protocol):
    """What a trainer does. Its objects are pickled into other processes."""

    kind: ClassVar[str]
    settings_type: ClassVar[type[Strict]]

    def __init__(self, settings: Any) -> None:
        """Take settings of the type `settings_type`."""

    @staticmethod
    def fault(features: Sequence[FeatureSpec]) -> str | None:
        """Say what the trainer cannot do with these features; None if all is well."""

    def label(self) -> str:
        """Name the trainer and the version of its library, for the classifier file."""

    def prepare(self, pool: Pool) -> Shared:
        """Fit what all campaigns share, unless the files in `pool.out` are recent enough."""

    def fit(
        self,
        examples: Examples,
        weight: Floats,
        *,
        features: Sequence[FeatureSpec],
        shared: Shared,
        previous: Classifier | None,
    ) -> Fit:
        """Fit one campaign's examples with the weights (n,). `previous` is its classifier, if it has one.

        Raises
        ------
        InputError
            The examples cannot be fitted.
        """


T = TypeVar("T", bound=type[Trainer])

_registered: dict[str, type[Trainer]] = {}


def register(trainer: T) -> T:
    """Make a trainer known under its `kind`."""
    if trainer.kind in _registered:
        raise ValueError(f"there is a trainer {trainer.kind} already")
    _registered[trainer.kind] = trainer
    return trainer


def registered() -> dict[str, type[Trainer]]:
    """Return all trainers by kind: every module of this package is imported."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(_registered)
