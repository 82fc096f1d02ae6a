"""The trainers: equal to scikit-learn, steady under retraining, calibrated, shrunk to the prior."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from pytrain.errors import InputError, RecipeError
from pytrain.ranking import datasets, encoding, fitting, solver, strength, writing
from pytrain.ranking.classifier import Classifier
from pytrain.ranking.datasets import Examples
from pytrain.ranking.hierarchy import Penalties, fit_prior
from pytrain.ranking.pooling import Sample, pool
from pytrain.ranking.rates import Rates
from pytrain.ranking.recipe import RankRecipe
from pytrain.ranking.trainers import Fit, Pool, Shared, registered
from pytrain.ranking.trainers.prior import Settings
from tests.pytrain.ranking import made

ONES = np.ones(400)
ALONE = Shared()
ALL = Sample(negatives=10**6, max_rows=10**6, seed=1, max_weight=3)


def fit(recipe: RankRecipe, examples: Examples, *, shared: Shared = ALONE, previous: Classifier | None = None) -> Fit:
    weight = fitting.effective_weights(examples.weight, most=recipe.data.max_weight)
    return recipe.trainer.fit(examples, weight, features=recipe.features, shared=shared, previous=previous)


def finish(recipe: RankRecipe, found: Fit, examples: Examples, **options: Any) -> Classifier:
    return fitting.classifier(
        found,
        examples,
        fitting.effective_weights(examples.weight, most=recipe.data.max_weight),
        calibration=recipe.calibration,
        prior=options.get("prior"),
        trainer="test",
        data=bytes(32),
        version=1,
        now_ms=1,
    )


def texts(examples: Examples) -> Any:
    return np.column_stack([np.array(c.values, object)[c.codes] for c in examples.fields.values()])


def test_the_file_has_scikit_learns_probabilities() -> None:
    recipe = made.recipe_of(
        "features: [{name: browser}, {name: system}]\ncalibration: {share: 0}\n"
        "trainer: {kind: scikit-learn, encoder: {min_frequency: 90}, estimator: {C: 0.5, solver: newton-cholesky}}\n"
    )
    examples = made.examples(400)  # of four systems, some have fewer than 90 rows
    found = finish(recipe, fit(recipe, examples), examples)
    pipeline = make_pipeline(
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=90), LogisticRegression(C=0.5, tol=1e-12)
    ).fit(texts(examples), examples.label)
    rows = [["ios", "chrome"], ["", "safari"], ["never seen", "chrome"], ["windows", "never seen"]]
    want = pipeline.predict_proba(np.array(rows, object))[:, 1]
    got = [found.probability({"browser": b, "system": s}) for s, b in rows]
    assert sum(len(f.values) for f in found.features) < 7
    assert got == pytest.approx(want.tolist(), abs=1e-6)
    assert found.golden_error() == 0


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-5), ("float32", 5e-3)])
@pytest.mark.parametrize("name", ["lbfgs", "newton-cg"])
def test_warm_and_cold_starts_agree(dtype: str, tolerance: float, name: str) -> None:
    settings = f", dtype: {dtype}, warm_start: true, estimator: {{solver: {name}, C: 10}}"
    recipe = made.recipe_of(made.SKLEARN % settings)
    before, after = made.examples(2000, seed=1, rate=0.01), made.examples(2200, seed=1, rate=0.012)
    previous = finish(recipe, fit(recipe, before), before)
    cold, warm = fit(recipe, after), fit(recipe, after, previous=previous)
    np.testing.assert_allclose(warm.logits, cold.logits, atol=tolerance)


def test_balanced_weights_are_corrected_and_told() -> None:
    examples = made.examples(4000, rate=0.05)
    plain = fit(made.recipe_of(made.SKLEARN % ""), examples)
    balanced = fit(made.recipe_of(made.SKLEARN % ", estimator: {class_weight: balanced}"), examples)
    assert any("balanced" in w for w in balanced.warnings)
    mean = [float(solver.sigmoid(f.logits).mean()) for f in (plain, balanced)]
    assert mean[0] == pytest.approx(float(examples.label.mean()), rel=1e-6)
    assert mean[1] == pytest.approx(mean[0], rel=0.1)


def test_one_label_is_refused_by_scikit_learn() -> None:
    with pytest.raises(InputError, match="one label"):
        fit(made.recipe_of(made.SKLEARN % ""), made.examples(rate=0))


def test_iterations_that_do_not_suffice_are_refused() -> None:
    with pytest.raises(InputError, match="did not converge"):
        fit(made.recipe_of(made.SKLEARN % ", estimator: {max_iter: 2}"), made.examples())


def prepared(
    tmp_path: Path, recipe: RankRecipe, campaigns: int = 4, n: int = 600
) -> tuple[Shared, list[datasets.DataSet]]:
    for c in range(campaigns):
        made.write(tmp_path / "data", f"c{c}", n, seed=c, rate=0.05 * (c + 1))
    data_sets, _ = datasets.scan(tmp_path / "data")
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    return recipe.trainer.prepare(
        Pool(data_sets, bytes(32), campaigns * n, recipe, out, 1000, lambda _: None)
    ), data_sets


def test_a_campaign_without_information_has_the_priors_probability(tmp_path: Path) -> None:
    from pytrain.ranking import files

    shrunk = made.PRIOR.replace("l2: 3, intercept_l2: 0.3", "l2: 1.0e+9, intercept_l2: 1.0e+9")
    recipe = made.recipe_of(shrunk + "calibration: {share: 0}\n")
    shared, data_sets = prepared(tmp_path, recipe)
    assert shared.prior is not None
    prior = files.read(shared.prior)
    examples = datasets.read(data_sets[0], recipe.fields)
    found = finish(recipe, fit(recipe, examples, shared=shared), examples, prior=prior)
    assert found.prior == prior.version
    for profile in ({}, {"system": "ios"}, {"system": "new", "browser": "chrome"}):
        assert found.probability(profile, prior) == pytest.approx(prior.probability(profile), rel=1e-4)


def test_deltas_leave_the_prior_where_a_campaign_has_sales(tmp_path: Path) -> None:
    recipe = made.recipe_of(made.PRIOR)
    shared, data_sets = prepared(tmp_path, recipe, n=4000)
    for data_set, rate in zip(data_sets, (0.05, 0.1, 0.15, 0.2), strict=True):
        examples = datasets.read(data_set, recipe.fields)
        found = fit(recipe, examples, shared=shared)
        assert float(solver.sigmoid(found.logits).mean()) == pytest.approx(rate * 1.08, rel=0.15)


def test_the_prior_knows_users_apart_from_campaigns(tmp_path: Path) -> None:
    """A campaign that sells well reaches only ios; ios itself makes no difference."""
    n = 4000
    for c, (system, rate) in enumerate([("ios", 0.3), ("ios", 0.3), ("android", 0.02), ("android", 0.02)]):
        rng = np.random.default_rng(c)
        mixed = [system if r > 0.2 else "windows" for r in rng.random(n)]
        writing.write(
            tmp_path,
            f"c{c}",
            {"system": mixed, "browser": ["x"] * n},
            time_ms=made.BEGIN_MS + np.arange(n),
            label=rng.random(n) < rate,
        )
    recipe = made.recipe_of(made.PRIOR)
    data_sets, _ = datasets.scan(tmp_path)
    pooled = pool(data_sets, recipe, ALL)
    penalties = Penalties(l2=1, campaign_l2=0.3, min_rows=30, delta_min_rows=10, seed=1)
    _, features = fit_prior(pooled, penalties)
    of_system = features[0]
    assert abs(of_system.weight("ios") - of_system.weight("windows")) < 0.25


def test_rows_without_a_sale_are_sampled(tmp_path: Path) -> None:
    for c, rate in enumerate((0.001, 0.3)):
        made.write(tmp_path, f"c{c}", 8000, seed=c, rate=rate)
    recipe = made.recipe_of(made.PRIOR)
    data_sets, _ = datasets.scan(tmp_path)
    whole = pool(data_sets, recipe, ALL)
    assert len(whole) == whole.rows == 16_000
    for sample, most in ((replace(ALL, max_rows=8000), 0.6), (replace(ALL, negatives=1), 0.4)):
        sampled = pool(data_sets, recipe, sample)
        assert len(sampled) < most * len(whole)
        assert (sampled.rows, sampled.positives) == (whole.rows, whole.positives)
        assert sampled.label.sum() == whole.label.sum()
        for c in range(2):
            of_all, of_some = (float(p.weight[p.campaign == c].sum()) for p in (whole, sampled))
            assert of_some == pytest.approx(of_all, rel=0.15)


def test_a_campaigns_rows_of_two_logs_weigh_alike(tmp_path: Path) -> None:
    """Rows of a random log have large inverse propensities, those of its best campaign have nearly 1."""
    n = 1000
    propensity = np.where(np.arange(n) < n // 2, 1 / 500, 0.98)
    sold = np.arange(n) % 10 < np.where(np.arange(n) < n // 2, 2, 4)  # 0.2 of the random log, 0.4 of the recent rows
    fields = {"system": ["ios"] * n, "browser": ["x"] * n}
    times = made.BEGIN_MS + np.arange(n)
    writing.write(tmp_path, "shoes", fields, time_ms=times, label=sold, weight=1 / propensity)
    recipe = made.recipe_of(made.PRIOR + "calibration: {share: 0}\n")
    data_sets, _ = datasets.scan(tmp_path)
    shared = recipe.trainer.prepare(Pool(data_sets, bytes(32), n, recipe, tmp_path, 1, lambda _: None))
    examples = datasets.read(data_sets[0], recipe.fields)
    found = fit(recipe, examples, shared=replace(shared, rates=Rates(variance=1e6)))
    assert solver.sigmoid(found.logits).mean() == pytest.approx(0.3, abs=0.005)
    pooled = pool(data_sets, recipe, Settings().sample)
    old, new = pooled.weight[pooled.time_ms < times[n // 2]], pooled.weight[pooled.time_ms >= times[n // 2]]
    assert old.mean() / new.mean() == pytest.approx(3 * 0.98)  # the prior lacks what campaigns were chosen by


def test_the_strength_is_chosen_in_order_of_time(tmp_path: Path) -> None:
    """Campaigns that are alike want strong penalties, campaigns of their own weak ones."""
    chosen = []
    for differ in (False, True):
        directory = tmp_path / str(differ)
        for c in range(6):
            rng = np.random.default_rng(c)
            system = rng.integers(4, size=3000)
            effect = np.random.default_rng(c if differ else 0).normal(0, 1.5, 4)
            label = rng.random(3000) < solver.sigmoid(-2.5 + effect[system])
            fields = {"system": [made.SYSTEMS[i] for i in system], "browser": ["x"] * 3000}
            writing.write(directory, f"c{c}", fields, time_ms=made.BEGIN_MS + np.arange(3000), label=label)
        recipe = made.recipe_of(made.PRIOR)
        pooled = pool(datasets.scan(directory)[0], recipe, ALL)
        penalties = Penalties(l2=1, campaign_l2=0.3, min_rows=30, delta_min_rows=10, seed=1)
        chosen.append(strength.choose_deltas(pooled, penalties, Rates())[0])
    assert chosen[0] >= 30
    assert chosen[1] <= 3
    codes = np.random.default_rng(0).integers(300, size=len(pooled)).astype(np.int32)
    noise = datasets.Column(tuple(f"{i:03}" for i in range(300)), codes)
    l2, losses = strength.choose_prior(replace(pooled, columns=(noise, *pooled.columns[1:])), penalties)
    assert l2 >= 10  # values that tell nothing want strong penalties
    assert losses[f"prior_l2={l2:g}"] == min(losses.values())


def test_weights_are_clipped_and_count_as_their_effective_number() -> None:
    weight = np.array([1.0, 1, 1, 1000])
    got = fitting.effective_weights(weight, most=10)
    assert got.sum() == pytest.approx(13**2 / 103)
    assert got[3] / got[0] == pytest.approx(10)
    np.testing.assert_allclose(fitting.effective_weights(np.ones(5), most=10), np.ones(5))
    assert not fitting.effective_weights(np.zeros(3), most=10).any()


def test_recent_rows_calibrate_the_intercept() -> None:
    recipe = made.recipe_of(made.SKLEARN % "")
    examples = made.examples(4000)
    examples.label[-400:] = 0
    examples.label[-400::4] = 1  # a rate of 0.25 of late
    found = fit(recipe, examples)
    moved = fitting.recent_shift(found.logits, examples.label, ONES.repeat(10), recipe.calibration)
    lacking = (examples.label - solver.sigmoid(found.logits + moved))[-400:].sum()
    assert lacking == pytest.approx(moved / recipe.calibration.std**2)  # no more probable shift
    assert 0.3 * 0.9 < moved < 0.7 * 0.9  # 100 recent sales of 400 rows are believed by half; whole, 0.9 or so
    done = finish(recipe, found, examples)
    assert done.intercept == pytest.approx(found.intercept + moved)
    p = solver.sigmoid(found.logits + moved)
    assert done.variance == pytest.approx(1 / (fitting.VARIANCE_FLOOR + (p * (1 - p)).sum()))
    wide = recipe.calibration.model_copy(update={"std": 100.0})
    whole = fitting.recent_shift(found.logits, examples.label, ONES.repeat(10), wide)
    assert solver.sigmoid(found.logits[-400:] + whole).mean() == pytest.approx(0.25, rel=1e-4)
    rare = np.full(400, -6.0)  # one sale is expected, and none seen
    assert -0.02 < fitting.recent_shift(rare, np.zeros(400), ONES, recipe.calibration) < 0


def test_crosses_and_other_are_encoded() -> None:
    examples = made.examples(400)
    spec = made.recipe_of(made.PRIOR).features[2]
    c = encoding.column(examples, spec.fields)
    assert [c.values[i].split("\x1f") for i in c.codes] == texts(examples).tolist()
    counts = np.bincount(c.codes)
    least = int(np.sort(counts)[3])
    found = encoding.encode(spec, c, min_rows=least)
    assert len(found.values) == int((counts >= least).sum()) < len(counts)
    assert list(found.values) == sorted(found.values)
    assert (found.codes == len(found.values)).sum() == counts[counts < least].sum()
    few = encoding.encode(spec.model_copy(update={"max_values": 2}), c, min_rows=1)
    assert {c.values.index(v) for v in few.values} == set(np.argsort(-counts, kind="stable")[:2].tolist())


def test_the_trainers_are_found() -> None:
    assert set(registered()) == {"prior", "scikit-learn"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("features: []\n", "line 1: features"),
        (
            "features: [{name: a}]\ntrainer: {kind: forest}\n",
            "line 2: trainer.kind: 'forest' is no trainer; choose one of",
        ),
        ("features: [{name: a}]\ntrainer: {kind: prior, l2: -1}\n", "line 2: trainer.l2"),
        ("features: [{name: a}]\ntrainer:\n  kind: prior\n  colour: 1\n", "line 4: trainer.colour: unknown key"),
        (made.SKLEARN % ", estimator: {tol: 1.0e-4}", "line 3: trainer.estimator.tol: 0.0001 leaves fits so loose"),
        ("features: [{name: a, only: prior}, {name: b}]\ntrainer: {kind: scikit-learn}\n", "has no prior"),
        ("features: [{name: a, only: prior}]\n", "none is left for the campaigns"),
        ("features: [{name: weight}]\n", "a column that every data set has"),
        ("features: [{name: a}, {name: a}]\n", "stands twice"),
        ("features: [{name: a}, {name: b, of: [a]}]\n", "reads the same fields"),
    ],
)
def test_recipes_are_strict(text: str, fault: str) -> None:
    with pytest.raises(RecipeError, match="(?s)" + fault.replace("(", r"\(")):
        made.recipe_of(text)


def test_shipped_recipes() -> None:
    from pytrain.ranking import recipe

    shipped = sorted((Path(__file__).parents[3] / "models" / "sale").glob("*.yaml"))
    assert [recipe.load(path).trainer.kind for path in shipped] == ["prior", "scikit-learn"]
    assert math.isfinite(recipe.load(shipped[0]).data.max_weight)
