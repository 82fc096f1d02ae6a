"""The Go driver, and the fleet of campaigns that all parts rank."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import say
from scripts.loop.settings import ROOT

BUILD = ROOT / "var/bench/ranking/bin"
DRIVER = BUILD / "driver"
PYTHON = ROOT / ".venv/bin/python"


def build() -> None:
    """Build the driver."""
    subprocess.run([ROOT / "scripts/build.sh", BUILD, "./bench/ranking/driver"], cwd=ROOT, check=True)


def driver(*arguments: str | Path | float) -> Any:
    """Run a subcommand of the driver, and return its JSON.

    Raises
    ------
    RuntimeError
        It failed. What it said is on stderr.
    """
    done = subprocess.run([DRIVER, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"driver {arguments[0]} ended with status {done.returncode}")
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Fleet:
    """Campaigns with a classifier each, and users. The driver makes equal ones of equal numbers."""

    directory: Path
    campaigns: int = 5000
    known: int = 1795
    values: int = 182_666
    changed: int = 100  # campaigns that have prepared files; a ranking can name them all
    versions: int = 4  # prepared files of each

    @property
    def size(self) -> list[str]:
        """Flags of the driver."""
        return ["-campaigns", str(self.campaigns), "-known", str(self.known), "-values", str(self.values)]

    @property
    def classifiers(self) -> Path:
        return self.directory / "classifiers"

    @property
    def fields(self) -> list[str]:
        """Fields of a profile."""
        with (self.directory / "profiles.jsonl").open() as lines:
            return sorted(json.loads(next(lines)))

    def profiles(self, count: int) -> list[dict[str, str]]:
        """Return users' profiles."""
        with (self.directory / "profiles.jsonl").open() as lines:
            return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]

    def write(self) -> None:
        """Write the files, unless they are there."""
        stamp = self.directory / "made-from"
        made_from = f"{self.size} {self.changed} {self.versions} {ROOT}"
        if not (stamp.exists() and stamp.read_text() == made_from):
            say(f"writing {self.campaigns:,} classifiers")
            shutil.rmtree(self.directory, ignore_errors=True)
            changes = ("-changed", self.changed, "-versions", self.versions)
            driver("fleet", *self.size, "-dir", self.directory, *changes)
            stamp.write_text(made_from)

    def linked(self) -> Path:
        """Return a directory with links to the classifiers, made anew, in which files can be replaced and removed."""
        directory = self.directory / "serving"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for path in self.classifiers.iterdir():
            (directory / path.name).hardlink_to(path)
        return directory
