"""A version whose format is a plan: the plan, golden rows, the manifest; and the recipe, where rows are its indices."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytrain import manifest as mf
from pytrain.errors import InputError
from pytrain.plan.codec import read_plan, write_plan
from pytrain.plan.columns import columns, pack
from pytrain.plan.golden import FEWEST_ROWS, golden_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from pytrain.loop import Learnt
    from pytrain.plan.asking import Column
    from pytrain.plan.graph import Plan
    from pytrain.plan.importing import Model
    from pytrain.recipe import Recipe


@dataclass(frozen=True)
class PlanWriter:
    """Writes versions of one ported model.

    Attributes
    ----------
    name
        The model's name in the store.
    label
        What it predicts.
    objects
        Where parameters are stored.
    """

    model: Model
    name: str
    label: str
    objects: Path
    where: str

    def write(self, directory: Path, version: int, learnt: Learnt) -> None:
        """Fill an empty directory with a complete version; the caller syncs and renames it.

        Raises
        ------
        InputError
            scikit-learn answers too few rows to prove the version by.
        VersionError
            What was written cannot be read.
        """
        plan = self.model.plan
        inputs, outputs = golden_rows(self.model, seed=0)
        rows = len(next(iter(outputs.values())))
        if rows < FEWEST_ROWS:
            raise InputError(
                f"answers only {rows} golden rows; at least {FEWEST_ROWS} are needed",
                where=self.where,
                remedy="let its encoders ignore unknown categories, and its imputers fill what is missing",
            )
        write_version(
            directory,
            plan,
            inputs,
            outputs,
            objects=self.objects,
            described={"model": self.name, "version": version, "label": self.label, "metrics": learnt.metrics},
            trained=mf.TrainedOn(rows=learnt.rows, from_ms=learnt.from_ms, to_ms=learnt.to_ms),
        )


@dataclass(frozen=True)
class LearnedWriter:
    """Writes a version that pytrain learnt as a plan. Recipe and golden rows stay, so that auctions can use it.

    Attributes
    ----------
    source
        The version that was learnt, a SavedModel.
    plan
        Its plan, by `learned.plan_of`.
    recipe, manifest
        Its own.
    name
        The model's name in the store.
    objects
        Where parameters are stored.
    """

    source: Path
    plan: Plan
    recipe: Recipe
    manifest: mf.Manifest
    name: str
    objects: Path

    def write(self, directory: Path, version: int, learnt: Learnt) -> None:
        """Fill an empty directory with a complete version; the caller syncs and renames it.

        Raises
        ------
        VersionError
            What was written cannot be read.
        """
        named = write_plan(self.plan, directory, self.objects)
        (directory / mf.RECIPE).parent.mkdir()
        for name in (mf.RECIPE, mf.GOLDEN):
            (directory / name).write_bytes((self.source / name).read_bytes())
        position = mf.json_position(learnt.pos)
        _write_manifest(
            directory,
            {"model": self.name, "version": version, "label": self.recipe.label, "metrics": learnt.metrics}
            | {"row_len": self.manifest.row_len, "table_rows": self.manifest.table_rows},
            mf.TrainedOn(rows=learnt.rows, from_ms=learnt.from_ms, to_ms=learnt.to_ms, position=position),
            named,
        )
        read_plan(directory, self.objects)


def write_version(
    directory: Path,
    plan: Plan,
    inputs: Mapping[str, Column],
    outputs: Mapping[str, npt.NDArray[np.float64]],
    *,
    objects: Path,
    described: Mapping[str, Any],
    trained: mf.TrainedOn,
) -> None:
    """Write plan, golden rows and manifest into an empty directory.

    Parameters
    ----------
    inputs, outputs
        Golden rows by name.
    described
        The manifest's `model`, `version`, `label` and `metrics`.

    Raises
    ------
    VersionError
        What was written cannot be read.
    """
    named = write_plan(plan, directory, objects)
    (directory / mf.GOLDEN).parent.mkdir()
    (directory / mf.GOLDEN).write_bytes(
        pack(
            inputs=columns(inputs, {v.name: (v.type, v.width) for v in plan.inputs}),
            outputs=columns(outputs, {name: (v.type, v.width) for name, v in plan.outputs.items()}),
            tolerance=plan.tolerance,
        )
    )
    _write_manifest(directory, described, trained, named)
    read_plan(directory, objects)


def _write_manifest(
    directory: Path, described: Mapping[str, Any], trained: mf.TrainedOn, named: dict[str, int]
) -> None:
    document = mf.Manifest(
        **described,
        created=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        formats=("plan",),
        files=mf.hash_files(directory),
        objects=named,
        training=trained,
    )
    (directory / mf.MANIFEST).write_bytes(document.dump())
