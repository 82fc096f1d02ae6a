"""The recommended settings as files, and settings read back from a file."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report import console
from scripts.loop.settings import ROOT
from scripts.tuning.config import TuneError, read
from scripts.tuning.session import Session, shown
from scripts.tuning.yamlfile import merge

MARK = "# tuned: "  # before what `verify` has to know, as JSON
FRAGMENT, WHOLE = "settings.yaml", "bidder.yaml"


def write_settings(
    run: Session, changes: Mapping[str, Any], comment: str, about: Mapping[str, Any]
) -> dict[str, str | None]:
    """Write the changes (dotted keys) alone, and into a copy of the user's configuration; where they are, by kind.

    Without changes, what an earlier run with another target left is removed.

    Raises
    ------
    TuneError
        The bidder refuses a file.
    """
    fragment, whole = run.directory / FRAGMENT, run.directory / WHOLE
    for path in (fragment, whole):
        path.unlink(missing_ok=True)
    if not changes:
        return {"settings": None, "config": None}
    head = f"# Written on {time.strftime('%Y-%m-%d')} by tuning. {comment}\n{MARK}{json.dumps(about)}\n"
    fragment.write_text(head + merge("", changes).text)
    check(fragment, cwd=ROOT)  # it names no campaigns, and so the shipped ones are looked for
    if run.common.config is not None:
        merged = merge(run.common.config.read_text(), changes)
        whole.write_text(head + merged.text)
        check(whole, cwd=Path.cwd())
        if not merged.kept_comments:
            console.print("the configuration's layout is unusual: its comments are not in the copy", highlight=False)
    written = [path for path in (fragment, whole) if path.exists()]
    console.print(f"written: {', '.join(map(shown, written))}", highlight=False, soft_wrap=True)
    return {"settings": shown(fragment), "config": shown(whole) if whole.exists() else None}


def check(path: Path, *, cwd: Path) -> None:
    """Have the bidder read a configuration, as it would if it were started in a directory."""
    command: list[str | Path] = [ROOT / "bin/bidder", "check", "--config", path.resolve()]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TuneError(f"the bidder refuses {path}:\n{done.stderr.strip()}")


def settings_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document of a fragment or configuration, and what its head says of the run that wrote it."""
    document = read(path, "--settings")
    marked = [line.removeprefix(MARK) for line in path.read_text().splitlines() if line.startswith(MARK)]
    try:
        about = json.loads(marked[0]) if marked else {}
    except ValueError as error:
        raise TuneError(f"{path}: the line that begins with {MARK!r} is not JSON; remove it, or mend it") from error
    return document, about
