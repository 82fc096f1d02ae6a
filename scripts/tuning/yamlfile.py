"""Keys of a YAML file replaced, with its comments kept."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bench.world import put
from scripts.tuning.errors import TuneError


@dataclass(frozen=True)
class Merged:
    """The new text, and whether the old one's comments and layout are in it."""

    text: str
    kept_comments: bool


def merge(text: str, changes: Mapping[str, Any]) -> Merged:
    """Set the values of dotted keys of two levels, such as `batcher.policy`.

    Lines are edited in place where the file is laid out as usual (a block a section, a line a key). What comes out is
    read back: if it does not say the same as the old document with the keys replaced, the document is written anew
    instead, without comments.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TuneError(f"cannot read the configuration as YAML: {error}") from error
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise TuneError("the configuration is not a mapping of keys to values")
    wanted = copy.deepcopy(document)
    for key, value in changes.items():
        section = key.split(".")[0]
        # Empty where there is `batcher:` alone; a copy, for an anchor may make two sections one.
        wanted[section] = dict(wanted.get(section) or {})
        put(wanted, key, value)
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    for section in dict.fromkeys(key.split(".")[0] for key in changes):
        values = {key.split(".")[1]: value for key, value in changes.items() if key.startswith(section + ".")}
        lines = edit_section(lines, section, values)
    edited = "\n".join(lines) + "\n"
    try:
        if yaml.safe_load(edited) == wanted:
            return Merged(edited, kept_comments=True)
    except yaml.YAMLError:
        pass
    return Merged(yaml.safe_dump(wanted, sort_keys=False), kept_comments=False)


def edit_section(lines: list[str], section: str, values: Mapping[str, Any]) -> list[str]:
    """The lines with a section's keys set; keys and sections that are not there are appended."""
    head = re.compile(rf"{re.escape(section)}\s*:(?P<inline>[^#]*?)(?P<comment>\s*#.*)?$")
    begin, found = next(((i, m) for i, line in enumerate(lines) if (m := head.match(line))), (0, None))
    if found is None:
        gap = [""] if lines and lines[-1].strip() else []
        return [*lines, *gap, f"{section}:", *(f"  {key}: {scalar(value)}" for key, value in values.items())]
    inline = found["inline"].strip()
    if inline:  # `batcher: {policy: eager}` becomes a block
        try:
            old = yaml.safe_load(inline)
        except yaml.YAMLError:  # it goes on in the next lines, or is an alias
            return lines
        merged = {**(old if isinstance(old, dict) else {}), **values}
        block = [
            f"{section}:{found['comment'] or ''}",
            *(f"  {key}: {scalar(value)}" for key, value in merged.items()),
        ]
        return [*lines[:begin], *block, *lines[begin + 1 :]]
    end = begin + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t#"):
        end += 1
    body = lines[begin + 1 : end]
    while body and (not body[-1].strip() or body[-1][0] == "#"):  # blank lines and comments before the next section
        body.pop()
    after = lines[begin + 1 + len(body) :]
    indent = next((re.match(r"\s*", line)[0] for line in body if line.strip() and line.strip()[0] != "#"), "  ")  # type: ignore[index] # \s* matches always
    left = dict(values)
    for i, line in enumerate(body):
        key = re.match(rf"{indent}([\w-]+)\s*:", line)
        if key and key[1] in left:
            body[i] = replace_value(line, scalar(left.pop(key[1])))
    return [*lines[: begin + 1], *body, *(f"{indent}{key}: {scalar(value)}" for key, value in left.items()), *after]


def replace_value(line: str, value: str) -> str:
    """A line `key: old  # comment` with another value; the comment stays in its column where it can."""
    found = re.match(r"(?P<key>\s*[\w-]+\s*:)\s*(?P<old>\"[^\"]*\"|'[^']*'|[^#]*?)(?P<comment>\s+#.*)?$", line)
    if found is None:
        return line
    new = f"{found['key']} {value}"
    if not found["comment"]:
        return new
    comment = found["comment"].lstrip()
    column = len(line) - len(comment)
    return f"{new:<{column - 1}} {comment}"


def scalar(value: Any) -> str:
    """A value as it stands behind its key."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
    return text
