"""Estimators of rankings: `write_one_hot` and `write_table` write one for workers, `write_onnx` an ONNX model.

The description says which fields of a profile the estimator takes, and for one-hot rows which column each value has.
Gavel encodes by it, so the encoder itself is not needed where the estimator serves. docs/workers.md has the format.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import skops.io

from pytrain.errors import InputError
from pytrain.ranking.classifier import SEPARATOR, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

FORMAT = 1
SUFFIX = ".estimator.json"
MAX_GOLDEN = 64


@dataclass(frozen=True)
class Column:
    """A named column of a table: the fields that it reads, and `text`, `float64` or `int64`."""

    name: str
    of: tuple[str, ...]
    type: str = "text"


def write_one_hot(
    directory: Path,
    campaign: str,
    estimator: Any,
    encoder: Any,
    fields: Sequence[tuple[str, ...]],
    *,
    version: int = 0,
    variance: float = 0.0,
    pickle: bool = False,
    golden: Sequence[Mapping[str, str]] = (),
) -> Path:
    """Write a classifier over the columns of a fitted OneHotEncoder.

    Parameters
    ----------
    estimator
        Anything with `predict_proba`, fitted on the encoder's columns; two classes, the second is a sale.
    encoder
        A fitted sklearn.preprocessing.OneHotEncoder whose values are texts.
    fields
        For each of the encoder's features the field that it reads, or the fields of a cross.
    version
        Above 0; 0 takes the time in milliseconds.
    pickle
        Write joblib, which only a trusted directory may hold; otherwise skops.
    golden
        Profiles whose probabilities are computed here, and compared by whoever serves the file.

    Returns
    -------
    Path
        The description, which was renamed into place after the estimator.

    Raises
    ------
    InputError
        The encoder holds what a description cannot say.
    """
    features, width = describe(encoder, fields)
    texts = np.array([[_text(p, of) for of in fields] for p in golden], dtype=object).reshape(-1, len(fields))
    probabilities = estimator.predict_proba(encoder.transform(texts))[:, 1] if len(golden) else []
    rest = {"rows": "one-hot", "dtype": np.dtype(encoder.dtype).name, "width": width, "features": features}
    return _write(directory, campaign, estimator, rest, version, variance, golden, probabilities, pickle=pickle)


def write_table(
    directory: Path,
    campaign: str,
    pipeline: Any,
    columns: Sequence[Column],
    *,
    version: int = 0,
    variance: float = 0.0,
    pickle: bool = False,
    golden: Sequence[Mapping[str, str]] = (),
    probabilities: Sequence[float] = (),
) -> Path:
    """Write a whole pipeline that takes named columns; parameters as in `write_one_hot`.

    Parameters
    ----------
    probabilities
        The pipeline's own for the golden profiles.
    """
    rest = {"rows": "table", "columns": _described(columns)}
    return _write(directory, campaign, pipeline, rest, version, variance, golden, probabilities, pickle=pickle)


def write_onnx(
    directory: Path,
    campaign: str,
    model: bytes,
    *,
    encoder: Any = None,
    fields: Sequence[tuple[str, ...]] = (),
    columns: Sequence[Column] = (),
    positive: int = 1,
    version: int = 0,
    variance: float = 0.0,
    golden: Sequence[Mapping[str, str]] = (),
    probabilities: Sequence[float] = (),
) -> Path:
    """Write an ONNX classifier, which onnxruntime runs within the ranker (docs/ranking.md).

    Parameters
    ----------
    model
        The content of an `.onnx` file, with all its tensors.
    encoder, fields
        As in `write_one_hot`: the model takes one input of floats, [N, columns of the encoder].
    columns
        Without an encoder: the model's inputs, each [N, 1], by name.
    positive
        The column of a sale, if the model gives the probabilities of several classes.
    probabilities
        Those of the golden profiles, computed by the library that the model comes from.

    Raises
    ------
    InputError
        Neither an encoder nor columns are given, or both, or the encoder holds what a description cannot say.
    """
    if (encoder is None) == (not columns):
        raise InputError("takes an encoder, or columns", where="write_onnx", remedy="give one of the two")
    if encoder is None:
        rest: dict[str, Any] = {"rows": "table", "columns": _described(columns)}
    else:
        features, width = describe(encoder, fields)
        rest = {"rows": "one-hot", "width": width, "features": features}
    rest["positive"] = positive
    return _place_both(
        directory, campaign, "onnx", lambda to: to.write_bytes(model), rest, version, variance, golden, probabilities
    )


def _described(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [{"name": c.name, "of": list(c.of), "type": c.type} for c in columns]


def describe(encoder: Any, fields: Sequence[tuple[str, ...]]) -> tuple[list[dict[str, Any]], int]:
    """Return the features of a OneHotEncoder with each value's column, and the number of columns.

    Raises
    ------
    InputError
        It drops categories, has values that are no texts, or raises for values that it has not seen.
    """
    remedy = "fit OneHotEncoder(handle_unknown='ignore' or 'infrequent_if_exist') on columns of texts"
    if encoder.drop is not None or encoder.handle_unknown == "error":
        raise InputError(
            f"has drop={encoder.drop!r} and handle_unknown={encoder.handle_unknown!r}", where="encoder", remedy=remedy
        )
    if len(fields) != len(encoder.categories_):
        raise InputError(
            f"has {len(encoder.categories_)} features, {len(fields)} are named", where="encoder", remedy="name each"
        )
    try:
        infrequent = encoder.infrequent_categories_
    except AttributeError:  # the encoder was not asked for any
        infrequent = [None] * len(fields)
    features, begin = [], 0
    for of, categories, rare in zip(fields, encoder.categories_, infrequent, strict=True):
        values = list(categories)
        if not all(isinstance(v, str) for v in values):
            raise InputError(f"has values that are no texts for {', '.join(of)}", where="encoder", remedy=remedy)
        few = set() if rare is None else set(rare)
        frequent = [v for v in values if v not in few]
        other = begin + len(frequent) if few else None
        place = {v: begin + i for i, v in enumerate(frequent)}
        features.append(
            {
                "name": SEPARATOR.join(of),
                "of": list(of),
                "values": values,
                "columns": [place.get(v, other) for v in values],
                "other": other if encoder.handle_unknown != "ignore" else None,
            }
        )
        begin += len(frequent) + bool(few)
    return features, begin


def _text(profile: Mapping[str, str], of: tuple[str, ...]) -> str:
    return SEPARATOR.join(profile.get(name, "") for name in of)


def _write(
    directory: Path,
    campaign: str,
    estimator: Any,
    rest: dict[str, Any],
    version: int,
    variance: float,
    golden: Sequence[Mapping[str, str]],
    probabilities: Any,
    *,
    pickle: bool,
) -> Path:
    dump = joblib.dump if pickle else skops.io.dump
    ending = "joblib" if pickle else "skops"
    return _place_both(
        directory, campaign, ending, lambda to: dump(estimator, to), rest, version, variance, golden, probabilities
    )


def _place_both(
    directory: Path,
    campaign: str,
    ending: str,
    write: Callable[[Path], Any],
    rest: dict[str, Any],
    version: int,
    variance: float,
    golden: Sequence[Mapping[str, str]],
    probabilities: Any,
) -> Path:
    """Write the estimator's file, and then its description."""
    version = version or time.time_ns() // 1_000_000
    aside = directory / ".aside"
    aside.mkdir(exist_ok=True)
    name = f"{escape(campaign)}.{version}.{ending}"
    write(aside / name)
    data = (aside / name).read_bytes()
    _place(aside / name, directory / name)
    description = {
        "format": FORMAT,
        "campaign": campaign,
        "version": version,
        "estimator": name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "variance": variance,
        "positive": 1,
        "golden": {"profiles": [dict(p) for p in golden], "probabilities": [float(p) for p in probabilities]},
        **rest,
    }
    to = directory / (escape(campaign) + SUFFIX)
    (aside / to.name).write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
    _place(aside / to.name, to)
    return to


def _place(aside: Path, to: Path) -> None:
    """Sync a file and rename it into place."""
    with aside.open("rb+") as f:
        os.fsync(f.fileno())
    aside.replace(to)
