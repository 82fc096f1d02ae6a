"""How the command of a loop ends: its last line of stdout, and its exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from scripts.loop.processes import Interrupted, LoopError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.loop.report import Result


def conclude(run: Callable[[], Result], say: Callable[[str], None]) -> None:
    """Run a loop, and print its result as one JSON line; notes and faults go to `say`.

    Raises
    ------
    typer.Exit
        Status 1: the loop failed, or its result has faults. Status 130: Ctrl-C came before there was a result.
    """
    try:
        result = run()
    except Interrupted as error:
        say(str(error))
        raise typer.Exit(130) from None
    except LoopError as error:
        say(str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        say("given up")
        raise typer.Exit(130) from None
    for note in result.notes:
        say(note)
    print(json.dumps(result.as_json()), flush=True)
    for fault in result.faults:
        say(fault)
    if result.faults:
        raise typer.Exit(1)
