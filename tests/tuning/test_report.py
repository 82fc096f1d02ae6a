"""The picture and the page, of figures that are known."""

from __future__ import annotations

import math
import re

from scripts.tuning import plots
from scripts.tuning.choice import Target, choose
from scripts.tuning.margins import Cell, Counts
from scripts.tuning.page import Cell as PageCell
from scripts.tuning.page import Page, Row
from tests.tuning.paper import BASE, EAGER, OFF, WINDOW, standing

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = Page(
        title="Batcher <settings>",
        verdict="met & verified",
        good=True,
        notes=["a note"],
        picture=PNG,
        picture_says="a picture",
        columns=["setting", "p99"],
        rows=[Row([PageCell("a<b"), PageCell("1.5", 1.5)], "pick"), Row([PageCell("c"), PageCell("–", 1e300)])],
        settings="batcher:\n  policy: eager\n",
        facts=["a machine"],
    )
    html = page.html()
    assert "data:image/png;base64,iVBORw0KGgo=" in html
    assert "a&lt;b" in html
    assert 'data-value="1.5"' in html
    assert "met &amp; verified" in html
    assert not re.search(r"https?://|<link|src=\"(?!data:)|@import|url\(", html)


def test_the_front_is_drawn_whatever_was_measured() -> None:
    target = Target(slo_p99_ms=10, rates=[1000])
    standings = [
        standing(BASE, (5, 100), (6, 101)),
        standing(EAGER, (4, 130)),
        standing(WINDOW, (7, 80), (math.inf, 70)),
        standing(OFF, (math.inf, 50)),
    ]
    assert plots.front(standings, target, choose(standings, BASE, target), BASE).startswith(PNG)
    lossy = [standing(BASE, (math.inf, 100))]
    assert plots.front(lossy, target, choose(lossy, BASE, target), BASE).startswith(PNG)


def test_margins_are_drawn_whatever_was_measured() -> None:
    def cell(late: int) -> Cell:
        return Cell({1: Counts(1000, 900, late, 0)}, {1: Counts(1000, 950, 0, 0)})

    found = {m: {(r, t): cell(late) for r in (500.0, 900.0) for t in (50, 100)} for m, late in ((5.0, 9), (10.0, 0))}
    assert plots.margins(found, [500.0, 900.0], [50, 100], target=1e-3, chosen=10.0, now=15.0).startswith(PNG)
    assert plots.margins(found, [500.0], [50], target=1e-3, chosen=None, now=15.0).startswith(PNG)
