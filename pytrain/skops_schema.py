"""Where the types in a .skops file are, read from its schema alone: nothing is loaded."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_BYTES = 64 << 20


def place_of(path: Path, name: str) -> str:
    """Return where a type is in a file, as `Pipeline > steps[1] lgbm: LGBMClassifier`; empty if it is not found.

    Parameters
    ----------
    name
        The type's module and name, as `lightgbm.sklearn.LGBMClassifier`.
    """
    with zipfile.ZipFile(path) as file:
        if file.getinfo("schema.json").file_size > _MOST_BYTES:
            return ""
        schema = json.loads(file.read("schema.json"))
    return next((" > ".join(trail) for trail, node in _nodes(schema) if _name(node) == name), "")


def _name(node: dict[str, Any]) -> str:
    return f"{node['__module__']}.{node['__class__']}"


def _nodes(root: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every node with the path of estimators to it, the outer ones first."""
    waiting: list[tuple[tuple[str, ...], str, Any]] = [((), "", root)]
    while waiting:
        trail, key, value = waiting.pop(0)
        if isinstance(value, list):
            waiting += [(trail, f"{key}[{i}]", v) for i, v in enumerate(value)]
        elif isinstance(value, dict) and isinstance(value.get("__class__"), str) and "__module__" in value:
            inner = trail
            if value.get("__loader__") == "ObjectNode":
                inner = (*trail, f"{key}: {value['__class__']}" if key else value["__class__"])
            yield inner, value
            waiting += [(inner, *child) for child in _children(key if inner == trail else "", value)]
        elif isinstance(value, dict):
            waiting += [(trail, name, v) for name, v in value.items()]


def _children(key: str, node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a node holds, with its name: a tuple's first text is the name of what follows."""
    content = node.get("content")
    if node["__class__"] == "tuple" and isinstance(content, list) and content and content[0].get("is_json"):
        key = f"{key} {content[0]['content']}".replace('"', "")
        yield from ((key, child) for child in content)
    elif content is not None:
        yield key, content
