"""What can go wrong, and the exit status it ends with.

    PytrainError
    ├── ConfigError            exit 2: the recipe, an option or a directory must be changed
    │   ├── RecipeError        a recipe has faults; all of them are named
    │   ├── CheckpointError    no checkpoint can be used, or it belongs to another model
    │   └── VersionError       a model version is damaged or does not fit
    ├── ExportError            exit 1: a version could not be written; learning may start again from its checkpoint
    ├── InputError             exit 2: a file that was named cannot be learnt from or evaluated
    │   ├── Refusal            a model holds what no plan can express exactly
    │   ├── ClassifierError    a classifier file is damaged, or cannot be written as its contract says
    │   └── DataSetError       a data set breaks its contract
    └── StreamError            exit 3: stdin broke the protocol
        ├── TruncatedStream    it ended inside a frame
        └── BadFrame           a frame's sizes, values or type are wrong

Each error has the place of the fault and a remedy. One function prints errors, another sends them as `error` frames.
"""

from __future__ import annotations


class PytrainError(Exception):
    """A fault that a person can act on.

    Parameters
    ----------
    message
        What is wrong, with the values.
    where
        The place: a file with line, a frame with its number, an option.
    remedy
        What a person should do.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        """Go between processes with all three parts."""
        return _again, (type(self), self.message, self.where, self.remedy)

    def __str__(self) -> str:
        """Place, fault and remedy in one line."""
        return f"{self.where}: {self.message}; {self.remedy}"


def _again(kind: type[PytrainError], message: str, where: str, remedy: str) -> PytrainError:
    return kind(message, where=where, remedy=remedy)


class ConfigError(PytrainError):
    """A setting, recipe or directory must be changed."""

    exit_code = 2


class RecipeError(ConfigError):
    """A recipe has faults; the message names every one, each with its line."""


class CheckpointError(ConfigError):
    """No checkpoint can be used, or the one found belongs to another model."""


class VersionError(ConfigError):
    """A model version is damaged, incomplete or does not fit."""


class ExportError(PytrainError):
    """A version could not be written. What was learnt up to the last checkpoint stays learnt."""


class InputError(PytrainError):
    """A file that was named cannot be learnt from or evaluated."""

    exit_code = 2


class Refusal(InputError):
    """A model holds what no plan can express exactly. The message names operator and place, the remedy a substitute."""


class ClassifierError(InputError):
    """A classifier file is damaged, or what was fitted cannot be written as docs/classifier-files.md says."""


class DataSetError(InputError):
    """A data set breaks the contract of docs/datasets.md."""


class StreamError(PytrainError):
    """Stdin broke the protocol."""

    exit_code = 3


class TruncatedStream(StreamError):
    """The stream ended inside a frame; every whole frame before it was yielded."""


class BadFrame(StreamError):
    """A frame's sizes, values or type are wrong."""
