"""Strict YAML: every fault of a file is reported at once, each with its line.

An unknown key, a repeated key, a value of another type or out of range is a fault. The lines need YAML's tree beside
the values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pytrain.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """Settings that are decoded strictly. A validator's fault begins with the key it is about: `key: fault; remedy`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Document:
    """A file's values, with the tree that knows their lines."""

    value: object
    root: yaml.Node
    where: str
    page: str

    def checked(self, model: type[M]) -> M:
        """Decode the whole document.

        Raises
        ------
        RecipeError
            It has faults; all of them are named with their lines.
        """
        return self.part(self.value, model)

    def part(self, value: object, model: type[M], *, below: tuple[str | int, ...] = ()) -> M:
        """Decode the part of the document that stands at the keys `below`. See `checked`."""
        try:
            return model.model_validate(value)
        except ValidationError as e:
            faults = [_describe(error, self.root, below) for error in e.errors()]
            raise RecipeError("; ".join(faults), where=self.where, remedy=f"{self.page} shows every key") from e


def parse(data: bytes, *, where: str, page: str) -> Document:
    """Read YAML; `where` names the file in errors, `page` the docs that describe it.

    Raises
    ------
    RecipeError
        It is not YAML in UTF-8, is empty, repeats a key or refers to itself.
    """
    try:
        root = yaml.compose(data.decode(), Loader=_Loader)
        if root is None:
            raise RecipeError("is empty", where=where, remedy=f"see {page} for a whole recipe")
        _refuse_repeated_keys(root, where)
        return Document(yaml.load(data, Loader=_Loader), root, where, page)  # noqa: S506 - _Loader is the safe loader
    except UnicodeDecodeError as e:
        raise RecipeError(f"is not UTF-8 at byte {e.start}", where=where, remedy="save it as UTF-8") from e
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise RecipeError(
            f"is not YAML: {getattr(e, 'problem', None) or e}",
            where=where + line,
            remedy="fix the indentation or quoting there",
        ) from e
    except RecursionError as e:
        raise RecipeError(
            "is nested too deeply, or refers to itself", where=where, remedy=f"see {page} for a whole recipe"
        ) from e
    except (ValueError, KeyError, AttributeError) as e:  # what YAML's constructors raise for `!!int abc` and the like
        raise RecipeError(f"holds a value that is not of its tag: {e}", where=where, remedy="remove the !!tag") from e


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which reads 1.0e-7 and 1e-7 as numbers, and no, on, off as texts.

    YAML 1.1 would read the country code NO as false; the Go side reads YAML 1.2.
    """


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def _refuse_repeated_keys(node: yaml.Node, where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise RecipeError(
                    "a key is no text", where=f"{where}:{key.start_mark.line + 1}", remedy="write plain keys only"
                )
            if key.value in seen:
                raise RecipeError(
                    f"{key.value!r} stands twice",
                    where=f"{where}:{key.start_mark.line + 1}",
                    remedy="keep one of the two",
                )
            seen.add(key.value)
            _refuse_repeated_keys(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, where)


def _describe(error: object, root: yaml.Node, below: tuple[str | int, ...]) -> str:
    """Write one pydantic fault as `line N: key: fault`."""
    assert isinstance(error, dict)  # noqa: S101 - pydantic's ErrorDetails
    loc: list[str | int] = [*below, *error["loc"]]
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "unknown key; remove it or fix its spelling"
    elif error["type"] == "missing":
        message = "is missing; add it"
    elif error["type"] != "value_error":
        message = f"{message}, not {_short(error['input'])}"
    else:  # our own faults begin with the key they are about
        key, _, message = message.partition(": ")
        loc += [int(part) if part.isdigit() else part for part in key.split(".")]
    key = ".".join(str(part) for part in loc)
    return f"line {_line(root, loc)}: {key}: {message}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _line(node: yaml.Node, loc: Sequence[str | int]) -> int:
    """Return the line, from 1, of the deepest part of `loc` that the document has."""
    line: int = node.start_mark.line
    for part in loc:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, found = key.start_mark.line, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line
        if found is None:
            break
        node = found
    return line + 1
