"""Files of fitted models, by their suffix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytrain.errors import InputError
from pytrain.plan import lightgbm, xgboost
from pytrain.skops_file import load_skops

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def _skops(path: Path) -> Any:
    return load_skops(path, remedy="use the estimators that docs/port.md lists", boosters=True)


READERS: Mapping[str, Callable[[Path], Any]] = {
    ".skops": _skops,
    ".txt": lightgbm.read,
    ".json": xgboost.read,
    ".ubj": xgboost.read,
}


def read_model(path: Path) -> Any:
    """Read a fitted model.

    Raises
    ------
    InputError
        It cannot be read, is damaged, holds types that are not trusted, or is of an unknown kind.
    """
    reader = READERS.get(path.suffix)
    if reader is not None:
        return reader(path)
    raise InputError(
        f"is a {path.suffix or 'file without a suffix'}; a pickle could run any code, so none is opened",
        where=str(path),
        remedy='write a scikit-learn model with skops.io.dump(model, "model.skops"), a LightGBM model with '
        'save_model("model.txt"), an XGBoost model with save_model("model.ubj"); an ONNX model is a .onnx',
    )
