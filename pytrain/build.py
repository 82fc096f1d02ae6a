"""The version and commit of this package, which `--version` prints as the Go binaries do."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def line() -> str:
    """Return the versions of pytrain, Python and TensorFlow, and the commit. TensorFlow is not imported."""
    version, commit = version_and_commit()
    tensorflow = importlib.metadata.version("tensorflow-cpu")
    return f"pytrain {version}, commit {commit}, Python {platform.python_version()}, TensorFlow {tensorflow}"


def version_and_commit() -> tuple[str, str]:
    """Read the file VERSION beside the package.

    In a distribution, its second line is the commit. In a checkout, git tells the commit. Otherwise it is "unknown".
    """
    file = ROOT / "VERSION"
    if not file.exists():  # installed as a package
        return importlib.metadata.version("gavel-pytrain"), "unknown"
    version, *commit = file.read_text().split()
    return version, commit[0] if commit else checked_out()


def checked_out() -> str:
    """Return the checkout's commit, with "-dirty" if there are uncommitted changes."""
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
