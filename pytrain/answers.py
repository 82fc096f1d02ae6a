"""Reserve stdout for the protocol, so that nothing else in the process can print to it."""

from __future__ import annotations

import os
import sys

from pytrain.errors import StreamError


class Answers:
    """The process's stdout, for answers only.

    The constructor duplicates file descriptor 1 and then points it at stderr. So text that Python or a C++ library
    prints goes to the log. Construct it before TensorFlow is imported.
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
            The reader has closed the pipe.
        """
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as e:
            raise StreamError(
                f"cannot be written: {e.strerror}", where="stdout", remedy="keep it open until the process has ended"
            ) from e
