"""Campaigns with rare sales and a known truth.

    logit P(sale) = b_c + Σ over fields: shared[value] + own_c[value],   shared ~ N(0, SHARED²), own ~ N(0, OWN²)

b_c makes the mean rate of campaign c what it shall be. Values are drawn by Zipf's law. Nothing depends on the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

from pytrain.ranking import solver, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]
    Codes: TypeAlias = npt.NDArray[np.int64]

FIELDS = {"device": 40, "system": 8, "browser": 12, "provider": 120, "country": 60, "hour": 24}
ZIPF = 1.0
SHARED, OWN = 0.5, 0.25
BEGIN_MS, DAY_MS = 1_760_000_000_000, 86_400_000


@dataclass(frozen=True)
class Rows:
    """A campaign's rows: each field's codes (n,), the true logits (n,) and the labels drawn from them (n,)."""

    campaign: str
    codes: dict[str, Codes]
    logit: Floats
    label: npt.NDArray[np.bool_]


class World:
    """Campaigns with the given mean rates."""

    def __init__(
        self,
        rates: Sequence[float],
        *,
        seed: int,
        fields: dict[str, int] = FIELDS,
        shared: float = SHARED,
        own: float = OWN,
    ) -> None:
        self.fields, self.rates = fields, list(rates)
        self._seed = seed
        rng = np.random.default_rng([seed, 0])
        weights = {name: 1 / np.arange(1, size + 1) ** ZIPF for name, size in fields.items()}
        self._shares = {name: w / w.sum() for name, w in weights.items()}
        self._shared = {name: rng.normal(0, shared, size) for name, size in fields.items()}
        self._own = [{name: rng.normal(0, own, size) for name, size in fields.items()} for _ in rates]
        sample = self._codes(rng, 100_000)
        self._intercepts = []
        for c, rate in enumerate(rates):
            z = self._effects(c, sample)
            ones = np.ones_like(z)
            self._intercepts.append(solver.shift(z, np.full_like(z, rate), ones))

    def _codes(self, rng: np.random.Generator, n: int) -> dict[str, Codes]:
        return {name: rng.choice(size, n, p=self._shares[name]) for name, size in self.fields.items()}

    def _effects(self, c: int, codes: dict[str, Codes]) -> Floats:
        return np.asarray(sum(self._shared[name][v] + self._own[c][name][v] for name, v in codes.items()))

    def rows(self, c: int, n: int, *, stream: int) -> Rows:
        """Draw n rows of campaign c; `stream` 0 is for training, others for evaluation."""
        rng = np.random.default_rng([self._seed, 1 + stream, c])
        codes = self._codes(rng, n)
        z = self._intercepts[c] + self._effects(c, codes)
        return Rows(f"campaign-{c:04}", codes, z, rng.random(n) < solver.sigmoid(z))

    def write(self, directory: Path, rows: Rows, *, day: int = 0) -> None:
        """Write rows as one file of their campaign's data set, spread over a day."""
        n = len(rows.label)
        fields = {}
        for name, codes in rows.codes.items():
            values = pa.array([f"{name}-{v}" for v in range(self.fields[name])])
            fields[name] = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), values)
        time_ms = BEGIN_MS + day * DAY_MS + np.arange(n) * DAY_MS // n
        writing.write(directory, rows.campaign, fields, time_ms=time_ms, label=rows.label)
