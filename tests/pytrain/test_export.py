from __future__ import annotations

import json
from dataclasses import replace
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
from pytrain.plan import Plan, read_plan
from pytrain.plan.learned import Weights, plan_of
from pytrain.recipe import Recipe
from pytrain.scoring import Version, score_version
from tests.pytrain.conftest import ARCHITECTURES, FAST, make_recipe, random_rows, random_x, recipe_yaml

pytestmark = pytest.mark.usefixtures("one_thread")
LEARNT = Learnt(rows=500, pos=b"\x01\x02", from_ms=10, to_ms=20, metrics={"rows": 200, "auc": None, "log_loss": 0.5})


def trained(kind: str, buckets: int = 16, extra: str = FAST) -> Learner:
    learner = Learner(make_recipe(kind, buckets=buckets, extra=extra))
    rows = random_rows(learner.recipe.space, 500)
    for _ in range(20):
        learner.learn(rows.x, rows.y, rows.w)
    return learner


def write(learner: Learner, directory: Path, version: int = 1) -> Path:
    final = directory / str(version)
    objects = directory.parent / "objects"
    writer = VersionWriter(learner, recipe_yaml=recipe_yaml(learner.model.kind).encode(), objects=objects)
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
    assert m.signature is not None
    assert (m.signature.input, m.signature.output) == ("rows", "probability")
    assert m.signature.input_tensor == "serving_default_rows:0"
    assert (path / mf.RECIPE).read_text() == recipe_yaml(kind)
    assert sorted(p.name for p in path.iterdir()) == ["assets.extra", "fingerprint.pb", "saved_model.pb", "variables"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".staging", "1"]
    assert list((tmp_path / ".staging").iterdir()) == []


@pytest.mark.parametrize("kind", list(ARCHITECTURES))
def test_a_version_in_both_formats(kind: str, tmp_path: Path) -> None:
    learner = trained(kind, extra=f"{FAST}\nexport: [savedmodel, plan]")
    path = write(learner, tmp_path / "store/ctr")
    graph, plan = Version(path), Version(path, format_="plan")
    assert graph.manifest.formats == ("savedmodel", "plan")
    assert {"saved_model.pb", "plan/plan.msgpack"} < graph.manifest.files.keys()
    x = random_x(learner.recipe.space, 3000, seed=9)
    want = learner.predict(x)
    np.testing.assert_allclose(plan.score(x), want, atol=1e-6, rtol=0)
    np.testing.assert_allclose(graph.score(x), want, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(plan.table(), graph.table())
    assert plan.score(x[:0]).shape == (0,)
    named = {t.sha256 for v in read_plan(path, tmp_path / "store/objects").nodes for t in v.tensors.values()}
    assert {p.name for p in (tmp_path / "store/objects").glob("[0-9a-f]*")} == named


def test_a_plan_alone(tmp_path: Path) -> None:
    learner = trained("fm", extra=f"{FAST}\nexport: [plan]")
    path = write(learner, tmp_path / "store/ctr")
    assert sorted(p.name for p in path.iterdir()) == ["assets.extra", "plan"]
    version = Version(path)
    assert (version.manifest.formats, version.manifest.signature) == (("plan",), None)
    assert version.golden_error() <= 1e-6
    document = json.loads((path / mf.MANIFEST).read_text())
    assert (document["schema"], document["row_len"], document["formats"]) == (2, 5, ["plan"])
    assert "signature" not in document
    with pytest.raises(VersionError, match="not one of rows of indices in a format that pytrain reads"):
        Version(path, format_="savedmodel")


def test_objects_are_there_before_the_version_is(tmp_path: Path) -> None:
    """A fault after the objects leaves them and no version; the next export finds them and is whole."""
    learner = trained("logreg", extra="export: [savedmodel, plan]")
    objects = tmp_path / "objects"
    writer = VersionWriter(learner, recipe_yaml=recipe_yaml().encode(), objects=objects)

    def fail() -> None:
        with store.staged(tmp_path / "m/1", tmp_path / "m/.staging") as aside:
            writer.write(aside, 1, LEARNT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    left = {p.name for p in objects.iterdir()}
    assert left
    assert store.versions(tmp_path / "m") == []
    with store.staged(tmp_path / "m/1", tmp_path / "m/.staging") as aside:
        writer.write(aside, 1, LEARNT)
    assert {p.name for p in objects.iterdir()} == left
    assert Version(tmp_path / "m/1", format_="plan").golden_error() <= 1e-6


def test_a_plan_that_misses_its_golden_rows_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(recipe: Recipe, weights: Weights) -> Plan:
        return plan_of(recipe, replace(weights, bias=weights.bias + 1))

    monkeypatch.setattr("pytrain.export.plan_of", other)
    with pytest.raises(VersionError, match=r"the written plan is off the Keras model by 0\."):
        write(trained("logreg", extra="export: [savedmodel, plan]"), tmp_path / "store/ctr")
    assert store.versions(tmp_path / "store/ctr") == []


def test_a_manifest_of_schema_1_is_read(tmp_path: Path) -> None:
    path = write(trained("logreg"), tmp_path)
    written = json.loads((path / mf.MANIFEST).read_text())

    def edited(**changes: object) -> Path:
        document = {key: value for key, value in (written | changes).items() if value != "absent"}
        (path / mf.MANIFEST).write_text(json.dumps(document))
        return path

    assert Version(edited(schema=1, formats="absent")).manifest.formats == ("savedmodel",)
    assert Version(edited(schema=1, formats="absent", format="savedmodel")).manifest.formats == ("savedmodel",)
    columns = {"row_len": "absent", "table_rows": "absent", "signature": "absent"}
    assert not mf.read_manifest(edited(schema=1, formats="absent", format="plan", **columns)).indexed
    faults: list[tuple[dict[str, object], str]] = [
        ({"schema": 1}, "schema 1 has no formats"),
        ({"formats": ["plan", "plan"]}, "has one twice"),
        ({"formats": []}, "at least 1 item"),
        ({"formats": ["../x"]}, "pattern"),
        ({"signature": "absent"}, "a SavedModel needs all three"),
        ({"formats": ["plan"], "table_rows": 0}, "one of them is 0"),
        ({"format": "plan"}, "format: Extra inputs"),
    ]
    for change, fault in faults:
        with pytest.raises(VersionError, match=fault):
            mf.read_manifest(edited(**change))


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
            lambda p: (p / mf.MANIFEST).write_text((p / mf.MANIFEST).read_text().replace('"schema": 2', '"schema": 3')),
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
