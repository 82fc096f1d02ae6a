"""What a run shows while it measures: a bar with the time left on a terminal, a line a measurement elsewhere."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from bench.report import progress as console
from bench.report import say


def clock(seconds: float) -> str:
    """Minutes and seconds, hours where there are any."""
    minutes, s = divmod(max(round(seconds), 0), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def busy(lags_ms: Sequence[float], *, bearable_ms: float) -> str:
    """A warning where the generator itself could not keep its times: then the machine was measured, not the setting."""
    lag = statistics.median(lags_ms)
    if lag <= bearable_ms:
        return ""
    return (
        f" Beware: the load generator was itself late, by {lag:.1f} ms in its own p99. Something else keeps this "
        "machine busy, or the loads are too high for both on it; the figures are worth little."
    )


class Left(ProgressColumn):
    """The time to the end as planned: completed and total are seconds, so no speed has to be guessed."""

    def render(self, task: Task) -> Text:
        return Text(f"{clock((task.total or 0) - task.completed)} left", style="progress.remaining")


class Display:
    """The progress of one run, on stderr."""

    def __init__(self, title: str) -> None:
        self._bar = Progress(
            TextColumn("[bold]{task.fields[title]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            Left(),
            TextColumn("[dim]{task.description}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", title=title, total=None)

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def plan(self, total_s: float) -> None:
        """The length of the run, in seconds, what is done included."""
        self._bar.update(self._task, total=total_s)

    def at(self, used_s: float, doing: str) -> None:
        """How far the run is, and what it does now."""
        self._bar.update(self._task, completed=used_s, description=doing)

    def line(self, text: str) -> None:
        """A result that is worth a line where there is no bar."""
        if self._bar.disable:
            console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {text}", highlight=False, soft_wrap=True)


__all__ = ["Display", "busy", "clock", "say"]
