"""The processes of the loop, as tests start them: real binaries, free loopback ports, a directory of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.loop.processes import Child, start, wait_ready
from scripts.loop.settings import ROOT, Ports, Run

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
    missing = [n for n in ("bidder", "trainer", "exchange") if not (directory / n).exists()]
    assert not missing, f"not built: {missing}; run `make setup`"
    return directory


def first_versions(run: Run) -> None:
    """Make an untrained first version of each of the run's models."""
    for recipe in run.recipes_without_version():
        subprocess.run(
            [sys.executable, "-m", "pytrain", "init", "--recipe", recipe, "--store", run.store],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )


@pytest.fixture(scope="module")
def bidder(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Child]]:
    """A bidder with the example campaigns and untrained models, ready."""
    run = Run(
        directory=tmp_path_factory.mktemp("bidder"),
        recipes=[ROOT / "models/ctr/recipe.yaml", ROOT / "models/cvr/recipe.yaml"],
        campaigns=ROOT / "configs/campaigns.yaml",
        ports=Ports.free(),
    )
    run.prepare(keep=False)
    config, _ = run.write_configs()
    first_versions(run)
    child = start("bidder", [binaries / "bidder", "serve", "--config", config], log=run.logs / "bidder.log")
    try:
        wait_ready(child, run.url(run.ports.admin, "/readyz"), timeout_s=60, interrupted=lambda: False)
        yield run, child
    finally:
        assert child.stop(wait_s=20) == 0, child.died()
