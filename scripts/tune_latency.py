#!/usr/bin/env python3
"""Find the auction.tmax_margin with few late answers and no bid given up without need, on this machine.

    .venv/bin/python scripts/tune_latency.py --quick
    .venv/bin/python scripts/tune_latency.py --config bidder.yaml --bodies requests.jsonl --network-ms 12
    .venv/bin/python scripts/tune_latency.py verify --settings var/tune/latency/latest/settings.yaml

Exit status: 0 recommended and verified, 1 the verification missed the target, 2 something to mend first, 3 no margin
meets the target, 130 stopped (run it again to go on). The last line of stdout is one JSON object. docs/tuning.md shows
how to read the results; scripts/tuning/search.py tells the search.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.tuning import cli, latency

QUICK_MS, EXTRA_MS = (3, 8, 15), (2, 5, 10, 15, 20, 30)  # margins to sweep, besides the network's delay


def main() -> int:
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--late-share", type=float, help="answers that may be late, of all (1e-4)")
    parser.add_argument("--network-ms", type=float, help="to the exchange and back, added to what is measured (0)")
    parser.add_argument("--tmax", default="", help="deadlines of the requests in ms, mixed (50,75,100,150)")
    parser.add_argument("--margins", default="", help="to sweep, in ms (2 to 30 beyond the network's delay)")
    options = parser.parse_args()

    def run() -> int:
        common = cli.common(options)
        given = {
            "late_share": options.late_share,
            "network_ms": options.network_ms,
            "tmax_ms": [int(tmax) for tmax in cli.numbers(options.tmax, "--tmax", least=10)] or None,
        }
        if options.verb == "verify":
            return latency.run_verify(options.settings, given, common)
        asked = latency.Deadlines.of(given)
        extra = QUICK_MS if options.quick else EXTRA_MS
        margins = cli.numbers(options.margins, "--margins", least=1) or [asked.network_ms + ms for ms in extra]
        return latency.run(asked, margins, common)

    return cli.guarded(run)


if __name__ == "__main__":
    sys.exit(main())
