"""The bidder's configuration as tuning reads and writes it: its keys, its durations, the errors a person can mend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.loop.settings import load

# Every key of the configuration that tuning knows, by its dotted name.
BATCHER = "batcher"
MODELS = "models"  # by name, each with what it does differently from the batcher's settings
TMAX_MARGIN = "auction.tmax_margin"
TMAX_DEFAULT = "auction.tmax_default"
CAMPAIGNS = "campaigns"
STORE = "model_store"
OUTSIDE_STREAM = "events.url"

# Exit statuses. MISSED: the verification missed the target. UNREACHABLE: no setting meets it.
DONE, MISSED, BAD, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130


class TuneError(Exception):
    """The run cannot go on (exit status 2); the message says why and what to do."""


def read(path: Path, option: str) -> dict[str, Any]:
    """A YAML mapping from a file that an option names; sections without content are left out."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise TuneError(f"cannot read {option} {path}: {error}") from error
    if not isinstance(document, dict):
        raise TuneError(f"{option} {path} is not a mapping of keys to values")
    return {key: value for key, value in document.items() if value is not None}


def value(document: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key: the document's, else the shipped configuration's, else None."""
    for source in (document, load("bidder.yaml")):
        found: Any = source
        for name in key.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if found is not None:
            return found
    return None


UNITS_MS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3, "h": 3600e3}


def milliseconds(text: str) -> float:
    """A duration as the configuration has it, such as 2ms or 1m30s."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        raise TuneError(f"{text!r} is not a duration; write 2ms or 500us, for example")
    return sum(float(n) * UNITS_MS[unit] for n, unit in parts)


def duration(ms: float) -> str:
    """A duration as the configuration has it: whole milliseconds, else microseconds."""
    return f"{ms:.0f}ms" if ms == round(ms) else f"{ms * 1e3:.0f}us"
