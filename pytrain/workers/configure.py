"""How scikit-learn is set in workers and preparers."""

from __future__ import annotations

import functools
import inspect
import sys

import sklearn


def configure() -> None:
    """Spare what every call would repeat.

    Rows of indices are finite, and parameters were checked when the estimator was fitted. scikit-learn asks of all rows
    whether they are a data frame, by inspect.getattr_static, which before Python 3.12 walked all base classes each
    time: a third of a linear model's predict_proba. Python 3.12 remembers that for each class, and so does this.
    """
    sklearn.set_config(assume_finite=True, skip_parameter_validation=True)
    if sys.version_info < (3, 12):
        walk = inspect._shadowed_dict  # type: ignore[attr-defined] # noqa: SLF001 - it has no public name
        inspect._shadowed_dict = functools.lru_cache(maxsize=512)(walk)  # type: ignore[attr-defined] # noqa: SLF001
