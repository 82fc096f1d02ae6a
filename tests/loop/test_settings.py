from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.loop.processes import LoopError
from scripts.loop.settings import ROOT, Run, base_rate_of, label_wait_of


def new_run(directory: Path) -> Run:
    return Run(directory=directory, recipes=[], campaigns=directory)


def test_a_directory_belongs_to_one_run(tmp_path: Path) -> None:
    first = new_run(tmp_path / "run")
    lock = first.lock()
    assert not first.prepare(keep=False)
    (tmp_path / "run/books").write_text("1")
    with pytest.raises(LoopError, match=r"run is in use by another run \(process \d+\).*--directory"):
        new_run(tmp_path / "run").lock()
    new_run(tmp_path / "other").lock().close()
    lock.close()
    with new_run(tmp_path / "run").lock():
        assert not first.prepare(keep=True)
        assert (tmp_path / "run/books").exists()
        assert first.prepare(keep=False)
        assert not (tmp_path / "run/books").exists()


def test_a_recipe_without_training_has_its_defaults(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "model: m\nlabel: click\narchitecture: {kind: logreg}\n"
        "features: [{name: os, source: device.os, encoder: hash, buckets: 16}]\n"
    )
    assert base_rate_of(recipe) == 0.05
    assert label_wait_of(recipe) == 5


@pytest.mark.parametrize(("keep", "kept"), [("", False), ("0", False), ("no", False), ("false", False), ("1", True)])
def test_keep_as_make_reads_it(keep: str, kept: bool) -> None:
    command = ["make", "--dry-run", "--no-print-directory", "run", f"KEEP={keep}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ("--keep" in done.stdout) == kept
