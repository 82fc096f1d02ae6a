"""The recipe of a ranking's classifiers: features, minimum data, calibration, trainer (docs/training-classifiers.md).

    features:
      - name: system
      - name: hour
      - {name: system_x_browser, of: [system, browser], only: prior}
    data: {min_rows: 200, max_weight: 1}
    calibration: {share: 0.1, std: 0.1}
    trainer: {kind: prior}

The settings of a trainer stand in its own file, in `trainers/`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pytrain import strict_yaml
from pytrain.errors import RecipeError
from pytrain.ranking import trainers
from pytrain.ranking.classifier import MAX_FEATURES, MAX_OF
from pytrain.ranking.datasets import COLUMNS, OPTIONAL
from pytrain.strict_yaml import Strict

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/training-classifiers.md"
MAX_BYTES = 1 << 20

FieldName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class FeatureSpec(Strict):
    """One feature: a field of the profile, or a cross of up to four."""

    name: FieldName
    of: Annotated[tuple[FieldName, ...], Field(min_length=1, max_length=MAX_OF, strict=False)] | None = None
    max_values: Annotated[int, Field(gt=0, le=1 << 18)] = 1 << 16
    only: Literal["prior", "campaigns"] | None = None  # of the trainer prior: who has the feature

    @property
    def fields(self) -> tuple[str, ...]:
        """The profile's fields that it reads."""
        return self.of or (self.name,)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field in self.fields:
            if field in COLUMNS or field in OPTIONAL:
                raise ValueError(f"of: {field} is a column that every data set has, not a profile's field; remove it")
        if len(set(self.fields)) != len(self.fields):
            raise ValueError("of: a field stands twice; keep one")
        return self


class Data(Strict):
    """Which examples are used."""

    min_rows: Annotated[int, Field(ge=1)] = 200  # a campaign with fewer rows, or sales, has no classifier
    min_positives: Annotated[int, Field(ge=0)] = 0
    max_rows: Annotated[int, Field(ge=1)] = 1_000_000  # the most recent ones of a campaign
    max_weight: Annotated[float, Field(ge=1)] = 1.0  # weights above are clipped to it in a campaign's fit
    retrain_growth: Annotated[float, Field(ge=0)] = 0.01  # of rows or sales: a campaign is trained again


class Calibration(Strict):
    """A shift of the intercept towards the rate of the most recent rows."""

    share: Annotated[float, Field(ge=0, le=1)] = 0.1  # of the rows; 0: none
    std: Annotated[float, Field(gt=0, le=100)] = 0.1  # the shift's standard deviation among campaigns, in the logit


class _Document(Strict):
    """The file, but for the trainer's settings."""

    features: Annotated[tuple[FeatureSpec, ...], Field(min_length=1, max_length=MAX_FEATURES, strict=False)]
    data: Data = Data()
    calibration: Calibration = Calibration()
    trainer: dict[str, Any] = {"kind": "prior"}  # noqa: RUF012 - pydantic copies defaults

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [f.name for f in self.features]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ValueError(f"features.{i}.name: {name!r} stands twice; rename one")
        read = [f.fields for f in self.features]
        for i, fields in enumerate(read):
            if fields in read[:i]:
                raise ValueError(f"features.{i}.of: another feature reads the same fields; remove one")
        kind = self.trainer.get("kind")
        if kind not in trainers.registered():
            known = ", ".join(sorted(trainers.registered()))
            raise ValueError(f"trainer.kind: {kind!r} is no trainer; choose one of {known}")
        return self


@dataclass(frozen=True)
class RankRecipe:
    """A whole recipe. `digest` is the first half of its bytes' SHA-256."""

    features: tuple[FeatureSpec, ...]
    data: Data
    calibration: Calibration
    trainer: trainers.Trainer
    digest: str

    @property
    def fields(self) -> tuple[str, ...]:
        """The profile's fields that any feature reads, in order."""
        return tuple(dict.fromkeys(field for f in self.features for field in f.fields))


def load(path: Path) -> RankRecipe:
    """Read a recipe file.

    Raises
    ------
    RecipeError
        It cannot be read, or has faults; all of them are named with their lines.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise RecipeError(
            f"cannot be read: {e.strerror or e}", where=str(path), remedy="name a recipe, as models/sale/prior.yaml"
        ) from e
    return parse(data, where=str(path))


def parse(data: bytes, *, where: str) -> RankRecipe:
    """Decode a recipe; see `load`."""
    if len(data) > MAX_BYTES:
        raise RecipeError(f"is larger than {MAX_BYTES} bytes", where=where, remedy="shorten it")
    document = strict_yaml.parse(data, where=where, page=PAGE)
    found = document.checked(_Document)
    kind = trainers.registered()[found.trainer["kind"]]
    settings = document.part(
        {key: value for key, value in found.trainer.items() if key != "kind"}, kind.settings_type, below=("trainer",)
    )
    fault = kind.fault(found.features)
    if fault:
        raise RecipeError(fault, where=where, remedy=f"{PAGE} shows every key")
    digest = hashlib.sha256(data).hexdigest()[:12]
    return RankRecipe(found.features, found.data, found.calibration, kind(settings), digest)
