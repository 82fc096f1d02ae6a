"""Objects of a store: written under its lock, touched, replaced where damaged, there when their version appears."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytrain import store
from pytrain.errors import ConfigError, RecipeError
from pytrain.manifest import MANIFEST
from pytrain.plan.tensors import Tensor, read
from pytrain.recipe import parse_recipe

if TYPE_CHECKING:
    from pathlib import Path


def test_a_written_object_is_touched_and_a_damaged_one_replaced(tmp_path: Path) -> None:
    tensor = Tensor(np.arange(9.0))
    path = tensor.write(tmp_path / "objects")
    os.utime(path, (1, 1))
    with path.open("rb") as mapped:
        first = os.fstat(mapped.fileno()).st_ino
        tensor.write(tmp_path / "objects")
        assert path.stat().st_ino == first, "it is not written again"
        assert path.stat().st_mtime > 1, "but touched"
        path.chmod(0o644)
        damaged = path.with_name("damaged")
        damaged.write_bytes(b"x")
        damaged.rename(path)
        tensor.write(tmp_path / "objects")
        assert len(mapped.read()) == tensor.file_bytes, "who has the old file keeps it"
    assert (read(tmp_path / "objects", tensor.sha256).array == tensor.array).all()


def test_sweeps_wait_for_writers(tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    with (
        store.holding(objects),
        store.holding(objects),
        (objects / ".lock").open() as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (objects / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_version_appears_only_with_its_objects(tmp_path: Path) -> None:
    tensor, final = Tensor(np.ones(3)), tmp_path / "churn" / "1"

    def publish() -> None:
        with store.staged(final, tmp_path / "churn" / ".staging", objects=tmp_path / "objects") as aside:
            (aside / MANIFEST).parent.mkdir()
            (aside / MANIFEST).write_text(json.dumps({"objects": {tensor.sha256: tensor.file_bytes}}))

    with pytest.raises(ConfigError, match=f"{tensor.sha256}.*missing"):
        publish()
    assert not final.exists()
    path = tensor.write(tmp_path / "objects")
    publish()
    assert final.is_dir()
    path.write_bytes(b"x")
    final = tmp_path / "churn" / "2"
    with pytest.raises(ConfigError, match="another size"):
        publish()


def test_no_model_has_the_name_of_the_objects() -> None:
    recipe = (
        "{model: %s, label: click, architecture: {kind: logreg}, "
        "features: [{name: a, source: b, encoder: hash, buckets: 2}]}"
    )
    parse_recipe((recipe % "object").encode(), where="r")
    with pytest.raises(RecipeError, match="'objects' is no name"):
        parse_recipe((recipe % "objects").encode(), where="r")
