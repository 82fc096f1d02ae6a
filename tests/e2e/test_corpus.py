"""Captured bid requests, well-formed and not, through the real bidder over HTTP."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.loop.processes import Child
from scripts.loop.settings import Run
from tests.e2e import prebid
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


def test_no_request_breaks_the_bidder_and_every_bid_is_valid(bidder: tuple[Run, Child]) -> None:
    run, child = bidder
    statuses: Counter[int] = Counter()
    kinds: Counter[str] = Counter()  # of bids
    secure = 0  # answers with bids to requests that have a secure impression
    with httpx.Client(base_url=run.url(run.ports.bid), timeout=10) as client:
        for entry in corpus() * 4:  # campaigns start without pacing credit: more of them bid in each round
            response = client.post("/openrtb2/bid", json=entry["body"], headers={"x-openrtb-version": "2.6"})
            statuses[response.status_code] += 1
            assert response.status_code in (200, 204, 400), (entry["path"], response.status_code)
            if response.status_code == 400:
                assert response.content == b""
            if well_formed(entry["body"]):
                assert response.status_code in (200, 204), entry
            if response.status_code == 200:
                answer = response.json()
                assert prebid.faults(entry["body"], answer) == [], (entry["path"], answer)
                kinds.update(prebid.FORMATS[bid["mtype"]] for bid in prebid.bids(answer))
                secure += any(imp.get("secure") == 1 for imp in entry["body"]["imp"])
    assert child.died() is None
    assert statuses[200] > 100, statuses
    assert statuses[204] > 0, statuses
    assert kinds.keys() >= {"banner", "video", "native"}, kinds
    assert secure > 0


def test_the_edge_says_what_is_wrong(bidder: tuple[Run, Child]) -> None:
    run, _ = bidder
    with httpx.Client(base_url=run.url(run.ports.bid), timeout=10) as client:
        assert client.post("/openrtb2/bid", content=b"{").status_code == 400
        assert client.get("/openrtb2/bid").status_code == 405
        too_large = b'{"id":"' + b"x" * 300_000 + b'"}'
        assert client.post("/openrtb2/bid", content=too_large).status_code == 413
        assert client.get("/nothing").status_code == 404
        assert client.get("/n/click", params={"t": "forged"}).status_code == 404
        assert client.post("/openrtb2/bid/no-secret-of-anybody", json={}).status_code == 403
        assert client.get(run.url(run.ports.notices, "/n/click"), params={"t": "forged"}).status_code == 403


GOOD_REQUEST: dict[str, Any] = {
    "id": "r",
    "cur": ["USD"],
    "badv": ["bad.example"],
    "imp": [{"id": "1", "secure": 1, "bidfloor": 1.0, "banner": {"format": [{"w": 300, "h": 250}]}}],
}
GOOD_BID: dict[str, Any] = {
    "id": "b",
    "impid": "1",
    "crid": "c",
    "price": 1.5,
    "adm": "<a href='https://a.example/'>",
    "mtype": 1,
    "w": 300,
    "h": 250,
    "adomain": ["a.example"],
    "nurl": "https://bid.example/n/win?t=x",
}


def answer(**changes: Any) -> dict[str, Any]:
    return {"id": "r", "cur": "USD", "seatbid": [{"bid": [GOOD_BID | changes]}]}


@pytest.mark.parametrize(
    "changes",
    [
        *({"id": ""}, {"impid": "2"}, {"crid": ""}, {"price": 0}, {"price": -1.0}, {"price": 0.5}, {"price": None}),
        *({"adm": "", "nurl": ""}, {"w": 320}, {"mtype": 2}, {"mtype": 0}, {"dealid": "d"}, {"nurl": "/n/win"}),
        *({"adm": "<a href='http://a.example/'>"}, {"adm": "<a href='${CLICK_URL}'>"}, {"adomain": ["bad.example"]}),
    ],
)
def test_the_rules_find_a_bad_bid(changes: dict[str, Any]) -> None:
    assert prebid.faults(GOOD_REQUEST, answer()) == []
    assert prebid.faults(GOOD_REQUEST, answer(**changes)) != []


def test_the_rules_find_a_bad_answer() -> None:
    good = answer()
    bad: list[dict[str, Any]] = [{"id": "o"}, {"cur": "EUR"}, {"seatbid": []}, {"seatbid": good["seatbid"] * 2}]
    for changes in bad:
        assert prebid.faults(GOOD_REQUEST, good | changes) != [], changes
