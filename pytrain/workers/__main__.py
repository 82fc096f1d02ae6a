"""`python -m pytrain.workers worker|preparer`: what the parent starts. Stdin and stdout are the protocol."""

from __future__ import annotations

import logging
import os
import signal
import sys

from pytrain.answers import Answers
from pytrain.errors import PytrainError

ROLES = ("worker", "preparer")
# Read by BLAS and OpenMP when scikit-learn loads them.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main(arguments: list[str]) -> int:
    """Serve until a stop frame or the end of stdin; return the exit status."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    log = logging.getLogger("pytrain.workers")
    if len(arguments) != 1 or arguments[0] not in ROLES:
        log.error("arguments %s: name one of %s", arguments, " and ".join(ROLES))
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's; it stops its processes in order
    os.environ.update(dict.fromkeys(THREADS, "1"))
    answers = Answers()  # before anything can print
    from pytrain.workers import preparer, worker  # noqa: PLC0415 - scikit-learn takes its time

    serve = worker.serve if arguments[0] == "worker" else preparer.serve
    try:
        serve(sys.stdin.buffer, answers)
    except PytrainError as e:
        log.error("%s", e)  # noqa: TRY400 - it is for people, with place and remedy
        return e.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
