"""Parts of a page that are generated: each stands between <!-- NAME:begin --> and <!-- NAME:end -->."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path


def fill(page: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Write the lines of each part into the page. The rest of the page stays as it is.

    Raises
    ------
    SystemExit
        The page lacks a part; nothing is written.
    """
    text = page.read_text()
    for name, lines in parts.items():
        marks = rf"(?s)(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)"
        found = re.search(marks, text)
        if found is None:
            raise SystemExit(f"{page} has no part {name}")
        text = text[: found.end(1)] + "\n".join(lines).strip() + "\n" + text[found.start(2) :]
    page.write_text(text)
