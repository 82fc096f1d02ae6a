"""docs/plans.md: its figures and plots, from the raw measurements of a run. `python -m bench.plans.page [JSON]`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from bench.plans.keys import KEYS
from bench.report import median, number
from scripts.loop.settings import ROOT

PAGE, PLOTS = ROOT / "docs/plans.md", ROOT / "bench/results/plans"
COLOURS = {"Gavel": "#1b7f5c", "scikit-learn": "#d08a2e", "onnxruntime": "#5b6fb5", "Gavel, no object store": "#8fc7b1"}


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "var/bench/plans.json"
    document = json.loads(source.read_text())
    PLOTS.mkdir(parents=True, exist_ok=True)
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "plans"
    raw = document["raw"]
    if "memory" in raw:
        _memory(raw["memory"])
    if "rows text" in raw and "rows tabular" in raw:
        _rows(raw)
    text = PAGE.read_text()
    figures = "\n".join([*_figures(document), "", *_details(raw), "", _machine(document)])
    text = re.sub(
        r"(?s)(<!-- figures:begin -->\n).*(<!-- figures:end -->)", lambda m: m[1] + figures + "\n" + m[2], text
    )
    PAGE.write_text(text)


def _figures(document: dict[str, Any]) -> list[str]:
    """Return the table of keys; a figure that misses what is wanted is bold."""
    lines = ["| figure | what | measured | wanted (aim) |", "|---|---|---|---|"]
    for name, key in KEYS.items():
        value = document[name]
        wanted = f"{'≥' if key.least else '≤'} {number(key.want)}" + (f" ({number(key.aim)})" if key.aim else "")
        if value is None:
            shown = f"– ({document['reasons'][name]})"
        else:
            met = value >= key.want if key.least else value <= key.want
            shown = number(value) if met else f"**{number(value)}**"
        lines.append(f"| `{name}` | {key.what} | {shown} | {wanted} |")
    return lines


def _details(raw: dict[str, Any]) -> list[str]:
    """Return the tables of memory, throughput, heavy load and what was switched off."""
    lines: list[str] = []
    for fleet, sides in raw.get("memory", {}).items():
        lines += [f"{fleet.capitalize()}, memory (PSS) and first calls:", ""]
        lines += ["| | models | load s | MB called | first call p50 µs | p99 | worst | later p99 |", "|" + "---|" * 8]
        for side, f in sides.items():
            if "error" not in f:
                cold, hot = f["cold"], f["hot"]
                figures = [f["seconds"], f["called"]["pss_kb"] / 1024, cold["p50_us"], cold["p99_us"], cold["worst_us"]]
                cells = [str(f["models"]), *map(number, [*figures, hot["p99_us"]])]
                lines.append(f"| {side} | {' | '.join(cells)} |")
        lines.append("")
    for name, rates in raw.items():
        if name.startswith("throughput "):
            sums = ", ".join(f"{side} core(s) {rate:,.0f}" for side, rate in rates.items())
            lines += [f"{name.split()[1].capitalize()}, rows a second in batches of 1,000: {sums}.", ""]
        if name.startswith("heavy "):
            lines += _heavy(name, rates)
        if "switched off" in name or "to all models" in name:
            lines += [f"{name.capitalize()}:", "", "| | µs a row | × |", "|---|---|---|"]
            lines += [f"| {side} | {number(us)} | {ratio:.2f} |" for side, (us, ratio) in rates.items()] + [""]
        if name == "cold":
            for fleet, sides in rates.items():
                first = ", ".join(f"{n}: p50 {c['p50_us']:.0f} µs, p99 {c['p99_us']:.0f}" for n, c in sides.items())
                lines += [f"{fleet.capitalize()}, first calls, {first}.", ""]
    return lines


def _heavy(name: str, found: dict[str, Any]) -> list[str]:
    lines = [f"{name.split()[1].capitalize()}, Zipf-distributed load (share of what a core and a half could do):", ""]
    lines += ["| | rows/s | single row: mean µs | p99 | probe: mean µs | p99 | refused |", "|" + "---|" * 7]
    for way, rounds in found.items():
        for share, r in rounds.items():
            single = [number(r["single_mean_us"]), number(r["single"]["p99_us"])] if "single" in r else ["–", "–"]
            probe = [number(r["probe_mean_us"]), number(r["probe"]["p99_us"])]
            cells = [f"{r['rows_per_second']:,.0f}", *single, *probe, str(r["shed"])]
            lines.append(f"| {way}, {float(share):.0%} | {' | '.join(cells)} |")
    return [*lines, ""]


def _machine(document: dict[str, Any]) -> str:
    m = document["machine"]
    versions = f"Go {m['go']}, Python {m['python']}, TensorFlow {m['tensorflow']}"
    machine = f"{m['cores']} cores of an {m['cpu']}, Linux {m['kernel']}"
    return f"Machine: {machine}; {versions}. Command: `{document['command']}`."


def _memory(found: dict[str, Any]) -> None:
    fig, axes = plt.subplots(1, len(found), figsize=(9, 2.6), layout="constrained")
    for axis, (fleet, sides) in zip(axes, found.items(), strict=True):
        shown = {s: f["called"]["pss_kb"] / 1024 * (250 / f["models"]) for s, f in sides.items() if "error" not in f}
        bars = axis.barh(list(shown), list(shown.values()), color=[COLOURS[s] for s in shown])
        axis.bar_label(bars, fmt="%.0f", padding=3)
        axis.set(title=f"{fleet}: MB of 250 models, each called once", xscale="log", xlim=(30, 3e4))
        axis.invert_yaxis()
    fig.savefig(PLOTS / "memory.svg", metadata={"Date": None})
    plt.close(fig)


def _rows(raw: dict[str, Any]) -> None:
    fig, axes = plt.subplots(2, 2, figsize=(9, 3.6), layout="constrained")
    for column, fleet in enumerate(("text", "tabular")):
        for row, (how, title) in enumerate((("one", "one row a call"), ("many", "1,000 rows a call"))):
            sides = {
                s: median([r["row_us"] for r in rounds]) for s, rounds in raw[f"rows {fleet}"][how].items() if rounds
            }
            axis = axes[row][column]
            bars = axis.barh(list(sides), list(sides.values()), color=[COLOURS[s] for s in sides])
            axis.bar_label(bars, fmt="%.3g", padding=3)
            limits = (min(sides.values()) / 2, max(sides.values()) * 6)
            axis.set(title=f"{fleet}, {title}: µs a row", xscale="log", xlim=limits)
            axis.invert_yaxis()
    fig.savefig(PLOTS / "rows.svg", metadata={"Date": None})
    plt.close(fig)


if __name__ == "__main__":
    main()
