"""The processes of the loop, as tests start them: real binaries, free loopback ports, a directory of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from scripts.loop.processes import Child, start, wait_ready
from scripts.loop.settings import ROOT, Ports, Run
from tests.e2e.world import CLICK_RECIPE, Bidder, edit

EXAMPLE_RECIPES = [CLICK_RECIPE, ROOT / "models/cvr/recipe.yaml"]
DATA = Path(os.environ.get("GAVEL_DATA", ROOT.parent / "shared" / "data"))


def data_set(name: str) -> Path:
    """A data set's directory; skips the test where it is not there."""
    if not (DATA / name).is_dir():
        pytest.skip(f"no data set {name} in {DATA}; set GAVEL_DATA to where it lies")
    return DATA / name


@pytest.fixture(scope="session")
def binaries() -> Path:
    """`bin/`, built."""
    directory = ROOT / "bin"
    missing = [n for n in ("bidder", "trainer", "exchange", "loadgen") if not (directory / n).exists()]
    assert not missing, f"not built: {missing}; run `make setup`"
    return directory


@pytest.fixture(scope="session")
def first_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with an untrained first version of `ctr` and `cvr`. Made once: copy it before changing anything."""
    store = tmp_path_factory.mktemp("first-versions") / "store"
    makers = [
        subprocess.Popen(
            [sys.executable, "-m", "pytrain", "init", "--recipe", recipe, "--store", store],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for recipe in EXAMPLE_RECIPES
    ]
    for maker in makers:
        output, _ = maker.communicate(timeout=150)
        assert maker.returncode == 0, output
    return store


class NewBidder(Protocol):
    """Makes a bidder that is not started and is ended with the test; `changes` are of its configuration."""

    def __call__(self, name: str = "bidder", **changes: Any) -> Bidder: ...


@pytest.fixture
def new_bidder(binaries: Path, first_versions: Path, tmp_path: Path) -> Iterator[NewBidder]:
    made: list[Bidder] = []

    def make(name: str = "bidder", **changes: Any) -> Bidder:
        made.append(Bidder.make(binaries, tmp_path / name, first_versions, name=name, **changes))
        return made[-1]

    yield make
    for bidder in reversed(made):
        bidder.close()


@pytest.fixture(scope="module")
def steady(binaries: Path, first_versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bidder]:
    """A ready bidder with one campaign that always bids, for tests that leave it as it was."""
    bidder = Bidder.make(binaries, tmp_path_factory.mktemp("steady"), first_versions)
    try:
        yield bidder.start()
    finally:
        bidder.close()


@pytest.fixture(scope="module")
def bidder(
    binaries: Path, first_versions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Run, Child]]:
    """A bidder with the example campaigns and untrained models, ready; its links are https, so secure bids are too."""
    run = Run(
        directory=tmp_path_factory.mktemp("bidder"),
        recipes=EXAMPLE_RECIPES,
        campaigns=ROOT / "configs/campaigns.yaml",
        ports=Ports.free(),
    )
    run.prepare(keep=False)
    shutil.copytree(first_versions, run.store)
    config, _ = run.write_configs()
    edit(config, public_url="https://bid.gavel.example")
    child = start("bidder", [binaries / "bidder", "serve", "--config", config], log=run.logs / "bidder.log")
    try:
        wait_ready(child, run.url(run.ports.admin, "/readyz"), timeout_s=60, interrupted=lambda: False)
        yield run, child
    finally:
        assert child.stop(wait_s=20) == 0, child.died()
