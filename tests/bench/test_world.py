"""Models are made once from one recipe, and never taken half-made or from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import world


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was made in place of training, in order: each version holds the recipe."""
    found: list[str] = []

    def init_model(store: Path, recipe: Path) -> None:
        found.append(recipe.read_text())
        version = store / "small/1"
        version.mkdir(parents=True)
        (version / "recipe").write_text(recipe.read_text())
        if "broken" in recipe.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr(world, "init_model", init_model)
    return found


def test_a_model_is_made_once_for_each_recipe(tmp_path: Path, made: list[str]) -> None:
    recipe, store = tmp_path / "recipe.yaml", tmp_path / "store"
    for text in ("model: small\n", "model: small\n", "model: small\nseed: 2\n"):
        recipe.write_text(text)
        world.ensure_model(store, recipe)
        assert (store / "small/1/recipe").read_text() == text
        assert {path.name for path in store.iterdir()} - {"objects"} == {"small"}  # nothing is left aside
    assert made == ["model: small\n", "model: small\nseed: 2\n"]


def test_a_model_half_made_is_made_again(tmp_path: Path, made: list[str]) -> None:
    recipe, store = tmp_path / "recipe.yaml", tmp_path / "store"
    (store / "small/1").mkdir(parents=True)  # without a stamp: of who knows what
    recipe.write_text("model: small # broken\n")
    with pytest.raises(KeyboardInterrupt):
        world.ensure_model(store, recipe)
    assert list((store / "small/1").iterdir()) == []
    recipe.write_text("model: small\n")
    world.ensure_model(store, recipe)
    assert (store / "small/1/recipe").read_text() == "model: small\n"
    assert len(made) == 2
