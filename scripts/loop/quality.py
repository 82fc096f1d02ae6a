"""How good the served predictions were: log loss against the hidden click model, and by window on replayed logs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pytrain import metrics

Floats = npt.NDArray[np.float32]

PRIOR_ROWS = 200  # what the recipe's base rate weighs, before clicks are known
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
    with _without_native_notes():
        from pytrain.scoring import score_version  # noqa: PLC0415  (TensorFlow: only once the traffic has ended)

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


@contextmanager
def _without_native_notes() -> Iterator[None]:
    """Keep off the terminal what TensorFlow's libraries write while they are loaded; no setting does. Faults raise."""
    with Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@dataclass(frozen=True)
class Judged:
    """What served predictions were worth on a log, in all and by window."""

    windows: pd.DataFrame
    overall: dict[str, float]


def judge(archive: Path, *, base_rate: float, count: int = 10) -> Judged | None:
    """Judge the served predictions by window of equally many examples, the prior's beside them.

    The prior of a row is the click rate of all windows before its own, what a constant prediction could have known;
    `base_rate`, the recipe's, counts as `PRIOR_ROWS` rows before the first.

    Returns
    -------
    Judged or None
        None where no example was served by a model.
    """
    served = read_archive(archive)
    served = served[served["version"] > 0] if not served.empty else served
    if served.empty:
        return None
    labels = served["label"].to_numpy(np.float32)
    p = served["probability"].to_numpy(np.float32)
    prior = np.empty_like(p)
    rows = []
    clicks, seen = base_rate * PRIOR_ROWS, float(PRIOR_ROWS)
    for part in np.array_split(np.arange(len(served)), min(count, len(served))):
        prior[part] = clicks / seen
        versions = served["version"].iloc[part]
        rows.append({"versions": f"{versions.min()}–{versions.max()}", **_figures(labels[part], p[part], prior[part])})
        clicks, seen = clicks + float(labels[part].sum()), seen + len(part)
    return Judged(pd.DataFrame(rows), _figures(labels, p, prior))


def _figures(labels: Floats, p: Floats, prior: Floats) -> dict[str, float]:
    clicks = float(labels.sum())
    return {
        "rows": len(labels),
        "clicks": int(clicks),
        "auc": metrics.auc(labels, p),
        "prior_auc": metrics.auc(labels, prior),
        "log_loss": metrics.log_loss(labels, p),
        "prior_log_loss": metrics.log_loss(labels, prior),
        "calibration": float(p.sum()) / clicks if clicks else float("nan"),
        "prior_calibration": float(prior.sum()) / clicks if clicks else float("nan"),
    }
