"""How good the served predictions were: log loss against the hidden click model, and by window on replayed logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pytrain import metrics

CLOSING_SHARE = 1 / 3  # the part of the impressions, latest first, on which first and last are compared


@dataclass(frozen=True)
class Quality:
    """Log losses (nats an impression) on the same closing impressions."""

    impressions: int
    first: float  # the first version that served, scored on these impressions
    last: float  # the predictions as they were served
    teacher: float  # the hidden click model that made the clicks


def read_archive(directory: Path) -> pd.DataFrame:
    """All archived examples of one model in event order.

    Columns: `id`, `time_ms`, `label`, `probability` (as served), `version`, `row` (int32 list), …; empty if the
    archive holds nothing yet.
    """
    files = sorted(directory.glob("*.parquet"))
    if not files:
        return pd.DataFrame()
    frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    return frame.sort_values("time_ms", kind="stable", ignore_index=True)


def compare(archive: Path, outcomes: Path, store: Path) -> Quality | None:
    """Compare the first version, the served predictions and the teacher on the closing impressions.

    Parameters
    ----------
    archive, outcomes
        The trainer's example archive of the click model, and the exchange's record of what it knew.
    store
        The model's directory in the model store.

    Returns
    -------
    Quality or None
        None where no impression served by a model is found in both.
    """
    from pytrain.scoring import score_version  # noqa: PLC0415  (imports TensorFlow: only once the traffic has ended)

    served = read_archive(archive)
    if served.empty:
        return None
    known = pd.read_csv(outcomes, usecols=["bid_id", "teacher_click_p", "clicked"])
    both = served[served["version"] > 0].merge(known, left_on="id", right_on="bid_id", validate="one_to_one")
    if both.empty:
        return None
    first_version = int(both["version"].min())
    closing = both.iloc[int(len(both) * (1 - CLOSING_SHARE)) :]
    labels = closing["clicked"].to_numpy(np.float32)
    rows = np.stack(closing["row"].to_list()).astype(np.int32)  # (n, F)
    return Quality(
        impressions=len(closing),
        first=metrics.log_loss(labels, score_version(store / str(first_version), rows)),
        last=metrics.log_loss(labels, closing["probability"].to_numpy(np.float32)),
        teacher=metrics.log_loss(labels, closing["teacher_click_p"].to_numpy(np.float32)),
    )


def windows(archive: Path, count: int = 10) -> pd.DataFrame:
    """Quality of the served predictions by window of equally many examples, the prior's beside it.

    The prior of a window is the click rate of all windows before it: what a constant prediction could have known.
    """
    served = read_archive(archive)
    served = served[served["version"] > 0] if not served.empty else served
    out = []
    clicks, seen = 0.0, 0
    for part in np.array_split(np.arange(len(served)), min(count, max(1, len(served)))):
        window = served.iloc[part]
        if window.empty:
            continue
        labels = window["label"].to_numpy(np.float32)
        p = window["probability"].to_numpy(np.float32)
        prior = np.full_like(p, (clicks + 1) / (seen + 2))
        out.append(
            {
                "rows": len(window),
                "clicks": int(labels.sum()),
                "versions": f"{window['version'].min()}–{window['version'].max()}",
                "auc": metrics.auc(labels, p),
                "log_loss": metrics.log_loss(labels, p),
                "prior_log_loss": metrics.log_loss(labels, prior),
                "calibration": float(p.sum() / labels.sum()) if labels.any() else float("nan"),
                "prior_calibration": float(prior.sum() / labels.sum()) if labels.any() else float("nan"),
            }
        )
        clicks, seen = clicks + float(labels.sum()), seen + len(window)
    return pd.DataFrame(out)
