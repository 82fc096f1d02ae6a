"""A classifier: one campaign's logistic regression over one-hot features, or the prior that classifiers are deltas to.

`files` reads and writes it; docs/classifier-files.md is its contract.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from pytrain.errors import ClassifierError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

Floats: TypeAlias = "npt.NDArray[np.float64]"

SEPARATOR = "\x1f"  # joins the values of a cross
MAX_FEATURES = 64
MAX_OF = 4
MAX_VALUES = 1 << 20  # of a file
MAX_VALUE_BYTES = 1 << 20  # of a feature
MAX_CAMPAIGN_BYTES = 256
MAX_NAME_BYTES = 256  # of a feature, a field, a trainer
MAX_WEIGHT = 1e6
MAX_GOLDEN = 64
MAX_GOLDEN_FIELDS = 256
GOLDEN_TOLERANCE = 1e-6
MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Feature:
    """Weights of one feature's values; `weights` is (len(values),) float64. Values ascend by their UTF-8 bytes."""

    name: str
    of: tuple[str, ...]
    values: tuple[str, ...]
    weights: Floats
    other: float

    @cached_property
    def places(self) -> dict[str, int]:
        """Return each value's place."""
        return {value: i for i, value in enumerate(self.values)}

    def weight(self, value: str) -> float:
        """Return the weight of a value; of an unknown one, `other`."""
        place = self.places.get(value)
        return self.other if place is None else float(self.weights[place])


@dataclass(frozen=True)
class Golden:
    """Profiles with the probabilities that the trainer computed: `probabilities` is (len(profiles),) float64."""

    fields: tuple[str, ...]
    profiles: tuple[tuple[str, ...], ...]
    probabilities: Floats


@dataclass(frozen=True)
class Classifier:
    """One file's content. `prior` is the version of the prior that the weights are deltas to, 0 if there is none."""

    kind: Literal["classifier", "prior"]
    campaign: str
    version: int
    prior: int
    trainer: str
    data: bytes
    trained_ms: int
    rows: int
    positives: int
    intercept: float
    variance: float
    features: tuple[Feature, ...]
    golden: Golden

    def logit(self, profile: Mapping[str, str], prior: Classifier | None = None) -> float:
        """Return the logit of a profile's sale. A field that the profile lacks is the empty text."""
        z = self.intercept
        for f in self.features:
            z += f.weight(SEPARATOR.join(profile.get(field, "") for field in f.of))
        if self.prior:
            if prior is None or prior.version != self.prior:
                raise ClassifierError(
                    f"is a delta to prior {self.prior}, which was not given",
                    where=self.campaign,
                    remedy="read the prior's file too",
                )
            z += prior.logit(profile)
        return z

    def probability(self, profile: Mapping[str, str], prior: Classifier | None = None) -> float:
        """Return the probability of a sale."""
        z = self.logit(profile, prior)
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))

    def golden_error(self, prior: Classifier | None = None) -> float:
        """Return the largest difference of a golden probability from ours."""
        fields = self.golden.fields
        return max(
            (
                abs(self.probability(dict(zip(fields, profile, strict=True)), prior) - p)
                for profile, p in zip(self.golden.profiles, self.golden.probabilities.tolist(), strict=True)
            ),
            default=0.0,
        )

    def check(self, where: str) -> None:
        """Refuse what the contract does not allow.

        Raises
        ------
        ClassifierError
            A number is not finite or out of its range, a name stands twice, a list is too long or out of order.
        """
        fault = next(self._faults(), None)
        if fault is not None:
            raise ClassifierError(fault, where=where, remedy="docs/classifier-files.md says what a file may hold")

    def _faults(self) -> Iterator[str]:
        yield from self._head_faults()
        yield from self._feature_faults()
        yield from self._golden_faults()

    def _head_faults(self) -> Iterator[str]:
        prior = self.kind == "prior"
        if not prior and not 1 <= len(self.campaign.encode()) <= MAX_CAMPAIGN_BYTES:
            yield f"campaign has {len(self.campaign.encode())} bytes, not 1 to {MAX_CAMPAIGN_BYTES}"
        if prior and (self.campaign or self.prior or self.variance):
            yield "a prior has no campaign, prior or variance"
        if not 0 < self.version <= MAX_INTEGER:
            yield f"version is {self.version}; it must be above 0"
        for name in ("prior", "trained_ms", "rows", "positives"):
            if not 0 <= getattr(self, name) <= MAX_INTEGER:
                yield f"{name} is {getattr(self, name)}"
        if self.positives > self.rows:
            yield f"{self.positives} positives of {self.rows} rows"
        if len(self.trainer.encode()) > MAX_NAME_BYTES:
            yield f"trainer has more than {MAX_NAME_BYTES} bytes"
        if len(self.data) != 32:
            yield f"data has {len(self.data)} bytes, not 32"
        if not abs(self.intercept) <= MAX_WEIGHT:
            yield f"intercept is {self.intercept}"
        if not (math.isfinite(self.variance) and self.variance >= 0):
            yield f"variance is {self.variance}"

    def _feature_faults(self) -> Iterator[str]:
        if not 1 <= len(self.features) <= MAX_FEATURES:
            yield f"{len(self.features)} features, not 1 to {MAX_FEATURES}"
        names = [f.name for f in self.features]
        if len(set(names)) != len(names):
            yield "two features have one name"
        if len({f.of for f in self.features}) != len(names):
            yield "two features read the same fields"
        if sum(len(f.values) for f in self.features) > MAX_VALUES:
            yield f"more than {MAX_VALUES} values"
        for f in self.features:
            yield from (f"feature {f.name!r}: {fault}" for fault in _faults_of(f))

    def _golden_faults(self) -> Iterator[str]:
        g = self.golden
        if len(g.profiles) > MAX_GOLDEN or g.probabilities.shape != (len(g.profiles),):
            yield f"{len(g.profiles)} golden profiles with {g.probabilities.size} probabilities; at most {MAX_GOLDEN}"
        if len(g.fields) > MAX_GOLDEN_FIELDS or not all(map(_is_field, g.fields)):
            yield f"golden fields are more than {MAX_GOLDEN_FIELDS}, or one is no field's name"
        if any(len(profile) != len(g.fields) for profile in g.profiles):
            yield "a golden profile has not one value for each field"
        if len(set(g.fields)) != len(g.fields):
            yield "a golden field stands twice"
        if not ((g.probabilities >= 0) & (g.probabilities <= 1)).all():
            yield "a golden probability is not in [0, 1]"


def _faults_of(f: Feature) -> Iterator[str]:
    if not 1 <= len(f.name.encode()) <= MAX_NAME_BYTES:
        yield f"its name has not 1 to {MAX_NAME_BYTES} bytes"
    if not 1 <= len(f.of) <= MAX_OF or len(set(f.of)) != len(f.of) or not all(map(_is_field, f.of)):
        yield f"reads {', '.join(map(repr, f.of))}, not 1 to {MAX_OF} different fields"
    if f.weights.shape != (len(f.values),):
        yield f"{f.weights.size} weights for {len(f.values)} values"
    if not (np.abs(f.weights) <= MAX_WEIGHT).all() or not abs(f.other) <= MAX_WEIGHT:
        yield f"a weight is not finite, or beyond {MAX_WEIGHT:g}"
    encoded = [v.encode() for v in f.values]
    if sum(map(len, encoded)) > MAX_VALUE_BYTES:
        yield f"its values have more than {MAX_VALUE_BYTES} bytes"
    if any(a >= b for a, b in itertools.pairwise(encoded)):
        yield "its values do not ascend, or one stands twice"


def _is_field(name: str) -> bool:
    return 1 <= len(name.encode()) <= MAX_NAME_BYTES and SEPARATOR not in name


def escape(campaign: str) -> str:
    """Return a campaign's name as files and directories have it (docs/classifier-files.md).

    Examples
    --------
    >>> escape("shoes/42")
    'shoes%2F42'
    """
    raw = campaign.encode()
    name = re.sub(rb"[^A-Za-z0-9_-]", lambda m: b"%%%02X" % m[0][0], raw).decode("ascii")
    return name if len(name) < 120 else f"{name[:100]}%{hashlib.sha256(raw).hexdigest()[:16]}"
