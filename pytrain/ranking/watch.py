"""Wait until data sets change: inotify on the directory and on each campaign's directory, through the C library.

What inotify lost (its queue is bounded) or never saw (a network file system) is found by a round each minute.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from typing import TYPE_CHECKING, Self

from pytrain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import FrameType

RESCAN_S = 60.0
_MOVED_TO, _MOVED_FROM, _CREATE, _DELETE, _CLOSE_WRITE = 0x80, 0x40, 0x100, 0x200, 0x8
_WATCHED = _MOVED_TO | _MOVED_FROM | _CREATE | _DELETE | _CLOSE_WRITE
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC


class Stop:
    """Turns SIGTERM and Ctrl-C into a flag, and wakes whoever waits on `fd`. Used as a context."""

    def __init__(self) -> None:
        self.requested = False
        self.fd, self._write = os.pipe2(_NONBLOCK | _CLOEXEC)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal returned
        os.close(self.fd)
        os.close(self._write)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        os.write(self._write, b"x")


class Watcher:
    """An inotify instance. The root is watched from the beginning, the directories below it from `follow` on."""

    def __init__(self, root: Path) -> None:
        """Watch the root.

        Raises
        ------
        ConfigError
            The kernel refuses: no such directory, or too many instances.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(_NONBLOCK | _CLOEXEC)
        if self._fd < 0:
            raise _refused(root, ctypes.get_errno())
        self._watched: set[int] = set()
        self.refused = 0  # directories that the kernel refused to watch, when `follow` was called last
        if self._add(root) < 0:
            number = ctypes.get_errno()
            os.close(self._fd)
            raise _refused(root, number)

    def close(self) -> None:
        """End all watches."""
        os.close(self._fd)

    def follow(self, directories: Iterable[Path]) -> bool:
        """Watch these directories too. Return whether one was new, whose files may have come before its watch.

        A directory that is watched already keeps its watch; one that was removed and made again gets another.
        """
        found = [self._add(path) for path in directories]
        self.refused = found.count(-1)
        new = set(found) - self._watched - {-1}
        self._watched = set(found)
        return bool(new)

    def _add(self, path: Path) -> int:
        return int(self._libc.inotify_add_watch(self._fd, os.fsencode(path), _WATCHED))

    def wait(self, stop: Stop) -> None:
        """Return when something changed, a stop is requested, or a minute has passed."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(stop.fd, select.POLLIN)
        poll.poll(RESCAN_S * 1000)
        while True:  # drain: one round answers all events until now
            try:
                if not os.read(self._fd, 1 << 16):
                    return
            except BlockingIOError:
                return


def _refused(path: Path, number: int) -> ConfigError:
    return ConfigError(
        f"cannot be watched: {os.strerror(number)}",
        where=str(path),
        remedy="check that it exists, and fs.inotify.max_user_instances",
    )
