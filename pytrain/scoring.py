"""Read, verify and run model versions, as a bidder would."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pytrain import manifest as mf
from pytrain.errors import InputError, VersionError

if TYPE_CHECKING:
    from pathlib import Path

    from pytrain.frames import Float32s, Int32s

BATCH_ROWS = 8192
FORMATS = ("savedmodel", "plan")
_REMEDY = "encode with the version's own recipe"


class Form(Protocol):
    """One format of a version, loaded."""

    def score(self, rows: Int32s) -> Float32s:
        """Return probabilities (n,) of at most BATCH_ROWS rows (n, F)."""
        ...

    def table(self) -> Float32s:
        """Return the weights (N, 1 + k): linear weight, then embedding."""
        ...


class Version:
    """A version of rows of indices, loaded from its directory in one of its formats.

    Parameters
    ----------
    directory
        `<store>/<model>/<version>`.
    check_sums
        Compare every file with the manifest first.
    format_
        One of the manifest's formats that are in FORMATS; the first of them if None.
    objects
        Where the parameters of plans are; `<store>/objects` if None.

    Raises
    ------
    VersionError
        It is absent, damaged, not of indices, or cannot be loaded.
    """

    def __init__(
        self, directory: Path, *, check_sums: bool = True, format_: str | None = None, objects: Path | None = None
    ) -> None:
        self.directory = directory
        self.manifest = mf.read_manifest(directory)
        known = [f for f in self.manifest.formats if f in FORMATS and format_ in (None, f)]
        if not self.manifest.indexed or not known:
            raise VersionError(
                f"is not one of rows of indices in a format that pytrain reads ({', '.join(FORMATS)})",
                where=str(directory),
                remedy="score it with bin/bidder score",
            )
        if check_sums:
            mf.check_files(directory, self.manifest)
        self._form: Form = (
            _SavedModel(directory)
            if known[0] == "savedmodel"
            else _Plan(directory, objects or mf.objects_of(directory))
        )

    def score(self, rows: Int32s) -> Float32s:
        """Return probabilities (n,) of int32 rows (n, F).

        Raises
        ------
        InputError
            Rows have another length, or indices outside the table.
        """
        m = self.manifest
        if rows.ndim != 2 or rows.shape[1] != m.row_len:
            raise InputError(
                f"rows are {rows.shape}, version {m.version} needs (n, {m.row_len})",
                where=str(self.directory),
                remedy=_REMEDY,
            )
        if len(rows) and not 0 <= rows.min() <= rows.max() < m.table_rows:
            raise InputError(
                f"indices run from {rows.min()} to {rows.max()}, the table has {m.table_rows} rows",
                where=str(self.directory),
                remedy=_REMEDY,
            )
        out = np.empty(len(rows), np.float32)
        for begin in range(0, len(rows), BATCH_ROWS):
            out[begin : begin + BATCH_ROWS] = self._form.score(rows[begin : begin + BATCH_ROWS])
        return out

    def golden_error(self) -> float:
        """Return the largest error of this version's golden probabilities."""
        x, p = mf.read_golden(self.directory)
        return float(np.abs(self.score(x) - p).max())

    def table(self) -> Float32s:
        """Return the weights (N, 1 + k): linear weight, then embedding."""
        return self._form.table()


class _SavedModel:
    def __init__(self, directory: Path) -> None:
        import tensorflow as tf  # noqa: PLC0415 - it takes seconds, and plans do without

        self._tf = tf
        try:
            self._loaded = tf.saved_model.load(os.fspath(directory))  # kept: it owns the variables
            self._serve = self._loaded.signatures["serving_default"]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as e:
            raise VersionError(f"TensorFlow cannot load it: {e}", where=str(directory), remedy="export it again") from e

    def score(self, rows: Int32s) -> Float32s:
        return np.asarray(self._serve(rows=self._tf.constant(rows, self._tf.int32))["probability"].numpy())

    def table(self) -> Float32s:
        return np.asarray(self._loaded.table.numpy())


class _Plan:
    def __init__(self, directory: Path, objects: Path) -> None:
        from pytrain.plan import read_plan  # noqa: PLC0415 - SavedModels do without
        from pytrain.plan.probabilities import operator_of, probabilities  # noqa: PLC0415

        self._operator = operator_of(read_plan(directory, objects), where=str(directory))
        self._probabilities = probabilities

    def score(self, rows: Int32s) -> Float32s:
        return self._probabilities(self._operator, rows)

    def table(self) -> Float32s:
        return np.asarray(self._operator.tensors["table"].array)


def score_version(directory: Path, rows: Int32s) -> Float32s:
    """Verify the version at `directory` and return its probabilities (n,) of int32 rows (n, F)."""
    return Version(directory).score(rows)
