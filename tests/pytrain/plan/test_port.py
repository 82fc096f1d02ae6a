"""The command `pytrain port`: what it writes, and what it refuses."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner

from pytrain.cli import app
from pytrain.errors import ConfigError, InputError, Refusal
from pytrain.manifest import hash_files
from pytrain.plan import read_plan
from pytrain.plan.columns import read_columns
from pytrain.skops_file import load_skops
from tests.pytrain.plan.helper import differences, numbers, table, targets
from tests.pytrain.plan.reference import run


def port(path: Path, store: Path, *options: str) -> Any:
    arguments = ["port", str(path), "--store", str(store), "--model", "churn", *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def fitted() -> Any:
    split = ColumnTransformer(
        [
            ("c", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("p", KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), ["price"]),
            ("s", StandardScaler(), ["size"]),
        ]
    )
    return make_pipeline(split, LogisticRegression()).fit(table(), np.array(["no", "yes"])[targets()])


def test_a_model_that_was_not_fitted(tmp_path: Path) -> None:
    skops.io.dump(make_pipeline(StandardScaler(), LogisticRegression()), tmp_path / "m.skops")
    with pytest.raises(
        Refusal, match=r"steps\[0\] standardscaler: StandardScaler: was not fitted; fit the model before"
    ):
        port(tmp_path / "m.skops", tmp_path / "store")


def test_a_version_holds_plan_golden_rows_and_manifest(tmp_path: Path) -> None:
    skops.io.dump(fitted(), tmp_path / "m.skops")
    store = tmp_path / "store"
    done = port(tmp_path / "m.skops", store)
    assert done.exit_code == 0
    assert "reads city: text" in done.stdout
    assert "gives probability: float64[2] of no, yes" in done.stdout
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["version"], summary["inputs"]) == (1, ["city", "size", "price"])
    version = store / "churn" / "1"
    manifest = json.loads((version / "assets.extra" / "manifest.json").read_text())
    assert (manifest["schema"], manifest["formats"], manifest["label"]) == (2, ["plan"], "value")
    assert manifest.keys().isdisjoint({"row_len", "table_rows", "signature", "format"})
    assert manifest["files"] == hash_files(version)
    assert manifest["objects"] == {p.name: p.stat().st_size for p in (store / "objects").glob("[0-9a-f]*")}
    assert set(manifest["files"]) == {"plan/plan.msgpack", "assets.extra/golden.msgpack"}
    assert json.loads((store / "churn" / "pointer.json").read_text())["stable"] == 1

    plan = read_plan(version, store / "objects")
    golden = msgpack.unpackb((version / "assets.extra" / "golden.msgpack").read_bytes())
    inputs, outputs = read_columns(golden["inputs"]), read_columns(golden["outputs"])
    assert golden["tolerance"] == plan.tolerance == 1e-6
    got, refused = run(plan, inputs)
    assert not refused.any()
    assert len(refused) >= 100
    assert differences(got, outputs, slice(None)) < 1e-9
    edges = next(v for v in plan.nodes if v.op == "bins").tensors["edges"].array
    prices = np.ravel(np.asarray(inputs["price"], np.float64))
    assert set(edges) < set(prices), "a golden row at every edge of a bin"
    assert set(np.nextafter(edges, -np.inf)) < set(prices)
    assert {None, "", "Łódź", "an unknown value"} < set(inputs["city"])


def test_encoders_that_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    """Nearly every random row has an unknown category in one of many columns."""
    rng = np.random.default_rng(0)
    x = rng.choice(np.array(["a", "b", "c"], object), (80, 12))
    skops.io.dump(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(x, targets(80)), tmp_path / "m.skops")
    assert port(tmp_path / "m.skops", tmp_path / "store").exit_code == 0
    whole = rng.integers(0, 3, (80, 12))
    skops.io.dump(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(whole, targets(80)), tmp_path / "m.skops")
    assert port(tmp_path / "m.skops", tmp_path / "store").exit_code == 0


def test_classes_of_a_forest_may_be_booleans(tmp_path: Path) -> None:
    skops.io.dump(DecisionTreeClassifier(max_depth=3).fit(numbers(), targets() > 0), tmp_path / "m.skops")
    assert "probability: float64[2] of 0, 1" in port(tmp_path / "m.skops", tmp_path / "store").stdout


def test_parameters_are_stored_once(tmp_path: Path) -> None:
    skops.io.dump(fitted(), tmp_path / "m.skops")
    assert port(tmp_path / "m.skops", tmp_path / "store").exit_code == 0
    objects = {p.name: p.stat().st_ino for p in (tmp_path / "store" / "objects").glob("[0-9a-f]*")}
    done = port(tmp_path / "m.skops", tmp_path / "store", "--label", "click")
    assert json.loads(done.stdout.splitlines()[-1])["version"] == 2
    assert {p.name: p.stat().st_ino for p in (tmp_path / "store" / "objects").glob("[0-9a-f]*")} == objects


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    def f(model: Any, error: type[Exception], message: str, name: str = "m.skops", *options: str) -> None:
        path = tmp_path / name
        if name.endswith(".skops"):
            skops.io.dump(model, path)
        else:
            path.write_bytes(model)
        with pytest.raises(error, match=message):
            port(path, tmp_path / "store", *options)
        assert not list((tmp_path / "store").rglob("*.msgpack"))

    x = numbers()
    f(PowerTransformer().fit(x), Refusal, "model: PowerTransformer: no plan can express")
    f(FunctionTransformer(port), InputError, "types that are not trusted: tests.pytrain.plan.test_port.port")
    f(pickle.dumps(x), InputError, "a pickle could run any code", "m.pkl")
    f(fitted(), ConfigError, "'objects' is no name", "m.skops", "--model", "objects")
    f(fitted(), ConfigError, "--label: is empty", "m.skops", "--label", "")


def test_damaged_trees_are_refused(tmp_path: Path) -> None:
    tree = DecisionTreeClassifier(max_depth=3).fit(numbers(), targets())
    skops.io.dump(tree, tmp_path / "m.skops")
    load_skops(tmp_path / "m.skops", remedy="none")
    state = tree.tree_.__getstate__()
    state["nodes"]["left_child"][0] = 10_000
    tree.tree_.__setstate__(state)
    skops.io.dump(tree, tmp_path / "m.skops")
    with pytest.raises(InputError, match="holds a damaged tree"):
        load_skops(tmp_path / "m.skops", remedy="none")
