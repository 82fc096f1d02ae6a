"""Estimators' files: what descriptions say, and what cannot be written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import OneHotEncoder

from pytrain import manifest as mf
from pytrain.errors import ConfigError, InputError
from pytrain.workers.files import Column, write_onnx
from pytrain.workers.publishing import publish_estimator


def test_an_onnx_file_is_described(tmp_path: Path) -> None:
    texts = np.array([["DE", "phone"], ["PL", "tv"]], dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(texts)
    golden = [{"country": "DE"}]
    fields = [("country",), ("device",)]
    path = write_onnx(
        tmp_path, "a b", b"graph", encoder=encoder, fields=fields, version=4, golden=golden, probabilities=[0.25]
    )
    told = json.loads(path.read_text())
    assert path.name == "a%20b.estimator.json"
    assert (tmp_path / told["estimator"]).read_bytes() == b"graph"
    assert told["estimator"] == "a%20b.4.onnx"
    assert told["sha256"] == hashlib.sha256(b"graph").hexdigest()
    assert (told["rows"], told["width"], told["golden"]["probabilities"]) == ("one-hot", 4, [0.25])
    named = write_onnx(tmp_path, "c", b"graph", columns=[Column("x", ("hour",), "int64")], positive=0)
    told = json.loads(named.read_text())
    assert (told["rows"], told["positive"], told["columns"]) == (
        "table",
        0,
        [{"name": "x", "of": ["hour"], "type": "int64"}],
    )
    for wrong in ({}, {"encoder": encoder, "columns": [Column("x", ("hour",))]}):
        with pytest.raises(InputError, match="takes an encoder, or columns"):
            write_onnx(tmp_path, "d", b"graph", **wrong)


def test_an_estimator_is_published(tmp_path: Path) -> None:
    rows = pd.DataFrame({"price": np.linspace(0, 1, 20), "hour": np.arange(20)})
    fitted = GaussianNB().fit(rows, np.arange(20) % 2)
    path = publish_estimator(fitted, rows, store=tmp_path, model="visit", label="visit")
    manifest = mf.read_manifest(path)
    assert manifest.formats == ("workers",)
    assert set(manifest.files) == {"workers/estimator.json", "workers/model.skops", mf.GOLDEN}
    mf.check_files(path, manifest)
    told = json.loads((path / "workers/estimator.json").read_text())
    assert told["columns"] == [{"name": "price", "type": "float64"}, {"name": "hour", "type": "int64"}]


def test_what_cannot_be_published(tmp_path: Path) -> None:
    rows = pd.DataFrame({"price": np.linspace(0, 1, 20)})
    fitted = GaussianNB().fit(rows, np.arange(20) % 2)
    with pytest.raises(ConfigError, match="is no name"):
        publish_estimator(fitted, rows, store=tmp_path, model="A visit")
    with pytest.raises(InputError, match="are 3"):
        publish_estimator(fitted, rows[:3], store=tmp_path, model="visit")
    for column in (np.array([None] * 20), np.full(20, 2**40)):
        with pytest.raises(InputError, match=r"is of object|32 bits do not hold"):
            publish_estimator(fitted, rows.assign(x=column), store=tmp_path, model="visit")
