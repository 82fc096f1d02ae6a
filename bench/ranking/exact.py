"""`/rank` against scikit-learn's `predict_proba`.

Pipelines are fitted here. The same data sets are trained as `pytrain rank train` does. All probabilities that a ranker
answers are compared, unseen values included.
"""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from bench.rank_learning import scoring, talkingdata
from bench.ranking.keys import Found
from bench.ranking.ranker import Ranker, running
from bench.report import number, say, table
from pytrain.ranking import writing

UNSEEN = 0.05  # share of a user's values that no training row has; as many are missing
OPEN = {"placement": 300, "publisher": 3000, "screen": 80}  # fields of the configuration, and how many values each has
CLOSED = {  # fields that every ranker knows, which would make *other* of what it does not know
    "device": ["desktop", "mobile", "tablet", "tv"],
    "country": ["AT", "BE", "BR", "CH", "CN", "DE", "DK", "ES", "FI", "FR", "GB", "IT", "JP", "NL", "PL", "PT", "US"],
    "language": ["da", "de", "el", "en", "es", "fi", "fr", "it", "ja", "ko", "nl", "no", "pl", "pt", "sv", "tr", "zh"],
    "hour": [str(h) for h in range(24)],
    "weekday": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
}
FREQUENT = 10  # rows from which a value has a column of its own
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Rows:
    """A campaign's training rows: texts (n, fields), labels (n,)."""

    campaign: str
    texts: Any
    label: Any


@dataclass(frozen=True)
class Sample:
    """What is compared: campaigns' rows, and users' texts (users, fields)."""

    name: str
    fields: tuple[str, ...]
    campaigns: Sequence[Rows]
    users: Any


def made(campaigns: int, rows: int, users: int) -> Sample:
    """Draw campaigns with rates of 2 to 20 %, and users with unseen and missing values."""
    values = CLOSED | {name: [f"{name}-{i}" for i in range(size)] for name, size in OPEN.items()}
    fields = tuple(values)

    def texts(rng: np.random.Generator, n: int) -> Any:
        drawn = np.empty((n, len(fields)), object)
        for j, of in enumerate(values.values()):
            shares = 1 / np.arange(1, len(of) + 1)
            drawn[:, j] = rng.choice(np.array(of, object), n, p=shares / shares.sum())
        return drawn

    def campaign(c: int) -> Rows:
        rng = np.random.default_rng([1, c])
        drawn = texts(rng, rows)
        z = np.full(rows, rng.uniform(-4, -1.5))
        for j in range(len(fields)):
            found, codes = np.unique(drawn[:, j].astype(str), return_inverse=True)
            z += rng.normal(0, 0.4, len(found))[codes]
        return Rows(f"campaign-{c:04}", drawn, (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(np.int8))

    rng = np.random.default_rng(2)
    asked, chance = texts(rng, users), rng.random((users, len(fields)))
    asked[chance < UNSEEN] = "zz"  # no country, language, hour or placement
    clock = [name in ("hour", "weekday") for name in fields]  # which are the present ones where they are missing
    asked[(chance > 1 - UNSEEN) & ~np.array(clock)] = ""
    return Sample("made rows", fields, [campaign(c) for c in range(campaigns)], asked)


def talking(source: Path, users: int) -> Sample:
    """TalkingData's log: a campaign is an app with sales among the first 70 % of the rows; users are of the rest."""
    log = talkingdata.read(source)
    n = round(len(log) * talkingdata.LEARNT)
    learnt, rest = log.take(slice(0, n)), log.take(slice(n, None))
    # "device" and "hour" are every ranker's own fields, whose values are others than the log's.
    fields = tuple(f"log_{name}" for name in talkingdata.FIELDS)
    campaigns = []
    for app in np.unique(learnt.campaign.astype(str)):
        own = learnt.take(learnt.campaign == app)
        if 0 < own.label.sum() < len(own):
            texts = np.column_stack([own.columns[name] for name in talkingdata.FIELDS])
            campaigns.append(Rows(f"app-{app}", texts, own.label.astype(np.int8)))
    asked = np.column_stack([rest.columns[name] for name in talkingdata.FIELDS])
    order = np.random.default_rng(3).permutation(len(asked))[:users]
    return Sample("TalkingData", fields, campaigns, asked[order])


def recipe(fields: Sequence[str]) -> str:
    """Return the recipe of the pipelines that `fitted` fits."""
    names = ", ".join(f"{{name: {name}}}" for name in fields)
    return (
        f"features: [{names}]\ndata: {{min_rows: 1, min_positives: 1}}\ncalibration: {{share: 0}}\n"
        f"trainer: {{kind: scikit-learn, encoder: {{min_frequency: {FREQUENT}}}}}\n"
    )


def fitted(rows: Rows, users: Any) -> Any:
    """Fit scikit-learn's pipeline, with the trainer's defaults; return `predict_proba` of the users (users,)."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - it takes a second
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=FREQUENT)
    pipeline = make_pipeline(encoder, LogisticRegression(tol=1e-10, max_iter=10_000, random_state=0))
    pipeline.fit(rows.texts, rows.label)
    return pipeline.predict_proba(users)[:, 1]


def write(sample: Sample, directory: Path) -> None:
    """Write data sets and the campaign file."""
    lines = ["campaigns:"]
    for rows in sample.campaigns:
        n = len(rows.label)
        columns = {name: rows.texts[:, j].tolist() for j, name in enumerate(sample.fields)}
        times = 1_760_000_000_000 + np.arange(n) * DAY_MS // n
        writing.write(directory / "data", rows.campaign, columns, time_ms=times, label=rows.label > 0)
        lines.append(f"- {{id: {rows.campaign}, value: 1, landing: 'https://shop.example/'}}")
    (directory / "campaigns.yaml").write_text("\n".join(lines) + "\n")


def answers(ranker: Ranker, sample: Sample) -> Any:
    """Ask the ranker for every user's whole ranking: (users, campaigns).

    Raises
    ------
    RuntimeError
        An answer is an error, or lacks a campaign.
    """
    places = {rows.campaign: i for i, rows in enumerate(sample.campaigns)}
    found = np.full((len(sample.users), len(places)), np.nan)
    connection = http.client.HTTPConnection("127.0.0.1", ranker.ports.bid, timeout=30)
    try:
        for i, user in enumerate(sample.users.tolist()):
            profile = dict(zip(sample.fields, user, strict=True))
            connection.request("POST", "/rank", json.dumps({"profile": profile, "limit": len(places)}))
            response = connection.getresponse()
            text = response.read()
            if response.status != 200:
                raise RuntimeError(f"/rank answers {response.status}: {text.decode(errors='replace')}")
            for entry in json.loads(text)["ranking"]:
                found[i, places[entry["campaign"]]] = entry["probability"]
    finally:
        connection.close()
    if np.isnan(found).any():
        raise RuntimeError(f"{int(np.isnan(found).sum())} probabilities are missing in the ranker's answers")
    return found


def compare(sample: Sample, directory: Path, *, jobs: int) -> tuple[float, int]:
    """Return the largest difference, and how many probabilities were compared."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    write(sample, directory)
    done = scoring.train(
        directory / "data", directory / "classifiers", recipe(sample.fields).encode(), name=sample.name, jobs=jobs
    )
    if done.trained != len(sample.campaigns):
        raise RuntimeError(f"{done.trained} of {len(sample.campaigns)} were trained: {done.failed or done.unreadable}")
    say(f"{sample.name}: fitting {len(sample.campaigns)} pipelines")
    wanted = np.column_stack(
        joblib.Parallel(n_jobs=jobs)(joblib.delayed(fitted)(rows, sample.users) for rows in sample.campaigns)
    )
    own = [name for name in sample.fields if name not in CLOSED]
    with running(
        directory,
        classifiers=directory / "classifiers",
        campaigns=directory / "campaigns.yaml",
        fields=own,
    ) as ranker:
        got = answers(ranker, sample)
    return float(np.abs(got - wanted).max()), got.size


def run(directory: Path, found: Found, *, campaigns: int, rows: int, users: int, data: Path | None, jobs: int) -> None:
    """Compare made rows, and TalkingData's if there are any."""
    samples = [made(campaigns, rows, users)]
    if data is not None:
        samples.append(talking(data, users))
    told = {}
    for sample in samples:
        difference, compared = compare(sample, directory / sample.name.replace(" ", "-"), jobs=jobs)
        told[sample.name] = {"models": len(sample.campaigns), "rows": compared, "difference": difference}
    found.raw["exact"] = told
    found.values |= {
        "bank_max_difference": max(t["difference"] for t in told.values()),
        "rows_compared": sum(t["rows"] for t in told.values()),
        "models_compared": sum(t["models"] for t in told.values()),
    }
    table(
        "probabilities against predict_proba",
        ["", "models", "probabilities", "largest difference"],
        [[name, str(t["models"]), f"{t['rows']:,}", number(t["difference"])] for name, t in told.items()],
    )
