"""Models that pytrain learnt, as plans: the operators' reference against the Keras model, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from typer.testing import CliRunner

from pytrain.cli import app
from pytrain.cli_fit import publish
from pytrain.errors import ConfigError, VersionError
from pytrain.export import ServingModule, VersionWriter
from pytrain.learner import Learner
from pytrain.loop import Learnt
from pytrain.manifest import GOLDEN, RECIPE, TOLERANCE, golden_rows, hash_files, read_golden
from pytrain.plan import read_plan
from pytrain.plan.columns import columns, pack, read_columns
from pytrain.plan.learned import OPERATORS, Weights, plan_of, weights_of
from pytrain.recipe import Recipe, load_recipe, parse_recipe
from tests.pytrain.plan.engine import BIDDER
from tests.pytrain.plan.reference import run

RECIPES = Path(__file__).parents[3] / "models" / "ctr"

FEATURES = """
features:
  - {name: hour, source: request.time, transform: hour_of_day, encoder: vocabulary, values: ["0", "1", "2"]}
  - {name: page_category, source: inventory.categories, slots: 3, encoder: hash, buckets: 32}
  - {name: campaign, source: campaign.id, encoder: hash, buckets: 64}
"""
ARCHITECTURES = {
    "logreg": "{kind: logreg}",
    "fm": "{kind: fm, embedding_dim: 5}",
    "deepfm": "{kind: deepfm, embedding_dim: 8, hidden: [20, 7]}",
}


def recipe(kind: str) -> Recipe:
    text = f"model: ctr\nlabel: click\narchitecture: {ARCHITECTURES[kind]}\n{FEATURES}"
    return parse_recipe(text.encode(), where=kind)


def learner(of: Recipe) -> Learner:
    """Return a learner whose weights are large enough that every part matters."""
    made = Learner(of)
    rng = np.random.default_rng(3)
    table = rng.standard_normal(made.model.table.shape, np.float32) * np.float32(0.2)
    table[0] = 0
    made.set_weights(table, -0.4)
    for variable in made.model.dense_variables[1:]:
        deviation = 1 / np.sqrt(variable.shape[0])
        variable.assign(rng.standard_normal(variable.shape, np.float32) * np.float32(deviation))
    return made


def weights(kind: str) -> Weights:
    return weights_of(ServingModule(learner(recipe(kind))))


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_plan_gives_what_the_keras_model_gives(kind: str) -> None:
    made = learner(recipe(kind))
    plan = plan_of(made.recipe, weights_of(ServingModule(made)))
    assert [(v.name, v.type, v.width) for v in plan.inputs] == [("rows", "int32", 5)]
    assert (plan.outputs["probability"].type, plan.outputs["probability"].width) == ("float32", 1)
    x = golden_rows(made.recipe.space, seed=1)
    outputs, refused = run(plan, {"rows": x})
    assert not refused.any()
    assert np.abs(outputs["probability"][:, 0] - made.predict(x)).max() <= TOLERANCE
    x[3, 2], x[5, 0] = made.recipe.space.table_rows, -1
    assert list(np.flatnonzero(run(plan, {"rows": x})[1])) == [3, 5]


def test_weights_of_another_form_are_refused() -> None:
    def f(kind: str, given: Weights, message: str) -> None:
        with pytest.raises(VersionError, match=message):
            plan_of(recipe(kind), given)

    deep, fm = weights("deepfm"), weights("fm")
    assert fm.head is not None
    f("fm", deep, r"biases\[0\] is float32\[20\], the recipe's fm has nothing")
    f("deepfm", fm, r"kernels\[1\] is nothing, the recipe's deepfm has \[20, 7\]")
    f("logreg", fm, r"head is float32\[12, 1\], the recipe's logreg has nothing; table is float32\[101, 6\]")
    f("fm", replace(fm, head=fm.head * 2), "head is not 1 for weights and ½ for pairs")
    f("fm", replace(fm, table=fm.table.astype(np.float64)), r"table is float64\[101, 6\]")


def port(path: Path, store: Path, *options: str) -> Any:
    arguments = ["port", str(path), "--store", str(store), "--model", "ctr_plan", *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def published(store: Path, file: Path) -> tuple[Learner, Path]:
    """Publish a learner of a recipe's file, as `fit` does."""
    made = learner(load_recipe(file))
    writer = VersionWriter(made, recipe_yaml=file.read_bytes(), verify=False)
    return made, publish(store, "ctr", writer, Learnt(rows=7, pos="1:2", from_ms=3, to_ms=4, metrics={"auc": 0.5}))


@pytest.mark.parametrize("file", ["logreg.yaml", "fm.yaml", "recipe.yaml"])
def test_a_ported_version_scores_in_the_engine(file: str, tmp_path: Path) -> None:
    """The engine itself loads it, which checks the golden rows, and answers as TensorFlow does."""
    made, source = published(tmp_path, RECIPES / file)
    done = port(source, tmp_path)
    assert done.exit_code == 0
    assert "reads rows: int32[33]\n  gives probability: float32[1]\n" in done.stdout
    version = tmp_path / "ctr_plan" / "1"
    manifest = json.loads((version / "assets.extra" / "manifest.json").read_text())
    space = made.recipe.space
    assert (manifest["formats"], manifest["model"], manifest["label"]) == (["plan"], "ctr_plan", "click")
    assert (manifest["row_len"], manifest["table_rows"]) == (space.row_len, space.table_rows)
    assert manifest["training"] == {"rows": 7, "from_ms": 3, "to_ms": 4, "position": "1:2"}
    assert manifest["metrics"] == {"auc": 0.5}
    assert manifest["files"] == hash_files(version)
    assert set(manifest["files"]) == {"plan/plan.msgpack", GOLDEN, RECIPE}

    rng = np.random.default_rng(5)
    x = rng.integers(0, space.table_rows, (300, space.row_len)).astype(np.int32)
    x[:, :24] = x[::16, :24].repeat(16, axis=0)[:300]  # candidates of one auction share their context
    bad = x.copy()
    bad[[3, 250], [0, 32]] = [space.table_rows, -1]
    frames = b"".join(pack(columns=columns({"rows": r.astype(float)}, {"rows": ("int32", 33)})) for r in (x, bad))
    scored = subprocess.run([BIDDER, "score", version], input=frames, capture_output=True, timeout=120, check=False)
    assert scored.returncode == 0, scored.stderr.decode()
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(scored.stdout)
    first, second = unpacker
    got = np.asarray(read_columns(first["outputs"])["probability"])[:, 0]
    assert np.abs(got - made.predict(x)).max() <= TOLERANCE
    assert np.std(got) > 0.02
    assert [row for row, _ in second["faults"]] == [3, 250]
    assert "an index is not in its table" in second["faults"][0][1]
    again = np.asarray(read_columns(second["outputs"])["probability"])[:, 0]
    assert np.array_equal(np.delete(again, [3, 250]), np.delete(got, [3, 250]))

    golden, p = read_golden(source)
    outputs, _ = run(read_plan(version, tmp_path / "objects"), {"rows": golden})
    assert np.abs(outputs["probability"][:, 0] - p).max() <= TOLERANCE


def test_versions_that_cannot_be_ported_leave_nothing(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"model: ctr\nlabel: click\narchitecture: {ARCHITECTURES['fm']}\n{FEATURES}")
    _, source = published(tmp_path, file)

    def f(path: Path, error: type[Exception], message: str, *options: str) -> None:
        with pytest.raises(error, match=message):
            port(path, tmp_path, *options)
        assert not (tmp_path / "ctr_plan" / "1").exists()

    f(source, ConfigError, "is conversion, but the version's recipe says click", "--label", "conversion")
    f(tmp_path, VersionError, "is no model version")
    damaged = tmp_path / "2"
    shutil.copytree(source, damaged)
    (damaged / "variables" / "variables.index").write_bytes(b"")
    f(damaged, VersionError, "variables.index is damaged")
    assert port(source, tmp_path, "--label", "click").exit_code == 0
    f_plan = tmp_path / "ctr_plan" / "1"
    with pytest.raises(VersionError, match="format"):
        port(f_plan, tmp_path)
