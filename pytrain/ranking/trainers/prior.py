"""The trainer `prior`: a global model over all campaigns, and each campaign's shrunk difference from it.

    logit of a sale = prior(profile) + b_c + Σ features' deltas of campaign c,   b_c ~ G, deltas ~ N(0, 1/λ)

A campaign with few sales stays near the prior, one with many leaves it. When the prior is fitted, the distribution G is
fitted to all campaigns' sales (`pytrain.ranking.rates`), and λ is chosen by progressive validation
(`pytrain.ranking.strength`). The prior's weights are fitted together with an intercept for each campaign. So what
differs between campaigns is not taken for an effect of their users.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import numpy as np
from pydantic import Field

from pytrain.errors import ClassifierError, ConfigError
from pytrain.ranking import files, fitting, strength
from pytrain.ranking.classifier import Classifier, Golden
from pytrain.ranking.encoding import column, encode, logits, split
from pytrain.ranking.hierarchy import Penalties, fit_deltas, fit_rated_prior
from pytrain.ranking.pooling import Sample
from pytrain.ranking.pooling import pool as pool_rows
from pytrain.ranking.rates import Rates
from pytrain.ranking.trainers import Fit, Pool, Shared, register
from pytrain.store import write_file
from pytrain.strict_yaml import Strict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pytrain.ranking.datasets import Examples
    from pytrain.ranking.recipe import FeatureSpec

    Floats: TypeAlias = npt.NDArray[np.float64]

STATE = ".training.json"  # in the directory of classifiers: what the newest prior was fitted on, and the strengths
CAMPAIGN_L2 = 0.3  # of the campaigns' intercepts in the prior's fit, unless `intercept_l2` is given

Penalty = Annotated[float, Field(gt=0, le=1e9)]


class Settings(Strict):
    """What a recipe may set. Penalties that are None are learnt from the data."""

    min_rows: Annotated[int, Field(ge=1)] = 10  # a value with fewer rows of a campaign has no delta of its own
    l2: Penalty | None = None  # of a campaign's deltas
    intercept_l2: Penalty | None = None  # of a campaign's intercept; None: as the campaigns' rates are spread
    prior_l2: Penalty | None = None  # of the prior's weights
    prior_min_rows: Annotated[int, Field(ge=1)] = 30  # a value with fewer rows of all campaigns is the prior's *other*
    prior_negatives: Annotated[int, Field(ge=1)] = 50  # rows without a sale for each sale in the prior's fit
    prior_max_rows: Annotated[int, Field(ge=1000)] = 2_000_000  # rows of all campaigns; more: fewer without a sale
    prior_max_weight: Annotated[float, Field(ge=1)] = 3.0  # weights above are clipped to it in the prior's fit
    refit_growth: Annotated[float, Field(gt=0)] = 0.1  # refits the prior: the data grew or shrank by this share,
    refit_hours: Annotated[float, Field(gt=0)] = 24.0  # or changed, and the prior is as old as this
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1

    @property
    def penalties(self) -> Penalties:
        """What the prior's fit needs. `l2` may yet be chosen."""
        return Penalties(
            l2=self.prior_l2 or strength.PRIOR_L2[0],
            campaign_l2=self.intercept_l2 or CAMPAIGN_L2,
            min_rows=self.prior_min_rows,
            delta_min_rows=self.min_rows,
            seed=self.seed,
        )

    @property
    def sample(self) -> Sample:
        """The rows of the prior's fit."""
        return Sample(self.prior_negatives, self.prior_max_rows, self.seed, self.prior_max_weight)


@register
class Prior:
    """The trainer."""

    kind: ClassVar[str] = "prior"
    settings_type: ClassVar[type[Strict]] = Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @staticmethod
    def fault(features: Sequence[FeatureSpec]) -> str | None:
        """Both the prior and the campaigns need a feature."""
        for who in ("prior", "campaigns"):
            if not any(f.only in (None, who) for f in features):
                return f"features: none is left for the {who}; remove `only` of one"
        return None

    def label(self) -> str:
        """Name the trainer."""
        return self.kind

    def prepare(self, pool: Pool) -> Shared:
        """Return the newest prior, or fit another if the data or the recipe changed enough."""
        trainer = f"{self.label()}, recipe {pool.recipe.digest}"
        found = self._kept(pool, trainer)
        if found is not None:
            return found
        pool.tell("reading all campaigns for the prior")
        pooled = pool_rows(pool.data_sets, pool.recipe, self.settings.sample)
        pool.tell(f"choosing the strength of penalties on {len(pooled):,} of {pooled.rows:,} rows")
        penalties = self.settings.penalties
        losses: dict[str, float] = {}
        if self.settings.prior_l2 is None:
            prior_l2, losses = strength.choose_prior(pooled, penalties)
            penalties = replace(penalties, l2=prior_l2)
        pool.tell("fitting the prior")
        intercept, features, rates = fit_rated_prior(pooled, penalties)
        if self.settings.intercept_l2 is not None:
            rates = Rates(variance=1 / self.settings.intercept_l2)
        l2 = self.settings.l2
        if l2 is None:
            pool.tell("choosing the strength of the deltas' penalty")
            l2, tried = strength.choose_deltas(pooled, penalties, rates)
            losses |= tried
        newest = max((_version(path) for path in files.priors(pool.out)), default=0)
        prior = Classifier(
            kind="prior",
            campaign="",
            version=max(pool.now_ms, newest + 1),
            prior=0,
            trainer=trainer,
            data=pool.digest,
            trained_ms=pool.now_ms,
            rows=pooled.rows,
            positives=pooled.positives,
            intercept=intercept,
            variance=0.0,
            features=features,
            golden=Golden((), (), np.empty(0)),
        )
        path = files.write(pool.out, fitting.with_golden(prior, None))
        shared = Shared(path, prior.version, rates, l2)
        state = {
            "prior": prior.version,
            "rows": pool.rows,
            "rates": asdict(rates),
            "l2": l2,
            "prior_l2": penalties.l2,
            "validation": losses,
        }
        try:
            write_file(pool.out / STATE, json.dumps(state, indent=1).encode() + b"\n")
        except OSError as e:
            raise ConfigError(
                f"cannot be written: {e.strerror or e}",
                where=str(pool.out / STATE),
                remedy="check space, owner and permissions",
            ) from e
        return shared

    def _kept(self, pool: Pool, trainer: str) -> Shared | None:
        """Return the newest prior if it is recent enough; None if there is none, or its files are damaged."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, ClassifierError):
            state = json.loads((pool.out / STATE).read_bytes())
            path = pool.out / f"prior.{state['prior']}{files.SUFFIX}"
            prior = files.read(path)
            grown = abs(pool.rows - state["rows"]) / max(1, state["rows"])
            aged = pool.now_ms - prior.trained_ms >= self.settings.refit_hours * 3_600_000
            same = prior.data == pool.digest
            if prior.trainer == trainer and (same or (grown < self.settings.refit_growth and not aged)):
                known = state["rates"]
                rates = Rates(float(known["mean"]), float(known["variance"]), tuple(map(float, known["weights"])))
                return Shared(path, prior.version, rates, float(state["l2"]))
        return None

    def fit(
        self,
        examples: Examples,
        weight: Floats,
        *,
        features: Sequence[FeatureSpec],
        shared: Shared,
        previous: Classifier | None,  # noqa: ARG002 - Newton's method needs no start
    ) -> Fit:
        """Fit a campaign's deltas with the prior's logits as offset."""
        assert shared.prior is not None  # noqa: S101 - prepare made one
        offset = logits(files.read_prior(shared.prior), examples)
        encoded = [
            encode(spec, column(examples, spec.fields), min_rows=self.settings.min_rows)
            for spec in features
            if spec.only != "prior"
        ]
        found = fit_deltas(encoded, examples.label, weight, offset, l2=shared.l2, rates=shared.rates)
        return Fit(found.intercept, split(encoded, found.weights), found.logits, shared.rates.l2)


def _version(path: Path) -> int:
    part = path.name.removeprefix("prior.").removesuffix(files.SUFFIX)
    return int(part) if part.isdecimal() else 0
