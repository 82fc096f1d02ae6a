"""Quality of the served predictions: log loss against the hidden click model, and by window on replayed logs."""

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

PRIOR_ROWS = 200  # the recipe's base rate counts as so many rows before the first window
CLOSING_SHARE = 1 / 3  # the latest share of the impressions, on which first and last are compared
WINDOWS = 10  # with equally many impressions


@dataclass(frozen=True)
class Quality:
    """The served predictions compared with the hidden click model, which made the clicks.

    The three log losses (nats per impression) are of the same closing impressions and their clicks. Gaps do not depend
    on chance in the clicks (`metrics.gap_to_truth`). Calibration is Σ predictions / Σ true probabilities.
    """

    impressions: int  # the closing ones
    first: float  # log loss of the version that served first
    last: float  # log loss of the predictions as they were served
    teacher: float  # log loss of the truth
    windows: pd.DataFrame  # by tenth of the run: rows, versions, gap, calibration
    gap_last_half: float
    calibration_last_half: float

    @property
    def gap_first_tenth(self) -> float:
        return float(self.windows["gap"].iloc[0])

    @property
    def calibration_first_tenth(self) -> float:
        return float(self.windows["calibration"].iloc[0])


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


def compare(archive: Path, outcomes: Path, first_version: Path) -> Quality | None:
    """Compare the first version, the served predictions and the truth on the impressions of a run.

    Parameters
    ----------
    archive, outcomes
        The trainer's example archive of the click model, and the exchange's record of the true probabilities.
    first_version
        A copy of the version that served first (`Run.keep_first_version`).

    Returns
    -------
    Quality or None
        None if both have fewer than ten impressions in common that a model served.
    """
    with _without_native_notes():
        from pytrain.scoring import score_version  # noqa: PLC0415  (TensorFlow: only once the traffic has ended)

    served = read_archive(archive)
    if served.empty:
        return None
    known = pd.read_csv(outcomes, usecols=["bid_id", "teacher_click_p", "clicked"])
    both = served[served["version"] > 0].merge(known, left_on="id", right_on="bid_id", validate="one_to_one")
    if len(both) < WINDOWS:
        return None
    closing = both.iloc[int(len(both) * (1 - CLOSING_SHARE)) :]
    labels = closing["clicked"].to_numpy(np.float32)
    rows = np.stack(closing["row"].to_list()).astype(np.int32)  # (n, F)
    p, truth = both["probability"].to_numpy(np.float64), both["teacher_click_p"].to_numpy(np.float64)
    half = slice(len(both) // 2, None)
    windows = [
        {
            "rows": len(part),
            "versions": _span(both["version"].iloc[part]),
            "gap": metrics.gap_to_truth(truth[part], p[part]),
            "calibration": metrics.calibration(truth[part], p[part]),
        }
        for part in np.array_split(np.arange(len(both)), WINDOWS)
    ]
    return Quality(
        impressions=len(closing),
        first=metrics.log_loss(labels, score_version(first_version, rows)),
        last=metrics.log_loss(labels, closing["probability"].to_numpy(np.float32)),
        teacher=metrics.log_loss(labels, closing["teacher_click_p"].to_numpy(np.float64)),
        windows=pd.DataFrame(windows),
        gap_last_half=metrics.gap_to_truth(truth[half], p[half]),
        calibration_last_half=metrics.calibration(truth[half], p[half]),
    )


def _span(versions: pd.Series[int]) -> str:
    return f"{versions.min()}–{versions.max()}"


@contextmanager
def _without_native_notes() -> Iterator[None]:
    """Hide the text that TensorFlow's libraries print while they load; no setting does. Errors still raise."""
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
    """Quality of the served predictions on a log, in all and by window."""

    windows: pd.DataFrame
    overall: dict[str, float]


def judge(archive: Path, *, base_rate: float, count: int = 10) -> Judged | None:
    """Evaluate the served predictions, and a prior, by windows of equally many examples.

    The prior of a row is the click rate of all earlier windows: the best constant that was known then. The recipe's
    `base_rate` counts as `PRIOR_ROWS` rows before the first window.

    Returns
    -------
    Judged or None
        None if no example was served by a model.
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
        rows.append({"versions": _span(versions), **_figures(labels[part], p[part], prior[part])})
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
