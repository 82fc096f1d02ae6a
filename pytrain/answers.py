"""Keeps stdout for the protocol: nothing else in the process can print into it."""

from __future__ import annotations

import os
import sys

from pytrain.errors import StreamError


class Answers:
    """The process's stdout, taken away from everyone else.

    Making one moves file descriptor 1 aside and points it at stderr, so that a stray print, of Python or of a C++
    library, ends in the log. Make it before TensorFlow is imported.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def write(self, data: bytes) -> None:
        """Write one whole answer.

        Raises
        ------
        StreamError
            Nobody reads any more.
        """
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as e:
            raise StreamError(
                f"cannot be written: {e.strerror}", where="stdout", remedy="keep it open until the process has ended"
            ) from e
