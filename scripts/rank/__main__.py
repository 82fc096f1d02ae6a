#!/usr/bin/env python3
"""`python -m scripts.rank`: see `scripts.rank.command`."""

from __future__ import annotations

import signal


def run() -> None:
    """Load the command, which takes a second or two, and run it. Ctrl-C while it loads prints no traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from scripts.rank.command import app  # noqa: PLC0415 - after SIGINT is reset, so that Ctrl-C ends it

    app()


if __name__ == "__main__":
    run()
