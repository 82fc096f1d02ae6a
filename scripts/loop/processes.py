"""Child processes of the loop: started in an order, watched, stopped in the reverse order."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx


class LoopError(Exception):
    """The loop cannot continue. The message says what happened, where the log is, and what to do."""


class Interrupted(LoopError):
    """Ctrl-C or SIGTERM came before any traffic, so there is no report."""


@dataclass
class Interrupts:
    """Ctrl-C and SIGTERM: the first asks the run to end, a second raises KeyboardInterrupt."""

    stopping: str  # what is said at the first, once `offering` is set
    say: Callable[[str], None]
    offering: bool = False  # there is traffic, so a report makes sense
    came: bool = field(default=False, init=False)

    def asked(self) -> bool:
        """Whether the run was asked to end."""
        return self.came

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals within the block."""

        def interrupt(*_: object) -> None:
            if self.came:
                raise KeyboardInterrupt
            self.came = True
            if self.offering:
                self.say(self.stopping)

        old = {s: signal.signal(s, interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


@dataclass
class Child:
    """A running process of the loop, with its own process group and log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def died(self) -> str | None:
        """Why the process ended, which ends the loop; None while it runs."""
        status = self.process.poll()
        if status is None:
            return None
        return f"{self.name} ended with status {status}; its last lines ({self.log}):\n{tail(self.log)}"

    def stop(self, *, wait_s: float) -> int:
        """Send SIGTERM, wait, and kill the process if it does not end. Return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=wait_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise LoopError(
                f"{self.name} did not end within {wait_s:.0f} s of SIGTERM and was killed ({self.log})"
            ) from None


START_UP_ENDS_S = 3.0  # before the traffic, an interrupted process has nothing to save


@contextmanager
def stopped_at_the_end(wait_s: float, say: Callable[[str], None]) -> Iterator[list[Child]]:
    """Give a list for the children of a run, and stop them in reverse order when the block ends, however it does.

    Each has `wait_s` to end, and START_UP_ENDS_S if the block raises Interrupted. One that has to be killed does not
    keep the others from being stopped.
    """
    children: list[Child] = []
    try:
        yield children
    except Interrupted:
        wait_s = START_UP_ENDS_S
        raise
    finally:
        for child in reversed(children):
            try:
                child.stop(wait_s=wait_s)
            except LoopError as error:
                if wait_s != START_UP_ENDS_S:
                    say(str(error))


def start(name: str, command: Sequence[str | Path], *, log: Path, stdout: Path | None = None) -> Child:
    """Start a process in a group of its own, so that Ctrl-C reaches only the loop, which then stops it in order.

    All processes stay in one session. Linux' autogroups share the cores evenly between sessions, so in another session
    pytrain's low priority would not help the bidder. If the loop itself is killed, the kernel sends the child SIGTERM
    (setpriv's parent-death signal).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    err: IO[bytes] = log.open("wb")
    out: IO[bytes] = stdout.open("wb") if stdout else err
    try:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            process_group=0,
        )
    finally:
        err.close()
        if stdout:
            out.close()
    return Child(name=name, process=process, log=log)


def wait_ready(child: Child, url: str, *, timeout_s: float, interrupted: Callable[[], bool]) -> None:
    """Wait until `url` answers 200; fail at once if the child ends first.

    Raises
    ------
    Interrupted
        `interrupted` returned true.
    LoopError
        The child ended, or the time is over.
    """
    deadline = time.monotonic() + timeout_s
    last = "no answer"
    while time.monotonic() < deadline:
        if interrupted():
            raise Interrupted("stopped before the traffic began")
        if reason := child.died():
            raise LoopError(reason)
        try:
            response = httpx.get(url, timeout=1.0)
            if response.status_code == 200:
                return
            last = f"{response.status_code} {response.text.strip()}"
        except httpx.TransportError as error:
            last = str(error)
        time.sleep(0.1)  # polls, since the process cannot signal that it is ready
    raise LoopError(f"{child.name} was not ready within {timeout_s:.0f} s ({url}: {last}); its log: {child.log}")


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, indented."""
    try:
        text = path.read_text(errors="replace").splitlines()[-lines:]
    except OSError as error:
        return f"  (no log: {error})"
    return "\n".join(f"  {line}" for line in text)
