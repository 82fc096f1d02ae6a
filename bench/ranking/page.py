"""docs/ranking.md: its tables and plots, from the raw measurements of a run. `python -m bench.ranking.page [JSON…]`.

Several files are runs of different parts; of a part and of a figure the last one stands. A generated part stands
between <!-- NAME:begin --> and <!-- NAME:end -->.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.generated import fill
from bench.ranking import plots, sweep
from bench.ranking.keys import KEYS
from bench.report import number
from scripts.loop.settings import ROOT

PAGE = ROOT / "docs/ranking.md"


def main() -> None:
    sources = [Path(name) for name in sys.argv[1:]] or [ROOT / "var/bench/ranking.json"]
    document = merged([json.loads(source.read_text()) for source in sources])
    fill(PAGE, parts(document))
    if "figures" in document["raw"]:
        plots.draw(document["raw"]["figures"])


def merged(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return runs of different parts as one."""
    whole: dict[str, Any] = {"raw": {}}
    for document in documents:
        whole["raw"] |= document["raw"]
        whole |= {name: value for name, value in document.items() if name != "raw" and value is not None}
    return whole


def parts(document: dict[str, Any]) -> dict[str, Sequence[str]]:
    """Return the lines of each generated part."""
    figures = document["raw"].get("figures")
    m = document["machine"]
    machine = f"{m['cores']} cores of an {m['cpu']}, Linux {m['kernel']}; Go {m['go']}, Python {m['python']}"
    return {
        "figures": [*_keys(document), "", f"Machine: {machine}."],
        "paper": list(_paper(figures)) if figures else ["(Not measured.)"],
    }


def _keys(document: dict[str, Any]) -> Iterator[str]:
    yield from ("| | measured | wanted (aim) |", "|---|---|---|")
    for name, key in KEYS.items():
        bound = "reported"
        if key.want or not key.least:
            bound = f"{'≥' if key.least else '≤'} {number(key.want)}"
        if key.aim is not None:
            bound += f" ({number(key.aim)})"
        value = document.get(name)
        yield f"| {key.what} (`{name}`) | {'–' if value is None else number(value)} | {bound} |"


def _paper(figures: dict[str, Any]) -> Iterator[str]:
    counts = figures["classifiers"]
    yield from ("ms for one user:", "")
    yield from (f"| classifiers | {' | '.join(f'{n:,}' for n in counts)} |", "|---" * (len(counts) + 1) + "|")
    for name, times in figures["sides"].items():
        yield f"| {name} | {' | '.join(map(number, times))} |"
    yield (
        f"| the paper's Python, {plots.PAPER_PYTHON_MS} ms each | "
        + " | ".join(number(plots.PAPER_PYTHON_MS * n) for n in counts)
        + " |"
    )
    workers, best = plots.PAPER_BEST
    cells = [number(best) if n == plots.PAPER_CLASSIFIERS else "" for n in counts]
    yield f"| the paper's C++ with {workers} workers and more | {' | '.join(cells)} |"
    yield from ("", f"{figures['workers'][0]['campaigns']:,} classifiers by so many workers:", "")
    yield from (
        "| | workers | ms | tasks a worker, median ± σ | tasks a batch | waits for locks, µs |",
        "|---|---|---|---|---|---|",
    )
    for w in figures["workers"]:
        middle, deviation = sweep.tasks(w)
        cells = [w["how"], str(w["workers"]), number(w["ms"]), f"{number(middle)} ± {number(deviation)}"]
        yield f"| {' | '.join(cells)} | {number(w['batch_tasks'])} | {number(w['lock_us'])} |"


if __name__ == "__main__":
    main()
