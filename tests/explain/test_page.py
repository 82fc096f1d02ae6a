"""`bidder explain` of a text pipeline, an ensemble and DeepFM; its page in a real browser, where one is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder
from typer.testing import CliRunner

from pytrain.cli import app
from tests.pytrain.plan.helper import table, targets

ROOT = Path(__file__).parents[2]
BIDDER = ROOT / "bin" / "bidder"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ORANGE = (0xD9, 0x82, 0x2B)  # of the bars that show a stage's part of the cost
MODELS = {"reviews": "ngrams", "forest": "trees", "ctr": "deepfm"}

pytestmark = pytest.mark.skipif(not BIDDER.exists(), reason="bin/bidder is not built: make build")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of the three models."""
    path = tmp_path_factory.mktemp("explain")
    texts = ["a fine film", "a dull film", "fine and funny", "dull, long and sad"] * 8
    union = make_union(TfidfVectorizer(analyzer="char", ngram_range=(1, 3)), TfidfVectorizer())
    rows, y = table(), targets()
    split = ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="drop")
    fitted = {
        "reviews": make_pipeline(union, LogisticRegression()).fit(texts, [1, 0] * 16),
        "forest": make_pipeline(split, RandomForestClassifier(30, random_state=1)).fit(rows, y),
    }
    for name, model in fitted.items():
        skops.io.dump(model, path / f"{name}.skops")
        run("port", str(path / f"{name}.skops"), "--store", str(path / "store"), "--model", name)
    recipe = (ROOT / "models/ctr/recipe.yaml").read_text()
    (path / "recipe.yaml").write_text(f"{recipe}\nexport: [savedmodel, plan]\n")
    run("init", "--recipe", str(path / "recipe.yaml"), "--store", str(path / "store"))
    return path / "store"


def run(*arguments: str) -> None:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def explain(store: Path, model: str, *flags: str) -> str:
    command = [str(BIDDER), "explain", model, "--store", str(store), *flags]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_text(store: Path) -> None:
    for model, op in MODELS.items():
        text = explain(store, model)
        assert text.startswith(f"{model} version 1: ")
        assert re.search(rf"^\d+ +{op}\b", text, re.MULTILINE), text
        assert "2 other models were loaded" in text


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed: chromium")
@pytest.mark.parametrize("model", MODELS)
def test_screenshot(store: Path, model: str, tmp_path: Path) -> None:
    page, shot = tmp_path / "page.html", tmp_path / "page.png"
    explain(store, model, "--format", "html", "--out", str(page))
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]
    command = [
        str(BROWSER),
        *flags,
        f"--user-data-dir={tmp_path}/profile",
        "--window-size=1300,2400",
        f"--screenshot={shot}",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    pixels = np.rint(matplotlib.image.imread(shot)[..., :3] * 255).astype(int)
    bars = (np.abs(pixels - ORANGE).max(axis=2) <= 2).nonzero()
    assert pixels.shape[:2] == (2400, 1300)
    assert len(bars[0]) > 100  # the drawing's bars, or the table's
    assert bars[1].max() < 1285  # nothing of it is outside the window


def test_svg_and_faults(store: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "drawing.svg"
    explain(store, "forest", "--format", "svg", "--out", str(drawing), "--alone")
    assert drawing.read_text().startswith("<svg ")
    for flags, message in ((("nosuch",), "no such model: nosuch"), (("ctr", "7"), "no such version")):
        command = [str(BIDDER), "explain", *flags, "--store", str(store)]
        result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert result.returncode == 1
        assert message in result.stderr
