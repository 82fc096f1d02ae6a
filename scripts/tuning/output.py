"""The files that a run leaves for the operator."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.loop.settings import ROOT
from scripts.tuning.errors import TuneError
from scripts.tuning.yamlfile import merge

MARK = "# tuned: "  # before what `verify` has to know, as JSON


@dataclass(frozen=True)
class Written:
    """Where recommended settings were written."""

    fragment: Path
    whole: Path | None  # the user's configuration with the keys replaced
    kept_comments: bool

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.fragment, self.whole) if path is not None]

    def check(self) -> None:
        """Have the bidder read what was written.

        The fragment names no campaigns, and so those shipped are looked for: from the repository's root. The user's own
        configuration is read from where the user is.

        Raises
        ------
        TuneError
            The bidder refuses it.
        """
        check(self.fragment, cwd=ROOT)
        if self.whole is not None:
            check(self.whole, cwd=Path.cwd())


def write_settings(
    directory: Path,
    changes: Mapping[str, Any],
    comment: Sequence[str],
    about: Mapping[str, Any],
    *,
    config: Path | None,
) -> Written:
    """Write the changes (dotted keys) as a fragment, and into a copy of the user's configuration."""
    head = "".join(f"# {line}\n" for line in comment) + MARK + json.dumps(dict(about)) + "\n"
    fragment = directory / "settings.yaml"
    fragment.write_text(head + merge("", changes).text.lstrip("\n"))
    if config is None:
        return Written(fragment, None, kept_comments=True)
    merged = merge(config.read_text(), changes)
    whole = directory / "bidder.yaml"
    whole.write_text(head + merged.text)
    return Written(fragment, whole, merged.kept_comments)


def check(path: Path, *, cwd: Path) -> None:
    """Have the bidder read a configuration, as it would if it were started in a directory."""
    command: list[str | Path] = [ROOT / "bin/bidder", "check", "--config", path.resolve()]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TuneError(f"the bidder refuses {path}:\n{done.stderr.strip()}")


def settings_of(path: Path, section: str, *, needed: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """A section of a fragment or configuration, and what its head says of the run that wrote it.

    A section that is not needed may be absent, and is empty then.
    """
    try:
        text = path.read_text()
        document = yaml.safe_load(text)
    except (OSError, yaml.YAMLError) as error:
        raise TuneError(f"cannot read --settings: {error}") from error
    if not isinstance(document, dict):
        raise TuneError(f"--settings {path} is not a mapping of keys to values")
    found = document.get(section, None if needed else {})
    if not isinstance(found, dict):
        raise TuneError(f"--settings {path} has no section {section}")
    marked = [line.removeprefix(MARK) for line in text.splitlines() if line.startswith(MARK)]
    try:
        about = json.loads(marked[0]) if marked else {}
    except ValueError:
        about = {}
    return found, about


def point_latest(directory: Path) -> None:
    """Make `latest`, beside the plans, point to this one."""
    link = directory.parent / "latest"
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(directory.name)
