"""Reading .skops files: only types that are on a closed list, and only trees whose numbers stay within the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import skops.io
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from pytrain.errors import InputError
from pytrain.skops_boosters import Boosters
from pytrain.skops_schema import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Beyond what skops itself trusts. None of them calls what the file names, but a partial, and then only what is trusted
# too. scikit-learn follows the numbers within trees without looking, so they are checked below.
TRUSTED = frozenset(
    {
        "functools.partial",
        "numpy.dtype",
        "numpy.number",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
    }
)

# What to do where files hold what is often met in them, by how the first type that is not trusted begins.
_BOOSTER = "write the estimator, as LGBMClassifier or XGBRegressor, or the booster itself, {}"
_INNER = "write the estimator_ of a classifier with a threshold"
_REMEDIES = {
    "collections.OrderedDict": _BOOSTER.format("booster_.save_model('model.txt')"),  # LightGBM's
    "lightgbm.": _BOOSTER.format("booster_.save_model('model.txt')"),
    "xgboost.": _BOOSTER.format("save_model('model.ubj')"),
    "sklearn.metrics._classification": _INNER,
    "sklearn.metrics._scorer": _INNER,
    "sklearn.model_selection.": _INNER,
    "builtins.method_descriptor": "do without functions of your own, as a vectorizer's tokenizer or preprocessor",
    "__main__.": "do without functions and classes of your own; FunctionTransformer takes NumPy's functions",
}


def load_skops(path: Path, *, trusted: frozenset[str] = TRUSTED, remedy: str, boosters: bool = False) -> Any:
    """Load what a .skops file holds.

    Parameters
    ----------
    trusted
        Types that may be in it beside those that skops trusts.
    remedy
        What to do if there are others.
    boosters
        Put `pytrain.plan.boosted`'s estimators in the place of LightGBM's and XGBoost's, and leave out of a search all
        but its best estimator.

    Raises
    ------
    InputError
        It is a pickle, damaged, holds other types, or a tree that leads out of itself.
    Refusal
        It holds a booster of LightGBM or XGBoost that no plan can express.
    """
    if path.suffix != ".skops":
        raise InputError(
            "is not a .skops file; a pickle could run any code, so none is opened",
            where=str(path),
            remedy='write the pipeline with skops.io.dump(pipeline, "model.skops") where it was fitted',
        )
    try:
        found = Boosters(path) if boosters else None
        file = found.file if found is not None else path
        untrusted = [t for t in _untrusted(file) if t not in trusted]
        loaded = None if untrusted else _loaded(file, sorted(trusted))
        loaded = found.restored(loaded) if found is not None else loaded
    except InputError:
        raise
    except OSError as e:
        raise InputError(f"cannot be read: {e.strerror or e}", where=str(path), remedy="name a file that exists") from e
    except Exception as e:
        raise InputError(
            f"is no whole skops file: {e}", where=str(path), remedy="write it again with skops.io.dump"
        ) from e
    if untrusted:
        place = place_of(path, untrusted[0])
        raise InputError(
            f"holds types that are not trusted: {', '.join(untrusted)}" + (f", the first in {place}" if place else ""),
            where=str(path),
            remedy=next((r for start, r in _REMEDIES.items() if untrusted[0].startswith(start)), remedy),
        )
    for tree, features in _trees(loaded):
        if not _is_sound(tree, features):
            raise InputError("holds a damaged tree", where=str(path), remedy="write it again with skops.io.dump")
    return loaded


def _untrusted(file: Path | bytes) -> list[str]:
    if isinstance(file, bytes):
        return list(skops.io.get_untrusted_types(data=file))
    return list(skops.io.get_untrusted_types(file=file))


def _loaded(file: Path | bytes, trusted: list[str]) -> Any:
    return skops.io.loads(file, trusted=trusted) if isinstance(file, bytes) else skops.io.load(file, trusted=trusted)


def _trees(root: Any) -> Iterator[tuple[Any, int]]:
    """Yield every tree within, with the number of columns that it may read."""
    seen: set[int] = set()
    stack = [(root, 0)]
    while stack:
        value, features = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tree | TreePredictor):
            yield value, features
        elif isinstance(value, dict):
            stack += [(v, features) for v in value.values()]
        elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype == object):
            stack += [(v, features) for v in (value.flat if isinstance(value, np.ndarray) else value)]
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            stack += [(v, getattr(value, "n_features_in_", features)) for v in vars(value).values()]


def _is_sound(tree: Any, features: int) -> bool:
    """Whether every node leads to later nodes, and reads columns that are there."""
    if isinstance(tree, Tree):
        state = tree.__getstate__()
        nodes, count = state["nodes"], state["node_count"]
        inner = nodes["left_child"] != -1
        left, right, feature = nodes["left_child"][inner], nodes["right_child"][inner], nodes["feature"][inner]
        sound = count == len(nodes) == len(state["values"]) and tree.n_features <= features
        features = tree.n_features
    else:
        nodes = tree.nodes
        count = len(nodes)
        inner = nodes["is_leaf"] == 0
        left, right, feature = (nodes[name][inner].astype(np.int64) for name in ("left", "right", "feature_idx"))
        sets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
        sound = bool((sets < min(len(tree.raw_left_cat_bitsets), len(tree.binned_left_cat_bitsets))).all())
    after = np.flatnonzero(inner)
    within = (left > after) & (left < count) & (right > after) & (right < count) & (feature >= 0) & (feature < features)
    return bool(sound and count > 0 and within.all())
