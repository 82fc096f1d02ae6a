"""TalkingData's log by time: the first 70 % are learnt, the rest predicted; a campaign is an app.

Compared with plain scikit-learn: `OneHotEncoder` and `LogisticRegression` for each app as they come. An app that has
one label only, or that was not seen, gets its rate of training, or all apps' rate.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from bench.rank_learning import scoring
from pytrain.metrics import auc, calibration, log_loss
from pytrain.ranking import solver, writing

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

FILE = "train_sample.csv"
LEARNT = 0.7
FIELDS = ("device", "os", "channel", "hour")
RECIPE = """\
features:
  - {name: device}
  - {name: os}
  - {name: channel}
  - {name: hour}
data: {min_rows: 1}
trainer: {kind: prior}
"""


@dataclass(frozen=True)
class Log:
    """Rows by time: `columns` are texts (n,)."""

    campaign: npt.NDArray[Any]
    columns: dict[str, npt.NDArray[Any]]
    time_ms: npt.NDArray[np.int64]
    label: Floats

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: Any) -> Log:
        columns = {name: v[rows] for name, v in self.columns.items()}
        return Log(self.campaign[rows], columns, self.time_ms[rows], self.label[rows])


def read(directory: Path) -> Log:
    """Read the log, in the directory or in one of its directories, and order it by time."""
    path = next(iter([*directory.glob(FILE), *sorted(directory.glob(f"*/{FILE}"))]), directory / FILE)
    table = pd.read_csv(path)
    when = pd.to_datetime(table["click_time"], utc=True)
    table = table.assign(hour=when.dt.hour, when=when.astype("datetime64[ms, UTC]").astype("int64"))
    table = table.sort_values("when", kind="stable")
    columns = {name: table[name].astype(str).to_numpy(object) for name in FIELDS}
    return Log(
        table["app"].astype(str).to_numpy(object),
        columns,
        table["when"].to_numpy(np.int64),
        table["is_attributed"].to_numpy(np.float64),
    )


def run(source: Path, *, directory: Path, jobs: int) -> dict[str, dict[str, float]]:
    """Learn and evaluate; return the measures of each learner."""
    log = read(source)
    n = round(len(log) * LEARNT)
    learnt, rest = log.take(slice(0, n)), log.take(slice(n, None))
    rate = float(learnt.label.mean())
    balanced_at = threshold(learnt, directory=directory / "threshold", jobs=jobs)
    p = by_prior(learnt, rest, directory=directory / "whole", jobs=jobs)
    found = {
        "prior": measures(rest.label, p) | {"balanced_accuracy": balanced_accuracy(rest.label, p, balanced_at)},
        "plain scikit-learn an app": measures(rest.label, by_sklearn(learnt, rest, rate)),
        "constant": measures(rest.label, np.full(len(rest), rate)),
    }
    found["prior"]["threshold"] = balanced_at
    return found


def by_prior(learnt: Log, rest: Log, *, directory: Path, jobs: int) -> Floats:
    """Write data sets, train by the recipe, and let the files predict (n,)."""
    shutil.rmtree(directory, ignore_errors=True)
    for app in np.unique(learnt.campaign.astype(str)):
        own = learnt.take(learnt.campaign == app)
        fields = {name: v.tolist() for name, v in own.columns.items()}
        writing.write(directory / "data", str(app), fields, time_ms=own.time_ms, label=own.label > 0)
    done = scoring.train(directory / "data", directory / "out", RECIPE.encode(), name="TalkingData", jobs=jobs)
    if done.failed or done.unreadable:
        raise RuntimeError(f"TalkingData: {done.failed or done.unreadable}")
    classifiers = scoring.Directory(directory / "out")
    p = np.empty(len(rest))
    for app in np.unique(rest.campaign.astype(str)):
        rows = rest.campaign == app
        z = classifiers.logits(str(app), rest.take(rows).columns)
        if z is None:
            raise RuntimeError("there is no prior")
        p[rows] = solver.sigmoid(z)
    return p


def threshold(learnt: Log, *, directory: Path, jobs: int) -> float:
    """Choose the threshold of balanced accuracy on rows of training: fit the first 70 % of them, predict the rest."""
    n = round(len(learnt) * LEARNT)
    rest = learnt.take(slice(n, None))
    p = by_prior(learnt.take(slice(0, n)), rest, directory=directory, jobs=jobs)
    order = np.argsort(-p, kind="stable")
    y = rest.label[order]
    score = np.cumsum(y) / y.sum() - np.cumsum(1 - y) / (1 - y).sum()
    return float(p[order[int(np.argmax(score))]])


def by_sklearn(learnt: Log, rest: Log, rate: float) -> Floats:
    """Plain scikit-learn for each app; (n,)."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    p = np.empty(len(rest))
    for app in np.unique(rest.campaign.astype(str)):
        own, rows = learnt.take(learnt.campaign == app), rest.campaign == app
        if not len(own):
            p[rows] = rate
        elif own.label.min() == own.label.max():
            p[rows] = own.label.mean()
        else:
            model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=1000))
            model.fit(np.column_stack(list(own.columns.values())), own.label)
            p[rows] = model.predict_proba(np.column_stack([v[rows] for v in rest.columns.values()]))[:, 1]
    return p


def balanced_accuracy(y: Floats, p: Floats, at: float) -> float:
    """The mean of the share of sales with p from `at`, and of the other rows with p below."""
    return float(((p >= at)[y > 0].mean() + (p < at)[y == 0].mean()) / 2)


def measures(y: Floats, p: Floats) -> dict[str, float]:
    """Log loss, AUC, calibration."""
    return {"log_loss": log_loss(y, p), "auc": auc(y, p), "calibration": calibration(y, p)}
