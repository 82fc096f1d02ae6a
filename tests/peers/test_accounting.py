from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator

import pytest

from bench.peers import accounting
from bench.peers.accounting import Process

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes started by a test; everything below this process ends with it."""
    found: list[subprocess.Popen[str]] = []
    yield found
    accounting.end_all(wait_s=5)
    for process in found:
        process.communicate()


def python(source: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, text=True, process_group=0
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_names_with_blanks_and_parentheses_are_read() -> None:
    stat = "42 (a (b) c d) S 7 42 42 0 -1 4194560 9 8 7 6 100 20 3 4 20 0 9 0 77 0 0"
    assert Process.parse(stat) == Process(pid=42, parent=7, state="S", ticks=127)


def test_below_finds_the_tree_and_leaves_branches_out() -> None:
    table = [Process(pid, parent, "S", 0) for pid, parent in ((2, 1), (3, 2), (4, 3), (5, 2), (6, 5), (9, 8))]
    assert {p.pid for p in accounting.below(2, table)} == {3, 4, 5, 6}
    assert {p.pid for p in accounting.below(2, table, without=[5])} == {3, 4}
    assert accounting.below(4, table) == []


def test_workers_and_children_that_have_ended_are_counted(started: list[subprocess.Popen[str]]) -> None:
    before = accounting.cpu_s()
    process = python(f"""
        import subprocess, sys, time
        worker = subprocess.Popen([sys.executable, "-c", {(BURN.format(seconds=0.4) + "time.sleep(60)")!r}])
        subprocess.run([sys.executable, "-c", {BURN.format(seconds=0.3)!r}], check=True)
        print("ended", flush=True)
        time.sleep(60)
    """)
    started.append(process)
    assert said(process) == "ended"
    deadline = time.monotonic() + 30
    while accounting.cpu_s() - before < 0.7 and time.monotonic() < deadline:
        time.sleep(0.05)
    used = accounting.cpu_s() - before
    assert 0.7 <= used < 3  # interpreters take some to start
    assert accounting.cpu_s(without=[process.pid]) - before < 0.1


def test_daemons_come_back_and_are_counted_and_ended(started: list[subprocess.Popen[str]]) -> None:
    accounting.adopt_orphans()
    process = python("""
        import os, sys, time
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            print(os.getpid(), flush=True)
            time.sleep(60)
        os.wait()
    """)
    started.append(process)
    daemon = int(said(process))
    process.wait(timeout=30)
    assert daemon in {p.pid for p in accounting.members()}
    assert accounting.memory_mib() > 0
    accounting.end_all(wait_s=5)
    assert daemon not in {p.pid for p in accounting.members()}
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)


def test_what_ignores_sigterm_is_killed(started: list[subprocess.Popen[str]]) -> None:
    process = python("""
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        time.sleep(60)
    """)
    started.append(process)
    assert said(process) == "deaf"
    accounting.end_all(wait_s=0.2, awaited=[process.pid])
    assert process.wait(timeout=10) == -9
