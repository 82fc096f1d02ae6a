"""What one model for all campaigns would have chosen: the baseline of a run.

One logistic regression over the profile's fields and the campaign, learnt from the warm-up log. Without crosses its
order of campaigns is the same for every user. So its clicks are known from the books: they all go to the first of that
order that is active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from pytrain.ranking.datasets import time_range
from scripts.loop.settings import load

if TYPE_CHECKING:
    from scripts.rank.settings import Run

SAMPLED = 100_000  # clicks without a sale that are learnt, about; each weighs for those that are left out
WHOLE = 0.99  # a campaign that was active for this share of a window's clicks could be chosen throughout


def lift_share(run: Run, rows: pd.DataFrame, ranking: dict[str, Any], *, until_ms: int) -> float | None:
    """The share of the possible gain that the global model brings; None if the warm-up log has no sale.

    Parameters
    ----------
    run
        The run, with its data set.
    rows
        The exchange's books by campaign and window.
    ranking
        The exchange's totals.
    until_ms
        The end of the warm-up log, Unix ms: no later click is learnt.
    """
    log = _read(run, until_ms)
    if log["label"].nunique() < 2:
        return None
    names = [c for c in log.columns if c not in ("label", "weight")]
    encoder = OneHotEncoder(handle_unknown="ignore")
    x = encoder.fit_transform(log[names])
    model = LogisticRegression(max_iter=1000).fit(x, log["label"], sample_weight=log["weight"])
    first = sum(len(c) for c in encoder.categories_[: names.index("campaign")])
    campaigns = encoder.categories_[names.index("campaign")]
    order = dict(zip(campaigns, model.coef_[0][first : first + len(campaigns)], strict=True))
    return share(rows, ranking, order=order)


def share(rows: pd.DataFrame, ranking: dict[str, Any], *, order: dict[str, float] | None) -> float:
    """The share of the possible gain, if each window's clicks go to the active campaign that is first in an order.

    The order is by these scores, 0 for a campaign that they lack; None: by the truth, the best that any order can do.
    """
    expected = 0.0
    for _, window in rows.groupby("window_s"):
        clicks = window["clicks"].sum()
        whole = window[window["offered"] >= WHOLE * window["offered"].max()]
        if not clicks or whole["offered"].max() == 0:
            continue
        rates = whole["expected"] / whole["offered"]
        scores = rates if order is None else whole["campaign"].map(lambda c: order.get(c, 0.0))
        expected += clicks * float(rates.loc[scores.idxmax()])
    gain = ranking["best"] - ranking["chance"]
    return (expected - ranking["chance"]) / gain if gain > 0 else 0.0


def _read(run: Run, until_ms: int) -> pd.DataFrame:
    """The warm-up log: all clicks with a sale, and a sample of the others with a weight."""
    rng = np.random.default_rng(run.world.seed)
    keep = min(1.0, SAMPLED / run.world.warmup)
    fields = load("rank-trainer.yaml")["fields"]
    parts = []
    for path in sorted(run.data_set.glob("[!.]*/*.parquet")):
        if time_range(path)[0] >= until_ms:
            continue
        table = pq.read_table(
            path, columns=["time", "campaign", "label", *fields], read_dictionary=["campaign", *fields]
        )
        sold = table["label"].to_numpy()
        before = table["time"].cast(pa.int64()).to_numpy() < until_ms
        kept = before & (sold | (rng.random(len(table)) < keep))
        part = (
            table.drop_columns("time")
            .filter(pa.array(kept))
            .to_pandas()
            .astype(dict.fromkeys(["campaign", *fields], str))
        )
        parts.append(part.assign(weight=np.where(part["label"], 1.0, 1 / keep)))
    log: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return log
