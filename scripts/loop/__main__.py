#!/usr/bin/env python3
"""`python -m scripts.loop`: see `scripts.loop.command`."""

from __future__ import annotations

import signal


def run() -> None:
    """Load the command, which takes a second or two, and run it. Ctrl-C ends the loading without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from scripts.loop.command import app  # noqa: PLC0415 - only now may it be interrupted

    app()


if __name__ == "__main__":
    run()
