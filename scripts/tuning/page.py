"""A report as one HTML page that loads nothing: the picture as a data URI, a table that sorts, the settings to copy."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light; --ink: #222; --soft: #666; --line: #ddd; --good: #00794f; --bad: #c1272d }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 2rem auto; max-width: 78rem;
  padding: 0 1.2rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p.sub { color: var(--soft); margin: .2rem 0 1.2rem }
.verdict { font-size: 1.1rem; border-left: 4px solid; padding: .4rem .9rem }
.good { border-color: var(--good) } .bad { border-color: var(--bad) }
img { max-width: 100% } pre { background: #f6f6f4; padding: .8rem 1rem; overflow-x: auto }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100% }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left }
th { cursor: pointer; vertical-align: bottom; position: sticky; top: 0; background: #fff }
th[aria-sort=ascending]::after { content: " ▲" } th[aria-sort=descending]::after { content: " ▼" }
tr.pick td { background: #eaf5ef; font-weight: 600 } tr.now td { background: #f2f2f2 }
"""
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, at) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(h => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = row => {
        const cell = row.cells[at], number = parseFloat(cell.dataset.value);
        return isNaN(number) ? cell.textContent : number;
      };
      const order = (a, b) => {
        const x = value(a), y = value(b);
        return typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1;
      };
      body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
    };
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); sort() } });
  });
}
"""


@dataclass(frozen=True)
class Cell:
    """A cell of the table: its text, and what it is sorted by."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Row:
    cells: Sequence[Cell]
    mark: str = ""  # `pick` or `now`


@dataclass(frozen=True)
class Page:
    """What a report says, from top to bottom."""

    title: str
    verdict: str
    good: bool
    notes: Sequence[str]
    picture: bytes
    picture_says: str
    columns: Sequence[str]
    rows: Sequence[Row]
    settings: str = ""  # YAML to copy; none if there is none
    facts: Sequence[str] = field(default_factory=tuple)  # what it was measured on

    def write(self, path: Path) -> None:
        path.write_text(self.html(), encoding="utf-8")

    def html(self) -> str:
        image = base64.b64encode(self.picture).decode()
        head = "".join(f'<th scope="col">{escape(c)}</th>' for c in self.columns)
        body = "".join(
            f'<tr class="{row.mark}">' + "".join(cell_html(cell) for cell in row.cells) + "</tr>\n" for row in self.rows
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        settings = f"<h2>Settings</h2><pre>{escape(self.settings)}</pre>" if self.settings else ""
        facts = "".join(f"<li>{escape(fact)}</li>" for fact in self.facts)
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(self.title)}</title><style>{STYLE}</style></head><body>
<h1>{escape(self.title)}</h1><p class="sub">{time.strftime("%Y-%m-%d %H:%M")}</p>
<p class="verdict {"good" if self.good else "bad"}">{escape(self.verdict)}</p>
{notes}
<img src="data:image/png;base64,{image}" alt="{escape(self.picture_says)}">
{settings}
<h2>All that was measured</h2><p class="sub">A click on a heading sorts.</p>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>
{body}</tbody></table></div>
<h2>Measured on</h2><ul>{facts}</ul>
<script>{SCRIPT}</script></body></html>
"""


def cell_html(cell: Cell) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value:.9g}"'
    return f"<td{value}>{escape(cell.text)}</td>"
