#!/usr/bin/env python3
"""Find the batcher's settings for a latency target with the least CPU, on this machine and with your model.

    .venv/bin/python scripts/tune_batch.py --quick
    .venv/bin/python scripts/tune_batch.py --config bidder.yaml --bodies requests.jsonl --slo-p99-ms 8
    .venv/bin/python scripts/tune_batch.py verify --settings var/tune/batch/latest/settings.yaml

Exit status: 0 recommended and verified, 1 the verification missed the target, 2 something to mend first, 3 no setting
meets the target, 130 stopped (run it again to go on). The last line of stdout is one JSON object. docs/tuning.md shows
how to read the results; scripts/tuning/search.py tells the search.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.tuning import batch, cli
from scripts.tuning.batch import IDLE, Grid
from scripts.tuning.config import TuneError, milliseconds

SLO_P99_MS = 10.0


def main() -> int:
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--slo-p99-ms", type=float, help="the p99 to meet (10; with verify, as the file says)")
    parser.add_argument("--policies", default=",".join(IDLE), help="to sweep (%(default)s)")
    parser.add_argument("--max-rows", default="32,128,512", help="to sweep (%(default)s)")
    parser.add_argument("--max-wait", default="1ms,2ms,4ms,8ms", help="to sweep (%(default)s)")
    parser.add_argument("--runners", default="", help="to sweep (1, 2, 4 … up to the cores)")
    options = parser.parse_args()

    def run() -> int:
        common = cli.common(options)
        if options.slo_p99_ms is not None and options.slo_p99_ms <= 0:
            raise TuneError("--slo-p99-ms must be above 0")
        if options.verb == "verify":
            return batch.run_verify(options.settings, options.slo_p99_ms, common)
        policies = options.policies.split(",")
        if unknown := set(policies) - set(IDLE):
            raise TuneError(f"--policies: {', '.join(unknown)} is none of {', '.join(IDLE)}")
        cores = [2**i for i in range((os.cpu_count() or 1).bit_length())]
        grid = Grid(
            policies=policies,
            max_rows=[int(n) for n in cli.numbers(options.max_rows, "--max-rows", least=1)],
            max_waits_ms=[milliseconds(text) for text in options.max_wait.split(",")],
            runners=[int(n) for n in cli.numbers(options.runners, "--runners", least=1)] or cores,
        )
        return batch.run(options.slo_p99_ms or SLO_P99_MS, grid, common)

    return cli.guarded(run)


if __name__ == "__main__":
    sys.exit(main())
