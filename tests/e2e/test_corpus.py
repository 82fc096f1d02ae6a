"""Captured bid requests, well-formed and not, through the real bidder over HTTP."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from scripts.loop.processes import Child
from scripts.loop.settings import Run
from tests.e2e.conftest import data_set


def corpus() -> list[dict[str, Any]]:
    path: Path = data_set("openrtb_corpus") / "requests.ndjson.gz"
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def well_formed(body: Any) -> bool:
    """A bid request by the specification's required attributes: id, and impressions with ids."""
    if not isinstance(body, dict) or not isinstance(body.get("id"), str) or not body["id"]:
        return False
    imps = body.get("imp")
    return isinstance(imps, list) and bool(imps) and all(isinstance(i, dict) and i.get("id") for i in imps)


def test_no_request_breaks_the_bidder(bidder: tuple[Run, Child]) -> None:
    run, child = bidder
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=run.url(run.ports.bid), timeout=10) as client:
        for entry in corpus():
            response = client.post("/openrtb2/bid", json=entry["body"], headers={"x-openrtb-version": "2.6"})
            statuses[response.status_code] += 1
            assert response.status_code in (200, 204, 400), (entry["path"], response.status_code)
            if response.status_code == 400:
                assert response.content == b""
            if well_formed(entry["body"]):
                assert response.status_code in (200, 204), entry
            if response.status_code == 200:
                assert response.json()["id"] == entry["body"]["id"]
    assert child.died() is None
    assert statuses[200] > 0, statuses
    assert statuses[204] > 0, statuses


def test_the_edge_says_what_is_wrong(bidder: tuple[Run, Child]) -> None:
    run, _ = bidder
    with httpx.Client(base_url=run.url(run.ports.bid), timeout=10) as client:
        assert client.post("/openrtb2/bid", content=b"{").status_code == 400
        assert client.get("/openrtb2/bid").status_code == 405
        too_large = b'{"id":"' + b"x" * 300_000 + b'"}'
        assert client.post("/openrtb2/bid", content=too_large).status_code == 413
        assert client.get("/nothing").status_code == 404
        assert client.get("/n/click", params={"t": "forged"}).status_code == 403
