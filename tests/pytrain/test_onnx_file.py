"""Models that pytrain learnt as ONNX models: onnxruntime gives what the Keras model gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from pytrain.errors import ConfigError, VersionError
from pytrain.export import ServingModule
from pytrain.manifest import TOLERANCE, golden_rows
from pytrain.onnx_file import check, model_of
from pytrain.plan.learned import weights_of
from tests.pytrain.plan.test_learned import ARCHITECTURES, learner, recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_onnxruntime_gives_what_the_keras_model_gives(kind: str) -> None:
    made = learner(recipe(kind))
    model = model_of(made.recipe, weights_of(ServingModule(made)), where="here")
    onnx.checker.check_model(model, full_check=True)
    x = golden_rows(made.recipe.space, seed=1)
    p = made.predict(x)
    data = model.SerializeToString()
    assert check(data, x, p, where="here") <= TOLERANCE
    one = onnxruntime.InferenceSession(data).run(None, {"rows": x[3:4]})[0]
    assert one.shape == (1,)
    with pytest.raises(VersionError, match=r"off its golden rows by 0\.1"):
        check(data, x, p + np.float32(0.1), where="here")


def test_a_table_that_no_file_holds_is_refused() -> None:
    made = learner(recipe("logreg"))
    weights = weights_of(ServingModule(made))
    huge = np.lib.stride_tricks.as_strided(weights.table, shape=(2**29, 1), strides=(0, 0))
    with pytest.raises(ConfigError, match="has a table of 2147483648 bytes, and an ONNX file at most 2 GB"):
        model_of(made.recipe, replace(weights, table=huge), where="here")


def pytrain(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytrain", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command(tmp_path: Path) -> None:
    store, version, out = tmp_path / "store", tmp_path / "store/ctr/1", tmp_path / "ctr.onnx"
    made = pytrain("init", "--recipe", "models/ctr/fm.yaml", "--store", store)
    assert made.returncode == 0, made.stderr
    done = pytrain("export-onnx", version, out, "--store", store)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["golden_difference"] <= TOLERANCE
    assert (summary["model"], summary["version"]) == ("ctr_onnx", 1)
    written = store / "ctr_onnx/1/onnx/model.onnx"
    assert written.read_bytes() == out.read_bytes()
    bidder = ROOT / "bin/bidder"
    verified = subprocess.run([bidder, "verify", store / "ctr_onnx/1"], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    assert "golden rows as Python computed them" in verified.stdout

    shutil.rmtree(version / "variables")
    failed = pytrain("export-onnx", version, out)
    assert failed.returncode == 2
    assert "variables/variables.index is missing" in failed.stderr
    assert "nothing is to be written" in pytrain("export-onnx", store / "ctr_onnx/1").stderr
