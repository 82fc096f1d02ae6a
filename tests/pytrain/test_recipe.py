from __future__ import annotations

from pathlib import Path

import pytest

from pytrain import manifest
from pytrain.errors import RecipeError, VersionError
from pytrain.recipe import load_recipe, parse_recipe
from tests.pytrain.conftest import make_recipe, recipe_yaml


def test_index_space() -> None:
    space = make_recipe(buckets=16).space
    assert space.row_len == 5  # category has two slots
    assert [(c.feature, c.low, c.high) for c in space.columns] == [
        ("os", 1, 17),
        ("country", 17, 21),  # three values and other
        ("category", 21, 37),
        ("category", 21, 37),
        ("os_x_country", 37, 53),
    ]
    assert space.table_rows == 53


def test_defaults_are_the_contracts() -> None:
    text = recipe_yaml(extra="").replace("training: {batch_rows: 64, window_rows: 200, base_rate: 0.2, seed: 7}\n", "")
    recipe = parse_recipe(text.encode(), where="r")
    assert recipe.training.batch_rows == 256
    assert recipe.training.window_rows == 5000
    assert recipe.optimizer.model_dump() == {
        "kind": "lazy_adam",
        "learning_rate": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "beta": 1,
        "l1": 0,
        "l2": 1,
    }
    assert recipe.join.label_wait_seconds == 5


def test_dump_reads_back() -> None:
    recipe = make_recipe("deepfm")
    assert parse_recipe(recipe.dump_yaml().encode(), where="dumped") == recipe


def test_ftrl_has_settings_and_a_learning_rate_of_its_own() -> None:
    recipe = make_recipe(extra="optimizer: {kind: ftrl, l2: 0.5}")
    assert (recipe.optimizer.learning_rate, recipe.optimizer.beta, recipe.optimizer.l2) == (0.1, 1, 0.5)
    assert parse_recipe(recipe.dump_yaml().encode(), where="dumped") == recipe


def test_country_code_no_is_a_word() -> None:
    text = recipe_yaml(extra="").replace('"NO"', "NO")
    assert parse_recipe(text.encode(), where="r").features[1].values == ("US", "CA", "NO")


@pytest.mark.parametrize("number", ["1e-7", "1.0e-7", "1.0E-07", "0.0000001"])
def test_floats_as_go_reads_them(number: str) -> None:
    recipe = make_recipe(extra=f"optimizer: {{epsilon: {number}}}")
    assert recipe.optimizer.epsilon == 1e-7


@pytest.mark.parametrize(
    ("old", "new", "where", "fault"),
    [
        ("label: click", "label: click\noptimizer: {kind: ftrl, beta_1: 0.5}", "optimizer.beta_1", "no such setting"),
        ("label: click", "label: click\noptimizer: {l1: 1}", "optimizer.l1", "no such setting"),
        ("label: click", "label: clack", "line 2: label", "'clack'"),
        ("seed: 7", "sede: 7", "line 4: training.sede", "unknown key"),
        ("buckets: 16}", "bucket: 16}", "line 7: features.0.bucket", "unknown key"),
        ("buckets: 16}", "buckets: 0}", "line 7: features.0.buckets", "greater than 0"),
        ("values: [US, CA, ", "values: [US, US, ", "line 8: features.1.values", "'US' stands twice"),
        ("[os, country]", "[os, region]", "line 10: features.3.of", "'region' is no feature above"),
        ("name: country", "name: os", "line 8: features.1.name", "'os' stands twice"),
        ("{kind: logreg}", "{kind: logreg, embedding_dim: 8}", "line 3: architecture.embedding_dim", "no embeddings"),
        ("{kind: logreg}", "{kind: fm}", "line 3: architecture.embedding_dim", "needs one above 0"),
        ("{kind: logreg}", "{kind: deepfm, embedding_dim: 8}", "line 3: architecture.hidden", "needs hidden layers"),
        ("source: device.os, ", "", "line 7: features.0.source", "needs one"),
        ("base_rate: 0.2", "base_rate: .nan", "line 4: training.base_rate", "finite"),
        ("batch_rows: 64", "batch_rows: true", "line 4: training.batch_rows", "valid integer"),
        ("model: ctr", "model: ../ctr", "line 1: model", "pattern"),
        ("label: click", "label: click\nexport: []", "line 3: export", "at least 1 item"),
        ("label: click", "label: click\nexport: plan", "line 3: export", "valid tuple"),
        (
            "label: click",
            "label: click\nexport: [plan, onnx]",
            "line 3: export.1",
            "'savedmodel' or 'plan', not 'onnx'",
        ),
        ("label: click", "label: click\nexport: [plan, plan]", "line 3: export.1", "plan stands twice"),
    ],
)
def test_fault_names_line_and_key(old: str, new: str, where: str, fault: str) -> None:
    text = recipe_yaml(extra="")
    assert old in text
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text.replace(old, new, 1).encode(), where="r.yaml")
    assert where in str(caught.value)
    assert fault in str(caught.value)
    assert caught.value.remedy


def test_a_table_that_no_plan_holds() -> None:
    text = recipe_yaml("fm", buckets=200_000_000, extra="export: [savedmodel, plan]")
    with pytest.raises(RecipeError, match=r"line 5: export: a table of 600000005 × 5 floats is over the 2 GiB"):
        parse_recipe(text.encode(), where="r.yaml")
    assert parse_recipe(text.replace(", plan]", "]").encode(), where="r.yaml").export == ("savedmodel",)


def test_all_faults_at_once() -> None:
    text = recipe_yaml(extra="").replace("label: click", "label: x").replace("seed: 7", "seed: -1")
    with pytest.raises(RecipeError, match=r"line 2: label.*line 4: training.seed"):
        parse_recipe(text.encode(), where="r.yaml")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "is empty"),
        (b"a: [", r"r.yaml:1: is not YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"- 1", "valid dictionary"),
        (b"model: a\nlabel: click\nmodel: b\n", "r.yaml:3: 'model' stands twice"),
        (b"model: !!python/object/apply:os.system [id]\n", "not YAML"),
        (b"model: a\n? [b]\n: 1\n", "r.yaml:2: a key is no text"),
        (b"&a [*a]\n", "refers to itself"),
        (b"[" * 5000, "nested too deeply"),
        (b"model: !!int abc\n", "not of its tag"),
        (b"model: !!bool maybe\n", "not of its tag"),
        (b"model: !!timestamp abc\n", "not of its tag"),
    ],
)
def test_no_recipe_at_all(data: bytes, fault: str) -> None:
    with pytest.raises(RecipeError, match=fault):
        parse_recipe(data, where="r.yaml")


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot be read: No such file"):
        load_recipe(tmp_path / "none.yaml")


def test_recipes_of_the_repository() -> None:
    models = Path(__file__).parents[2] / "models"
    found = sorted(path for path in models.rglob("recipe.yaml") if "versions" not in path.parts)
    assert found
    for path in found:
        load_recipe(path)
    for path in models.glob("*/recipe.yaml"):
        assert load_recipe(path).model == path.parent.name


def test_a_directory_that_is_no_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match=r"no model version.*<store>/<model>/<version>") as fault:
        manifest.read_recipe(tmp_path / "ctr/9")
    assert "ctr/9" in str(fault.value)
