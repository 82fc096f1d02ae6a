"""docs/plans.md: its tables and plots, from the raw measurements of a run. `python -m bench.plans.page [JSON…]`.

Several files are runs of different parts.
A generated part stands between <!-- NAME:begin --> and <!-- NAME:end -->; the rest is written by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.generated import fill
from bench.plans import caches, off, plots, served
from bench.plans.keys import KEYS, noted
from bench.report import median, number
from scripts.loop.settings import ROOT

PAGE = ROOT / "docs/plans.md"
PEERS = ("Gavel", "scikit-learn", "onnxruntime", "MLServer")


def main() -> None:
    sources = [Path(name) for name in sys.argv[1:]] or [ROOT / "var/bench/plans.json"]
    document = _merged([json.loads(source.read_text()) for source in sources])
    plots.draw(document["raw"])
    fill(PAGE, parts(document))


def parts(document: dict[str, Any]) -> dict[str, Sequence[str]]:
    """Return the lines of each generated part."""
    raw = document["raw"]
    return {
        "short": _short(raw),
        "caches": _caches(raw),
        "figures": [*_figures(document), *_details(raw)],
        "machine": [_machine(document)],
    }


def _merged(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return runs of different parts as one: of a part, and of a figure, the last one stands."""
    whole: dict[str, Any] = {"raw": {}, "reasons": {}}
    for document in documents:
        whole |= {name: document[name] for name in ("machine", "command")}
        whole["raw"] |= document["raw"]
        for name in KEYS:
            if document[name] is not None or name not in whole:
                whole[name] = document[name]
                whole["reasons"][name] = document["reasons"].get(name)
    return whole


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table; the first column is text, the others are figures."""
    rule = "|---|" + "--:|" * (len(columns) - 1)
    return [f"| {' | '.join(columns)} |", rule, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _short(raw: dict[str, Any]) -> list[str]:
    """Return the table that tells the story: a line a question, a column a side."""
    rows = []
    for fleet in ("text", "tabular"):
        loads = raw.get("memory", {}).get(fleet, {})
        if loads:
            cells = {s: _of_all(f["called"]["pss_kb"] / 1024, f) for s, f in loads.items() if s in PEERS}
            rows.append([f"{fleet}: memory of 250 models, MB", *_cells(cells)])
            cells = {s: _of_all(f["seconds"], f) for s, f in loads.items() if s in PEERS}
            rows.append([f"{fleet}: loading them, s", *_cells(cells)])
        for how, title in (("one", "one row"), ("many", "batches of 1,000")):
            sides = raw.get(f"rows {fleet}", {}).get(how, {})
            cells = {s: _short_number(median([r["row_us"] for r in rounds])) for s, rounds in sides.items() if rounds}
            rows.append([f"{fleet}: {title}, µs a row", *_cells(cells)])
        measured = raw.get("http", {}).get("fleets", {}).get(fleet, {})
        for size in served.ROWS if measured else ():
            one = {s: served.of(measured, s, size, served.CONNECTIONS[0]) for s in served.sides_of(measured)}
            cells = {s: _percentiles(rounds) for s, rounds in one.items()}
            title = "one row" if size == 1 else f"{size} rows"
            rows.append([f"{fleet} over HTTP: {title}, p50 / p99 µs", *_cells(cells)])
            if size == 1:
                continue
            several = {s: served.of(measured, s, size, served.CONNECTIONS[-1]) for s in one}
            cells = {s: f"{median([r['rows_per_second'] for r in of]):,.0f}" for s, of in several.items()}
            rows.append([f"{fleet} over HTTP: {title} a request, rows/s", *_cells(cells)])
    rows += _answers(raw)
    shown = [i for i in range(len(PEERS)) if any(row[i + 1] != "–" for row in rows)]
    return _table(["", *(PEERS[i] for i in shown)], [[row[0], *(row[i + 1] for i in shown)] for row in rows])


def _cells(by_side: dict[str, str]) -> list[str]:
    return [by_side.get(side, "–") for side in PEERS]


def _of_all(value: float, f: dict[str, Any]) -> str:
    """Write a value of 250 models; that of fewer with their number."""
    shown = _short_number(value)
    return shown if f["models"] == 250 else f"{shown} ({f['models']} models)"


def _percentiles(rounds: list[dict[str, Any]]) -> str:
    return " / ".join(_short_number(median([r[key] for r in rounds])) for key in ("p50_us", "p99_us"))


def _short_number(value: float) -> str:
    """Write three digits; whole numbers from 100 on."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _answers(raw: dict[str, Any]) -> list[list[str]]:
    """Return the lines of answers that differ from scikit-learn's."""
    ours = raw.get("correct")
    rows = []
    for fleet, f in raw.get("onnx", {}).items():
        cells = {"onnxruntime": f"{f.get('rows_beyond', 0):,} of {f.get('rows', 0):,}", "scikit-learn": "0"}
        if ours:
            cells["Gavel"] = f"{ours['beyond']:,} of {ours['rows']:,}, both"
        rows.append([f"{fleet}: answers beyond 1e-6 of scikit-learn's", *_cells(cells)])
    return rows


def _caches(raw: dict[str, Any]) -> list[str]:
    found = raw.get("caches")
    if not found:
        return []
    note = (
        f"Each call asks one row of a random model of the line. There are {caches.DIFFERENT:,} different rows; the k-th"
        " is asked in proportion to 1/k^exponent. A cell has the share of hits, and the time by that without a cache."
        f" A cache has {caches.BYTES >> 20} MiB, so that it fills."
    )
    return [*_table(caches.columns(found), caches.lines(found)), note]


def _figures(document: dict[str, Any]) -> list[str]:
    """Return the table of keys; a figure that misses what is wanted is bold."""
    rows = []
    for name, key in KEYS.items():
        value = document[name]
        wanted = f"{'≥' if key.least else '≤'} {number(key.want)}" + (f" ({number(key.aim)})" if key.aim else "")
        if value is None:
            shown = f"– ({document['reasons'][name]})"
        else:
            met = value >= key.want if key.least else value <= key.want
            shown = number(value) if met else f"**{number(value)}**"
        rows.append([f"`{name}`: {noted(key, document.get('notes', {}).get(name))}", shown, wanted])
    return ["### Every figure", "", *_table(["figure", "measured", "wanted (aim)"], rows)]


def _details(raw: dict[str, Any]) -> Iterator[str]:
    if "memory" in raw:
        yield from _memory(raw["memory"])
    if "onnx" in raw:
        yield from _onnx(raw["onnx"])
    if "http" in raw:
        yield from _http(raw["http"])
    if "off" in raw:
        yield from _off(raw)
    yield from _load(raw)


def _memory(found: dict[str, Any]) -> Iterator[str]:
    yield from ["### Loading, and first calls", "", "MB are PSS after each model was called once; times are µs.", ""]
    columns = ["", "models", "load s", "MB", "first call p50", "p99", "worst", "later p99"]
    rows = []
    for fleet, sides in found.items():
        for side, f in sides.items():
            if "error" not in f:
                cold, hot = f["cold"], f["hot"]
                figures = [f["seconds"], f["called"]["pss_kb"] / 1024, cold["p50_us"], cold["p99_us"], cold["worst_us"]]
                rows.append([f"{fleet}: {side}", str(f["models"]), *map(number, [*figures, hot["p99_us"]])])
    yield from _table(columns, rows)


def _onnx(found: dict[str, Any]) -> Iterator[str]:
    yield from ["### What skl2onnx converts", ""]
    for fleet, f in found.items():
        line = f"{fleet.capitalize()}: {f['converted']} of {f['of']} are converted."
        if f.get("helped"):
            line += f" {sum(f['helped'].values())} of these only without the imputers of missing texts: rows have none."
        if f.get("misshapen"):
            line += (
                f" {f['misshapen']} of them answer another number of values than the pipeline, and are not compared."
            )
        if f["converted"]:
            far = f" {f['rows_far']:,} by more than 1e-3," if "rows_far" in f else ""
            line += (
                f" {f['models_beyond']} of these answer otherwise than scikit-learn for some row:"
                f" {f['rows_beyond']:,} of {f['rows']:,} answers differ by more than 1e-6,{far}"
                f" at most by {number(f['worst'])}."
            )
        yield from [line, ""]
        if f["refused"] or f.get("helped"):
            told = [*f["refused"].items(), *((f"{reason} (then without)", n) for reason, n in f["helped"].items())]
            rows = [[reason.replace("|", "\\|").replace("<", "&lt;"), str(count)] for reason, count in told]
            yield from _table(["refused because", "models"], rows)


def _http(found: dict[str, Any]) -> Iterator[str]:
    yield from ["### Over HTTP", ""]
    for server, told in found["servers"].items():
        if "error" in told:
            yield from [f"{server} did not run: {told['error']}", ""]
            continue
        models = ", ".join(f"{f['models']} of {f['of']} {fleet}" for fleet, f in told.items() if fleet != "memory_mb")
        yield from [f"{server} held {models} models in {told['memory_mb']:,.0f} MB (resident).", ""]
    columns = ["rows a request", "p50 µs", "p99", f"rows a second, {served.CONNECTIONS[-1]} connections", "refused"]
    rows = [
        [f"{fleet}: {line[0]}", *line[1:]]
        for fleet, measured in found["fleets"].items()
        for line in served.summary(measured)
    ]
    yield from _table(columns, rows)


def _off(raw: dict[str, Any]) -> Iterator[str]:
    yield from ["### One means switched off", ""]
    columns = ["", "models", "µs a row", "×", "half of the pairs"]
    for fleet, variants in raw["off"].items():
        rows = [
            [
                v["name"], f"{v['models']} of {v['of']}", number(v["row_us"]), f"{v['ratio']:.3f}", off.spread(v),
            ]
            for v in variants
            if v["models"]
        ]  # fmt: skip
        idle = [v["name"].removeprefix("without ") for v in variants if not v["models"]]
        yield from [f"{fleet.capitalize()}, one row:", "", *_table(columns, rows)]
        if idle:
            yield from [f"No model of these is compiled otherwise without {', '.join(idle)}.", ""]
    rows = []
    for fleet, sides in raw.get("cold", {}).items():
        rows += [[f"{fleet}: {name}", number(c["p50_us"]), number(c["p99_us"])] for name, c in sides.items()]
    yield from _table(["first calls, the objects", "p50 µs", "p99"], rows)
    rows = [[name, number(r["row_us"]), f"{r['ratio']:.2f}"] for name, r in raw.get("results", {}).items()]
    yield from _table(["one text to all models, a call each; results of stages", "µs a row", "×"], rows)


def _load(raw: dict[str, Any]) -> Iterator[str]:
    rates = {name.split()[1]: of for name, of in raw.items() if name.startswith("throughput ")}
    if rates:
        yield from ["### Rows a second, batches of 1,000", ""]
        rows = [
            [f"{fleet}: {side}", f"{of[f'{side} 1']:,.0f}", f"{of[f'{side} 2']:,.0f}"]
            for fleet, of in rates.items()
            for side in ("Gavel", "scikit-learn")
        ]
        yield from _table(["", "one core", "two cores"], rows)
    heavy = {name.split()[1]: of for name, of in raw.items() if name.startswith("heavy ")}
    if heavy:
        yield from ["### Heavy load", "", "Times are µs, mean and p99. 100 % is what one core and a half could do.", ""]
    for fleet, ways in heavy.items():
        rows = []
        for share, shared in ways["shared"].items():
            reserved = ways["reserved"][share]
            cells = [_mean(r, kind) for r in (shared, reserved) for kind in ("single", "probe")]
            refused = f"{shared['shed']}, {reserved['shed']}"
            rows.append([f"{fleet}, {float(share):.0%}", f"{shared['rows_per_second']:,.0f}", *cells, refused])
        columns = ["", "rows/s", "single rows", "probe", "with a reservation: single rows", "probe", "refused"]
        yield from _table(columns, rows)


def _mean(r: dict[str, Any], kind: str) -> str:
    return f"{r[f'{kind}_mean_us']:,.0f}, {r[kind]['p99_us']:,.0f}" if kind in r else "–"


def _machine(document: dict[str, Any]) -> str:
    m = document["machine"]
    versions = f"Go {m['go']}, Python {m['python']}, TensorFlow {m['tensorflow']}"
    machine = f"{m['cores']} cores of an {m['cpu']}, Linux {m['kernel']}"
    return f"Machine: {machine}; {versions}. Command: `{document['command']}`."


if __name__ == "__main__":
    main()
