"""CPU and memory of all descendants of this process, from /proc, because servers start workers, daemons and proxies.

This process becomes a subreaper: it adopts a daemon whose parent has ended, so the daemon is still counted. One server
runs at a time. So all descendants of this process, except the generator and the probe, belong to the server.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Process:
    """A line of /proc/PID/stat."""

    pid: int
    parent: int
    state: str
    ticks: int  # CPU: its own, and that of its ended children

    @staticmethod
    def parse(stat: str) -> Process:
        """Parse /proc/PID/stat. A program's name may contain blanks and parentheses."""
        pid, rest = stat.split(" ", 1)
        fields = rest.rsplit(")", 1)[1].split()
        return Process(int(pid), int(fields[1]), fields[0], sum(map(int, fields[11:15])))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def processes() -> list[Process]:
    """Return all processes."""
    found = []
    for path in PROC.glob("[0-9]*/stat"):
        try:
            found.append(Process.parse(path.read_text()))
        except OSError:  # it has ended
            continue
    return found


def below(root: int, table: Collection[Process], *, without: Collection[int] = ()) -> list[Process]:
    """Return the descendants of a process, except those left out and their descendants."""
    children: dict[int, list[Process]] = {}
    for process in table:
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    todo = [root]
    while todo:
        for child in children.get(todo.pop(), []):
            if child.pid not in without:
                found.append(child)
                todo.append(child.pid)
    return found


def members(*, without: Collection[int] = ()) -> list[Process]:
    """Return all descendants of this process."""
    return below(os.getpid(), processes(), without=without)


def cpu_s(*, without: Collection[int] = ()) -> float:
    """Return the seconds of CPU that the descendants of this process have used."""
    return sum(process.ticks for process in members(without=without)) / TICK


def process_cpu_s(pid: int) -> float:
    """Return the seconds of CPU that one process has used; 0 if it has ended."""
    try:
        return Process.parse((PROC / str(pid) / "stat").read_text()).ticks / TICK
    except OSError:
        return 0.0


def memory_mib(*, without: Collection[int] = ()) -> float:
    """Return the memory of the descendants of this process. Shared pages count once (PSS)."""
    total = 0
    for process in members(without=without):
        try:
            text = (PROC / str(process.pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        if found := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE):
            total += int(found.group(1))
    return total / 1024


def machine_cpu_s() -> float:
    """Return the seconds of CPU that all processes of the machine have used."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, (PROC / "stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def end_all(*, wait_s: float, awaited: Collection[int] = ()) -> None:
    """End every descendant of this process: SIGTERM first, SIGKILL after wait_s. The caller reaps those in awaited."""
    for number, patience in ((signal.SIGTERM, wait_s), (signal.SIGKILL, 10.0)):
        for process in members():
            _signal(process.pid, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            alive = [process for process in members() if process.state != "Z"]
            if not alive:
                break
            time.sleep(0.05)  # one cannot wait for processes that are not children
    for process in members():  # this process must reap adopted children
        if process.state == "Z" and process.parent == os.getpid() and process.pid not in awaited:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                continue


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
