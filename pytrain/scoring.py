"""Read, verify and run model versions, as a bidder would."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from pytrain import manifest as mf
from pytrain.errors import InputError, VersionError

if TYPE_CHECKING:
    from pathlib import Path

    from pytrain.frames import Float32s, Int32s

BATCH_ROWS = 8192


class Version:
    """A version loaded from its directory.

    Parameters
    ----------
    directory
        `<store>/<model>/<version>`.
    check_sums
        Compare every file with the manifest first.

    Raises
    ------
    VersionError
        It is absent, damaged, or TensorFlow cannot load it.
    """

    def __init__(self, directory: Path, *, check_sums: bool = True) -> None:
        self.directory = directory
        self.manifest = mf.read_manifest(directory)
        if check_sums:
            mf.check_files(directory, self.manifest)
        try:
            self._loaded = tf.saved_model.load(os.fspath(directory))  # kept: it owns the variables
            self._serve = self._loaded.signatures["serving_default"]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as e:
            raise VersionError(f"TensorFlow cannot load it: {e}", where=str(directory), remedy="export it again") from e

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
                remedy="encode with the version's own recipe",
            )
        if len(rows) and not 0 <= rows.min() <= rows.max() < m.table_rows:
            raise InputError(
                f"indices run from {rows.min()} to {rows.max()}, the table has {m.table_rows} rows",
                where=str(self.directory),
                remedy="encode with the version's own recipe",
            )
        out = np.empty(len(rows), np.float32)
        for begin in range(0, len(rows), BATCH_ROWS):
            part = tf.constant(rows[begin : begin + BATCH_ROWS], tf.int32)
            out[begin : begin + BATCH_ROWS] = self._serve(rows=part)["probability"].numpy()
        return out

    def golden_error(self) -> float:
        """Return the largest error of this version's golden probabilities."""
        x, p = mf.read_golden(self.directory)
        return float(np.abs(self.score(x) - p).max())

    def table(self) -> Float32s:
        """Return the weights (N, 1 + k): linear weight, then embedding."""
        return np.asarray(self._loaded.table.numpy())


def score_version(directory: Path, rows: Int32s) -> Float32s:
    """Verify the version at `directory` and return its probabilities (n,) of int32 rows (n, F)."""
    return Version(directory).score(rows)
