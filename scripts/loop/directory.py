"""A run's directory and ports: locked against other runs, emptied, checked."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from scripts.loop.processes import LoopError


def lock(directory: Path) -> IO[bytes]:
    """Lock a run's directory until the result is closed, or this process ends.

    Raises
    ------
    LoopError
        Another run is under way there.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    path = directory.with_name(f"{directory.name}.lock")
    found = path.open("a+b")
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found.seek(0)
        owner = found.read().decode(errors="replace").strip()
        found.close()
        raise LoopError(
            f"{directory} is in use by another run (process {owner}); end that one, or name another place "
            "with --directory"
        ) from None
    found.truncate(0)
    found.write(f"{os.getpid()}\n".encode())
    found.flush()
    return found


def prepare(directory: Path, *, keep: bool) -> bool:
    """Make the directory with its `logs`, empty unless `keep`; return whether an earlier run was removed.

    The caller holds the lock.
    """
    removed = directory.exists() and not keep
    if removed:
        shutil.rmtree(directory)
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    return removed


def free_ports(n: int) -> list[int]:
    """So many free ports of loopback."""
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def check_ports(ports: Mapping[str, int]) -> None:
    """Raise an error that names the first port in use, by what it is for."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise LoopError(
                    f"port {port} ({name}) is taken, perhaps by another run; end that one or pass --free-ports"
                ) from None
