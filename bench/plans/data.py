"""The data that pipelines are fitted on and asked: real sets, or made ones for a quick run.

A real set is read from the directory that `DATA=` names. None is shipped, nor a model that was trained on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SEED = 7
LABELS = {"sst": "label", "adult": "income", "abalone": "Rings"}


@dataclass(frozen=True)
class Rows:
    """A data set: rows to fit on with their labels, and rows to ask: of a table all, those of the fit too.

    `train` and `test` are arrays of texts (n,), or DataFrames of float64 and object columns; a missing text is NaN.
    """

    name: str
    train: Any
    labels: Any
    test: Any


def read(directory: Path | None) -> dict[str, Rows]:
    """Return the sets by name: sst, adult, abalone. Without a directory they are made, and small."""
    if directory is None:
        return _made()
    sst = directory / "sst_binary"
    train, test = (pd.read_csv(sst / f"sst_binary_{part}.csv") for part in ("train", "test"))
    adult = [pd.read_csv(directory / "adult" / f"adult_{part}.csv") for part in ("train", "test")]
    abalone = pd.read_csv(directory / "abalone" / "abalone.csv")
    return {
        "sst": Rows("sst", _texts(train), train["label"].to_numpy(), _texts(test)),
        "adult": _table("adult", adult[0], pd.concat(adult, ignore_index=True)),
        "abalone": _table("abalone", abalone, abalone),
    }


def _texts(frame: pd.DataFrame) -> Any:
    return frame["sentence"].to_numpy(object)


def _table(name: str, train: pd.DataFrame, test: pd.DataFrame) -> Rows:
    label = LABELS[name]
    return Rows(name, _columns(train.drop(columns=label)), train[label].to_numpy(), _columns(test.drop(columns=label)))


def _columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Make every column float64 or texts."""
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column):
            columns[name] = column.astype(np.float64)
        else:
            texts = [text if isinstance(text, str) else np.nan for text in column]
            columns[name] = pd.Series(texts, dtype=object, index=frame.index)
    return pd.DataFrame(columns)


def _made() -> dict[str, Rows]:
    """Make sets with the columns of the real ones; labels follow the rows."""
    rng = np.random.default_rng(SEED)
    words = np.array(["".join(rng.choice(list("abcdefgh "), int(rng.integers(2, 9)))) for _ in range(400)])
    texts = np.array([" ".join(rng.choice(words, int(rng.integers(3, 20)))) for _ in range(900)], object)
    numbers = ["age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"]
    kinds = ["workclass", "education", "marital_status", "occupation", "relationship", "race", "sex", "native_country"]
    adult = pd.DataFrame({name: rng.gamma(2, 20, 900).round() for name in numbers})
    for name in kinds:
        column = pd.Series(rng.choice(np.array(["a", "b", "c", "d"], object), 900), dtype=object)
        column[rng.random(900) < 0.05] = np.nan
        adult[name] = column
    sizes = ["LongestShell", "Diameter", "Height", "WholeWeight", "ShuckedWeight", "VisceraWeight", "ShellWeight"]
    abalone = pd.DataFrame({"Type": pd.Series(rng.choice(np.array(["F", "I", "M"], object), 900), dtype=object)})
    for name in sizes:
        abalone[name] = rng.gamma(2, 0.2, 900).round(4)
    happy = np.array([len(text) % 2 for text in texts])
    rich = np.where(adult["age"] + rng.normal(0, 20, 900) > 40, ">50K", "<=50K")
    rings = (abalone["ShellWeight"] * 20 + rng.normal(0, 1, 900)).round().to_numpy()
    return {
        "sst": Rows("sst", texts[:600], happy[:600], texts[600:]),
        "adult": Rows("adult", adult[:600], rich[:600], adult[600:].reset_index(drop=True)),
        "abalone": Rows("abalone", abalone[:600], rings[:600], abalone[600:].reset_index(drop=True)),
    }
