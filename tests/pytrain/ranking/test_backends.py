"""joblib's backends of many machines: they are named where they are absent, and called as each can be called."""

from __future__ import annotations

import contextlib
import sys
import types
from pathlib import Path
from typing import Any

import joblib
import pytest
from joblib._parallel_backends import ThreadingBackend

from pytrain.errors import ConfigError
from pytrain.ranking.manager import EXTRAS, Manager, Round
from tests.pytrain.ranking import made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for i, name in enumerate("abcde"):
        made.write(tmp_path / "data", name, 100, seed=i)
    return tmp_path


def train(place: Path, backend: str) -> Round:
    manager = Manager(place / "data", place / "out", made.recipe_of(made.PRIOR), jobs=2, backend=backend)
    try:
        return manager.round(tell=lambda _: None, started=lambda _: None, ended=lambda _: None)
    finally:
        manager.close()


@pytest.mark.parametrize(("backend", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_a_missing_package_is_named(place: Path, monkeypatch: pytest.MonkeyPatch, backend: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # so an import fails, installed or not
    with pytest.raises(ConfigError) as caught:
        train(place, backend)
    assert EXTRAS[backend] in str(caught.value)
    assert "choose loky" in str(caught.value)


class LikeRay(ThreadingBackend):  # type: ignore[misc] # joblib has no types
    """Ray's backend, too, refuses `return_as="generator_unordered"`."""

    supports_return_generator = False


def test_ray_is_given_some_campaigns_at_a_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray, util, backend = (types.ModuleType(name) for name in ("ray", "ray.util", "ray.util.joblib"))
    started: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def init(*_: str, **options: Any) -> Any:
        started.append(options)
        yield

    vars(ray)["init"] = init
    vars(backend)["register_ray"] = lambda: joblib.register_parallel_backend("ray", LikeRay)
    for module in (ray, util, backend):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("pytrain.ranking.manager.RAY_CALLS", 2)
    assert train(place, "ray").trained == 5
    assert started == [{"include_dashboard": False}]
