"""Keys of a YAML text replaced, with its comments and its layout kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bench.world import put
from scripts.tuning.config import TuneError


@dataclass(frozen=True)
class Merged:
    """The new text, and whether the old text's comments are in it."""

    text: str
    kept_comments: bool


def merge(text: str, changes: Mapping[str, Any]) -> Merged:
    """Set the values of dotted keys of two levels, such as `batcher.policy`.

    Each value is replaced where the parser found it. The result is parsed again: if it does not say the same as the old
    document with the keys replaced, which unusual layouts can cause, the document is written anew without comments.
    """
    try:
        wanted = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise TuneError(f"cannot read the configuration as YAML: {error}") from error
    if not isinstance(wanted, dict):
        raise TuneError("the configuration is not a mapping of keys to values")
    for key, value in changes.items():
        section = key.split(".")[0]
        wanted[section] = copy.copy(wanted.get(section)) or {}  # a copy, since an anchor may make two sections one
        put(wanted, key, value)
    try:
        for key, value in changes.items():
            text = set_key(text, key, scalar(value))
        if yaml.safe_load(text) == wanted:
            return Merged(text, kept_comments=True)
    except yaml.YAMLError:
        pass
    return Merged(yaml.safe_dump(wanted, sort_keys=False), kept_comments=False)


def set_key(text: str, dotted: str, value: str) -> str:
    """The text with the value of one key of a section replaced, or added where it is not there."""
    section, key = dotted.split(".")
    root = yaml.compose(text)
    body = child(root, section)
    if body is None:
        end = "" if not text or text.endswith("\n") else "\n"
        gap = "\n" if text.strip() else ""
        return f"{text}{end}{gap}{section}:\n  {key}: {value}\n"
    if not isinstance(body, yaml.MappingNode) or not body.value:  # `batcher:` or `batcher: {}`
        return text[: body.start_mark.index] + f"\n  {key}: {value}" + text[body.end_mark.index :]
    old = child(body, key)
    if old is None:
        first = body.value[0][0].start_mark
        after = ", " if body.flow_style else "\n" + " " * first.column
        return text[: first.index] + f"{key}: {value}{after}" + text[first.index :]
    before, replaced, rest = text[: old.start_mark.index], old.end_mark.index - old.start_mark.index, old.end_mark.index
    if text[rest:].partition("\n")[0].lstrip().startswith("#"):
        value = value.ljust(replaced)  # the comment stays in its column where it can
    gap = "" if before.endswith((" ", "\n")) else " "
    return before + gap + value + text[rest:]


def child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a mapping's key; None where there is none."""
    if isinstance(node, yaml.MappingNode):
        for name, found in node.value:
            if name.value == key:
                return found  # type: ignore[no-any-return] # PyYAML's nodes are untyped
    return None


def scalar(value: Any) -> str:
    """A value as it stands behind its key."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")
