"""What can end a run.

TuneError           a person has to mend something first: exit status 2
└── Busy            another run is at work on the same plan
OutOfTime           the time given is used up: the run goes on to its report with what it has
"""

from __future__ import annotations

DONE, MISSED, BAD, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130  # exit statuses; MISSED: the verification did


class TuneError(Exception):
    """The run cannot go on; the message says why and what to do."""


class Busy(TuneError):
    """The journal is held by another run."""


class OutOfTime(Exception):
    """No new measurement may begin."""
