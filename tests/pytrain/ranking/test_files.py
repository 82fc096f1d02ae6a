"""Classifier files: what is written is read, what is damaged is refused, and Go's files are ours."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrain.errors import ClassifierError, ConfigError
from pytrain.ranking import files
from pytrain.ranking.classifier import Classifier, Feature, escape
from tests.pytrain.ranking import made

GOLDEN = Path(__file__).parents[2] / "golden" / "classifiers"


def sealed(body: bytes) -> bytes:
    data = struct.pack("<8sII", b"GAVELCLF", 1, len(body)) + body
    return data + hashlib.sha256(data).digest()


def changed(**changes: Any) -> bytes:
    data = files.pack(made.delta(), where="x")
    body = msgpack.unpackb(data[16:-32])
    return sealed(msgpack.packb({k: v for k, v in {**body, **changes}.items() if v is not None}))


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    prior_path, path = files.write(tmp_path, made.prior()), files.write(tmp_path, made.delta())
    assert {p.name for p in files.listed(tmp_path)} == {"prior.7.classifier", "shoes%2F42%20%C3%A9.classifier"}
    found, prior = files.read(path), files.read(prior_path)
    files.check_golden(found, prior, where="x")
    assert files.pack(found, where="x") == path.read_bytes()
    assert found.intercept == -5.5
    assert found.features[1].values == ("\x1f", "ios\x1fsafari")
    assert not list((tmp_path / ".aside").iterdir())


def test_logits_by_hand() -> None:
    prior, found = made.prior(), made.delta()
    assert prior.logit({"system": "ios", "browser": "safari"}) == -4 + 2 + 1
    assert prior.logit({}) == -4 + 0.5 + 0.125
    assert found.logit({"system": "new"}, prior) == (-5.5 - 0.25) + (-4 - 0.25)
    assert found.probability({}, prior) == pytest.approx(1 / (1 + math.exp(4.875 + 3.375)))
    with pytest.raises(ClassifierError, match="prior 7"):
        found.logit({})


def test_golden_profiles_tell_every_weight_of_extremes() -> None:
    found = made.delta()
    seen = {dict(zip(found.golden.fields, p, strict=True))["system"] for p in found.golden.profiles}
    assert seen >= {"", "ios", "android", "\x7funseen"}
    for i, f in enumerate(found.features):
        for weights, other in ((f.weights + 0.01, f.other), (f.weights, f.other + 0.01)):
            moved = list(found.features)
            moved[i] = Feature(f.name, f.of, f.values, weights, other)
            assert replace(found, features=tuple(moved)).golden_error(made.prior()) > 0


def test_names() -> None:
    assert escape("A-z_09") == "A-z_09"
    assert escape("prior.7") == "prior%2E7"
    assert escape("a" * 119) == "a" * 119
    long = escape("é" * 60)
    assert long == ("%C3%A9" * 60)[:100] + "%" + hashlib.sha256(("é" * 60).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "no classifier file"),
        (b"GAVELCLF" + bytes(100), "layout 0"),
        (files.pack(made.delta(), where="x")[:-1], "its head says"),
        (files.pack(made.delta(), where="x") + b"x", "its head says"),
        (changed(variance=None), "lacks variance"),
        (changed(colour=1), "unknown key 'colour'"),
        (changed(rows=1.5), "rows of the body is float, not int"),
        (changed(rows=True), "rows of the body is bool, not int"),
        (changed(intercept=1), "intercept of the body is int, not float"),
        (changed(intercept=math.nan), "intercept is nan"),
        (changed(variance=-1.0), "variance is -1.0"),
        (changed(kind="other"), "kind is 'other'"),
        (changed(version=0), "version is 0"),
        (changed(campaign=""), "campaign has 0 bytes"),
        (changed(data=b"x"), "data has 1 bytes"),
        (changed(features=[]), "0 features"),
        (sealed(b"\x82\xa4kind\xa1a\xa4kind\xa1b"), "twice"),
        (sealed(msgpack.packb([1])), "no map"),
        (sealed(b"\xc1"), "no msgpack map"),
        (sealed(msgpack.packb({}) + b"\x00"), "no msgpack map"),
    ],
)
def test_refused(data: bytes, fault: str) -> None:
    with pytest.raises(ClassifierError, match=fault):
        files.unpack(data, where="x.classifier")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"values": ["ios", "android"]}, "do not ascend"),
        ({"values": ["ios", "ios"]}, "do not ascend"),
        ({"weights": b"1234"}, "4 bytes of float64"),
        ({"weights": np.zeros(3).tobytes()}, "3 weights for 2 values"),
        ({"weights": np.array([1, np.inf]).tobytes()}, "not finite"),
        ({"of": []}, "not 1 to 4"),
        ({"of": ["a", "a"]}, "not 1 to 4"),
        ({"values": [1, "a"]}, "no text"),
    ],
)
def test_refused_features(change: dict[str, Any], fault: str) -> None:
    feature = {"name": "f", "of": ["f"], "values": ["a", "b"], "weights": np.zeros(2).tobytes(), "other": 0.0} | change
    with pytest.raises(ClassifierError, match=fault):
        files.unpack(changed(features=[feature]), where="x.classifier")


@given(st.data())
def test_a_flipped_byte_is_refused(data: st.DataObject) -> None:
    good = bytearray(files.pack(made.delta(), where="x"))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ClassifierError):
        files.unpack(bytes(good), where="x")


def test_wrong_golden_probabilities_are_refused() -> None:
    found = made.delta()
    wrong = replace(found, intercept=found.intercept + 1)
    with pytest.raises(ClassifierError, match="differ from ours"):
        files.check_golden(wrong, made.prior(), where="x")


def test_a_full_disk_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.write(tmp_path, made.delta())
    before = path.read_bytes()

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        files.write(tmp_path, replace(made.delta(), version=9))
    assert path.read_bytes() == before
    assert not list((tmp_path / ".aside").iterdir())


WHOLE = json.loads((GOLDEN / "classifiers.json").read_text())
FAULTS = json.loads((GOLDEN / "faults.json").read_text())


@pytest.mark.parametrize("want", WHOLE, ids=lambda w: w["file"][:40])
def test_files_that_go_wrote(want: dict[str, Any]) -> None:
    path = GOLDEN / want["file"]
    found = files.read(path)
    priors: dict[int, Classifier] = {p.version: p for p in map(files.read, files.priors(GOLDEN))}
    prior = priors.get(found.prior)
    files.check_golden(found, prior, where=path.name)
    assert files.file_name(found) == path.name
    assert files.pack(found, where=path.name) == path.read_bytes()
    for key in (
        "kind",
        "campaign",
        "version",
        "prior",
        "trainer",
        "trained_ms",
        "rows",
        "positives",
        "intercept",
        "variance",
    ):
        assert getattr(found, key) == want[key], key
    assert found.data.hex() == want["data"]
    for f, w in zip(found.features, want["features"], strict=True):
        assert (f.name, f.of, f.values, f.other) == (w["name"], tuple(w["of"]), tuple(w["values"]), w["other"])
        assert f.weights.tolist() == w["weights"]
    profiles = [dict(zip(want["fields"], p, strict=True)) for p in want["profiles"] or []]
    own = replace(found, prior=0)
    assert [own.logit(p) for p in profiles] == pytest.approx(want["own_logits"] or [], abs=1e-9)
    assert [found.probability(p, prior) for p in profiles] == pytest.approx(want["probabilities"] or [], abs=1e-12)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f["name"])
def test_files_that_go_refuses(fault: dict[str, str]) -> None:
    with pytest.raises(ClassifierError):  # golden probabilities are compared by whoever has the prior
        files.check_golden(files.unpack(bytes.fromhex(fault["hex"]), where="x"), None, where="x")
