from __future__ import annotations

import json
from pathlib import Path

import msgpack
import numpy as np
import pytest

from pytrain import manifest as mf
from pytrain import store
from pytrain.errors import ConfigError, InputError, VersionError
from pytrain.export import VersionWriter
from pytrain.learner import Learner
from pytrain.loop import Learnt
from pytrain.scoring import Version, score_version
from tests.pytrain.conftest import ARCHITECTURES, make_recipe, random_rows, random_x, recipe_yaml

pytestmark = pytest.mark.usefixtures("one_thread")
LEARNT = Learnt(rows=500, pos=b"\x01\x02", from_ms=10, to_ms=20, metrics={"rows": 200, "auc": None, "log_loss": 0.5})


def trained(kind: str, buckets: int = 16) -> Learner:
    learner = Learner(make_recipe(kind, buckets=buckets))
    rows = random_rows(learner.recipe.space, 500)
    for _ in range(20):
        learner.learn(rows.x, rows.y, rows.w)
    return learner


def write(learner: Learner, directory: Path, version: int = 1) -> Path:
    final = directory / str(version)
    writer = VersionWriter(learner, recipe_yaml=recipe_yaml(learner.model.kind).encode())
    with store.staged(final, directory / ".staging") as aside:
        writer.write(aside, version, LEARNT)
    return final


@pytest.mark.parametrize("kind", list(ARCHITECTURES))
def test_a_version_is_the_keras_model(kind: str, tmp_path: Path) -> None:
    learner = trained(kind)
    path = write(learner, tmp_path)
    version = Version(path)
    x = random_x(learner.recipe.space, 3000, seed=9)
    np.testing.assert_allclose(version.score(x), learner.predict(x), atol=1e-6, rtol=0)
    np.testing.assert_allclose(score_version(path, x[:1]), learner.predict(x[:1]), atol=1e-6, rtol=0)
    assert version.score(x[:0]).shape == (0,)
    assert version.golden_error() <= 1e-6
    m = version.manifest
    assert (m.model, m.version, m.label, m.row_len, m.table_rows) == ("ctr", 1, "click", 5, 53)
    assert m.training.model_dump() == {"rows": 500, "from_ms": 10, "to_ms": 20, "position": {"base64": "AQI="}}
    assert m.metrics == {"rows": 200, "auc": None, "log_loss": 0.5}
    assert (m.signature.input, m.signature.output) == ("rows", "probability")
    assert m.signature.input_tensor == "serving_default_rows:0"
    assert (path / mf.RECIPE).read_text() == recipe_yaml(kind)
    assert sorted(p.name for p in path.iterdir()) == ["assets.extra", "fingerprint.pb", "saved_model.pb", "variables"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".staging", "1"]
    assert list((tmp_path / ".staging").iterdir()) == []


def test_golden_rows_hold_the_edges(tmp_path: Path) -> None:
    learner = trained("logreg")
    x, p = mf.read_golden(write(learner, tmp_path))
    assert len(x) >= 16
    assert x.dtype == np.int32
    assert not x[0].any()
    assert p[0] == pytest.approx(float(1 / (1 + np.exp(-learner.state()["dense.0"]))), abs=1e-7)
    for i, c in enumerate(learner.recipe.space.columns):
        assert {c.low, c.high - 1, 0} <= set(x[:, i].tolist())
        assert ((x[:, i] == 0) | ((x[:, i] >= c.low) & (x[:, i] < c.high))).all()
    raw = msgpack.unpackb((tmp_path / "1" / mf.GOLDEN).read_bytes())
    assert list(raw) == ["n", "f", "x", "p"]


@pytest.mark.parametrize("kind", list(ARCHITECTURES))
def test_every_weight_is_stored_once_and_no_slot(kind: str, tmp_path: Path) -> None:
    learner = trained(kind, buckets=20_000)
    size = sum(f.stat().st_size for f in write(learner, tmp_path).rglob("*") if f.is_file())
    table = 4 * learner.recipe.space.table_rows * learner.recipe.table_width
    assert table < size < table + 64_000


def test_a_second_export_has_what_was_learnt_between(tmp_path: Path) -> None:
    learner = trained("deepfm")
    writer = VersionWriter(learner, recipe_yaml=recipe_yaml("deepfm").encode())
    x = random_x(learner.recipe.space, 50)
    for version in (1, 2):
        with store.staged(tmp_path / str(version), tmp_path / ".staging") as aside:
            writer.write(aside, version, LEARNT)
        np.testing.assert_allclose(score_version(tmp_path / str(version), x), learner.predict(x), atol=1e-6)
        learner.learn(x, np.ones(50, np.float32), np.ones(50, np.float32))
    assert np.abs(score_version(tmp_path / "1", x) - score_version(tmp_path / "2", x)).max() > 1e-3


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda p: (p / "variables/variables.data-00000-of-00001").write_bytes(b"x"), r"variables.data-.* is damaged"),
        (lambda p: (p / "saved_model.pb").unlink(), r"saved_model.pb is missing"),
        (lambda p: (p / "extra").write_text(""), r"extra is not in the manifest"),
        (lambda p: (p / mf.MANIFEST).write_text("{"), r"manifest.json: "),
        (lambda p: (p / mf.MANIFEST).unlink(), r"cannot be read"),
        (
            lambda p: (p / mf.MANIFEST).write_text((p / mf.MANIFEST).read_text().replace('"schema": 1', '"schema": 2')),
            "schema",
        ),
    ],
)
def test_a_damaged_version_is_refused(damage: object, fault: str, tmp_path: Path) -> None:
    path = write(trained("logreg"), tmp_path)
    assert callable(damage)
    damage(path)
    with pytest.raises(VersionError, match=fault) as caught:
        Version(path)
    assert caught.value.remedy


def test_bad_rows_are_refused(tmp_path: Path) -> None:
    version = Version(write(trained("logreg"), tmp_path))
    with pytest.raises(InputError, match=r"needs \(n, 5\)"):
        version.score(np.zeros((2, 4), np.int32))
    with pytest.raises(InputError, match="indices run from 0 to 53, the table has 53"):
        version.score(np.array([[0, 0, 0, 0, 53]], np.int32))


def test_versions_are_immutable_and_appear_whole(tmp_path: Path) -> None:
    learner = trained("logreg")
    write(learner, tmp_path)
    with pytest.raises(ConfigError, match="immutable"):
        write(learner, tmp_path)

    def fail() -> None:
        with store.staged(tmp_path / "2", tmp_path / ".staging") as aside:
            (aside / "half").write_text("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.versions(tmp_path) == [1]
    assert list((tmp_path / ".staging").iterdir()) == []


def test_pointer(tmp_path: Path) -> None:
    pointer = tmp_path / "pointer.json"
    assert store.write_pointer(tmp_path, stable=1)
    assert json.loads(pointer.read_text()) == {"stable": 1, "canary": None, "previous": 0}
    store.write_pointer(tmp_path, stable=4)
    assert json.loads(pointer.read_text()) == {"stable": 4, "canary": None, "previous": 1}
    canary = {"version": 5, "share": 0.1}
    pointer.write_text(json.dumps({"stable": 4, "canary": canary, "previous": 1}))
    store.write_pointer(tmp_path, stable=6)
    assert json.loads(pointer.read_text()) == {"stable": 6, "canary": canary, "previous": 4}
    store.write_pointer(tmp_path, stable=5)  # the canary itself
    assert json.loads(pointer.read_text()) == {"stable": 5, "canary": None, "previous": 6}
    pinned = {"stable": 5, "canary": canary, "previous": 4, "pinned": {"since": "2026-01-02T03:04:05Z", "reason": ""}}
    pointer.write_text(json.dumps(pinned))
    assert not store.write_pointer(tmp_path, stable=7)
    assert store.write_pointer(tmp_path, stable=5)
    assert json.loads(pointer.read_text()) == pinned
    pointer.write_text("[]")
    with pytest.raises(ConfigError, match="is damaged"):
        store.write_pointer(tmp_path, stable=5)
    assert [p.name for p in tmp_path.iterdir()] == ["pointer.json"]
