from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pytrain.cli import app
from pytrain.errors import InputError
from pytrain.files import Examples, read_examples
from pytrain.recipe import load_recipe
from tests.pytrain.conftest import make_recipe, random_x, recipe_yaml

RECIPE = make_recipe()
ENCODER = Path(__file__).parents[2] / "bin" / "trainer"
needs_encoder = pytest.mark.skipif(not ENCODER.exists(), reason="bin/trainer is not built: make setup")


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_yaml())
    return path


def read(path: Path, recipe_path: Path, encoder: Path = ENCODER) -> Examples:
    return read_examples(path, load_recipe(recipe_path), recipe_path, encoder=encoder, progress=lambda _: None)


def encoded_frame(n: int = 50, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"bid{i}" for i in range(n)],
            "time_ms": rng.permutation(n) + 1_700_000_000_000,
            "label": (rng.random(n) < 0.3).astype(np.float32),
            "weight": np.float32(1.5),
            "probability": rng.random(n).astype(np.float32),
            "row": list(random_x(RECIPE.space, n, seed=seed)),
        }
    )


def test_encoded_parquet_is_ordered_by_time(tmp_path: Path, recipe_path: Path) -> None:
    frame = encoded_frame()
    frame.to_parquet(tmp_path / "a.parquet")
    got = read(tmp_path / "a.parquet", recipe_path)
    want = frame.sort_values("time_ms")
    np.testing.assert_array_equal(got.rows.x, np.stack(want["row"].to_list()))
    np.testing.assert_array_equal(got.rows.t, want["time_ms"])
    np.testing.assert_array_equal(got.rows.y, want["label"])
    np.testing.assert_array_equal(got.rows.w, want["weight"])
    assert got.served is not None
    np.testing.assert_array_equal(got.served, want["probability"])


def test_a_directory_of_parquet_is_one_file(tmp_path: Path, recipe_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for i in range(2):
        encoded_frame(seed=i).to_parquet(archive / f"{i}.parquet")
    assert len(read(archive, recipe_path)) == 100


def test_encoded_csv_without_weight_or_time(tmp_path: Path, recipe_path: Path) -> None:
    x = random_x(RECIPE.space, 4)
    lines = ["|".join(map(str, row)) + f",{i % 2}" for i, row in enumerate(x)]
    (tmp_path / "a.csv").write_text("row,label\n" + "\n".join(lines) + "\n")
    got = read(tmp_path / "a.csv", recipe_path)
    np.testing.assert_array_equal(got.rows.x, x)
    np.testing.assert_array_equal(got.rows.y, [0, 1, 0, 1])
    np.testing.assert_array_equal(got.rows.w, np.ones(4))
    assert got.served is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("row,click\n0|0|0|0|0,1\n", "has no label"),
        ("row,label\n0|0|0|0,1\n", "rows must have 5 indices"),
        ("row,label\n0|0|0|0|x,1\n", "cannot be read"),
        ("row,label\n0|0|0|0|99,1\n", r"row 0, column 4 \(os_x_country\): index 99"),
        ("row,label\n0|0|0|0|0,7\n", "label 7.0 is out of range"),
        ("row,label\n0|0|0|0|0,yes\n", "label is string"),
        ("row,label\n0|0|0|0|0,\n", "label is (empty|null)"),
        ("row,label\n", "holds no examples"),
        ("os,label\nios,1\n", "lacks the columns country, category"),
    ],
)
def test_bad_files(text: str, fault: str, tmp_path: Path, recipe_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=fault) as caught:
        read(tmp_path / "a.csv", recipe_path)
    assert caught.value.remedy


def test_absent_and_not_parquet(tmp_path: Path, recipe_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "none.csv", recipe_path)
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "a.parquet", recipe_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no"):
        read(tmp_path / "empty", recipe_path)


def test_raw_values_need_the_encoder(tmp_path: Path, recipe_path: Path) -> None:
    (tmp_path / "a.csv").write_text("os,country,category,label\nios,US,IAB1,1\n")
    with pytest.raises(InputError, match="the Go encoder is not there") as caught:
        read(tmp_path / "a.csv", recipe_path, encoder=tmp_path / "none")
    assert "make setup" in caught.value.remedy


RAW = pd.DataFrame(
    {
        "os": ["ios", "android", "", 'a "quoted", one'],
        "country": ["US", "NO", "FR", ""],
        "category": ["IAB1|IAB2", "IAB3", "", "IAB1|IAB2|IAB3"],
        "label": [1, 0, 0, 1],
        "time_ms": [1_700_000_000_000 + i for i in range(4)],
    }
)


@needs_encoder
def test_raw_csv_and_parquet_go_through_the_encoder(tmp_path: Path, recipe_path: Path) -> None:
    RAW.to_csv(tmp_path / "a.csv", index=False)
    values: Any = [c.split("|") if c else [] for c in RAW["category"]]
    lists = RAW.assign(category=values)
    lists.to_parquet(tmp_path / "a.parquet")
    got, same = read(tmp_path / "a.csv", recipe_path), read(tmp_path / "a.parquet", recipe_path)
    np.testing.assert_array_equal(got.rows.x, same.rows.x)
    x = got.rows.x
    np.testing.assert_array_equal(x[:, 1], [17, 19, 20, 0])  # US, NO, other, missing
    assert ((x[:, 0] == 0) == [False, False, True, False]).all()
    assert (x[2, 2:4] == 0).all()
    assert x[0, 2] == x[3, 2]
    assert (x[1, 3], x[3, 3] != 0) == (0, True)
    np.testing.assert_array_equal(got.rows.y, [1, 0, 0, 1])


@needs_encoder
def test_the_encoders_words_are_passed_on(tmp_path: Path, recipe_path: Path) -> None:
    (tmp_path / "a.csv").write_text("os,country,category,label\nios,US,IAB1,maybe\n")
    with pytest.raises(InputError, match=r"the encoder refused it: .*label"):
        read(tmp_path / "a.csv", recipe_path)


@pytest.mark.usefixtures("one_thread")
def test_fit_evaluate_inspect(tmp_path: Path, recipe_path: Path) -> None:
    """From a file to a published version, its judgement and a look into it."""
    n = 4000
    frame = encoded_frame(n)
    x = np.stack(frame["row"].to_list())
    p = np.where(x[:, 1] == 17, 0.8, 0.1)  # US clicks
    frame["label"] = (np.random.default_rng(1).random(n) < p).astype(np.float32)
    frame.to_parquet(tmp_path / "a.parquet")
    file, store = str(tmp_path / "a.parquet"), tmp_path / "store"

    def run(*arguments: str) -> tuple[Any, str]:
        done = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return json.loads(done.stdout.splitlines()[-1]), done.stdout

    fit = ["fit-file", file, "--recipe", str(recipe_path), "--store", str(store), "--epochs", "5", "--shuffle"]
    result, text = run(*fit)
    assert "holdout, latest 20%" in text
    assert (result["rows"], result["version"]) == (3200, 1)
    assert result["holdout"]["auc"] > 0.7
    assert result["holdout"]["log_loss"] < result["prior"]["log_loss"] - 0.05
    assert run(*fit)[0]["holdout"] == result["holdout"]  # deterministic
    assert json.loads((store / "ctr" / "pointer.json").read_text()) == {"stable": 2, "canary": None, "previous": 1}

    png = tmp_path / "plot.png"
    version = str(store / "ctr" / "2")
    judged, _ = run("evaluate", version, file, "--plot", str(png), "--windows", "4", "--bins", "5")
    assert judged["metrics"]["auc"] > 0.7
    assert judged["served"]["auc"] == pytest.approx(0.5, abs=0.05)
    assert judged["prior"]["auc"] == 0.5
    assert [w["rows"] for w in judged["windows"]] == [1000] * 4
    assert len(judged["bins"]) == 5
    assert png.read_bytes().startswith(b"\x89PNG")

    inside, _ = run("inspect", version, "--json", "--top", "1")
    assert inside["golden_error"] <= 1e-6
    assert inside["files"].keys() == inside["sizes"].keys()
    country = inside["features"][1]
    assert (country["low"], country["high"]) == (17, 21)
    assert country["largest"][0][0] == "US"
    tables = CliRunner().invoke(app, ["inspect", version], catch_exceptions=False).stdout
    assert "country" in tables
    assert "saved_model.pb" in tables
