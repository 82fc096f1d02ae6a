"""Notices as an exchange, a browser and an advertiser send them, and as somebody who wants money or trust would."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.e2e.world import Bidder, bids_of, filled, request


def get(bidder: Bidder, url: str) -> httpx.Response:
    return bidder.client.get(url, follow_redirects=False)


def token(url: str) -> str:
    (value,) = parse_qs(urlsplit(url).query)["t"]
    return value


def link(bid: dict[str, str], kind: str) -> str:
    """The click or impression link in a bid's markup."""
    (url,) = re.findall(rf'"(http://[^"]+/n/{kind}\?[^"]+)"', bid["adm"])
    return str(url)


def outcome(bidder: Bidder, kind: str, name: str) -> float:
    return bidder.metric("gavel_notices_total", kind=kind, outcome=name)


def test_billing_is_booked_once(steady: Bidder) -> None:
    bid, before = steady.one_bid("billed"), steady.spent()
    for _ in range(3):
        assert get(steady, filled(bid["burl"], 1.5)).status_code == 204
    assert steady.spent() == before + 1500
    # Of several prices, the largest counts.
    for price in (1.25, 1.75, 1.0):
        assert get(steady, filled(bid["burl"], price)).status_code == 204
    assert steady.spent() == before + 1750
    assert outcome(steady, "billing", "replayed") == 4


def test_an_audit_books_nothing(steady: Bidder) -> None:
    bid, before = steady.one_bid("audit"), steady.spent()
    for url in (bid["burl"], bid["nurl"]):
        assert get(steady, filled(url, "AUDIT")).status_code == 204
    assert steady.spent() == before
    assert outcome(steady, "billing", "audit") == 1
    # The bid can still be billed for real.
    assert get(steady, filled(bid["burl"], 1.0)).status_code == 204
    assert steady.spent() == before + 1000


@pytest.mark.parametrize(
    ("price", "name"),
    [
        *((price, "price_above_bid") for price in ("2.001", "2.4", "1000000")),
        *((price, "price_unreadable") for price in ("", "-1", "NaN", "1,5", "0x10", "${AUCTION_PRICE}", "WUOXfQAE0sI")),
    ],
)
def test_a_signed_bill_is_a_bill(steady: Bidder, price: str, name: str) -> None:
    """A price above the bid, or one that cannot be read, books the price of the bid."""
    bid, before, counted = steady.one_bid(f"odd-{price}"), steady.spent(), outcome(steady, "billing", name)
    assert bid["price"] == 2.0
    taken = steady.client.get(bid["burl"].split("?")[0], params={"t": token(bid["burl"]), "p": price})
    assert taken.status_code == 204
    assert steady.spent() == before + 2000
    assert outcome(steady, "billing", name) == counted + 1


def test_a_test_is_answered_and_not_booked(steady: Bidder) -> None:
    body, before = request("tested") | {"test": 1}, steady.spent()
    (bid,) = bids_of(steady.offer(body))
    for url in (bid["burl"], bid["nurl"], link(bid, "impression")):
        assert get(steady, filled(url, 2.0)).is_success
    assert steady.spent() == before
    assert outcome(steady, "billing", "test") == 1


def test_forged_tokens_are_refused(steady: Bidder) -> None:
    bid, before = steady.one_bid("forged"), steady.spent()
    good = token(bid["burl"])
    for at in range(0, len(good), max(len(good) // 12, 1)):
        forged = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        response = steady.client.get(steady.notices("/n/billing"), params={"t": forged, "p": "1.0"})
        assert response.status_code == 403, at
    for text in ("", "forged", good[:-1], good + "A", "A" * 5000):
        status = steady.client.get(steady.notices("/n/billing"), params={"t": text, "p": "1.0"}).status_code
        assert status in (400, 403), text[:20]
    assert steady.spent() == before


def test_a_token_serves_one_kind_of_notice(steady: Bidder) -> None:
    bid, before = steady.one_bid("kinds"), steady.spent()
    links = {"win": bid["nurl"], "billing": bid["burl"], "loss": bid["lurl"]}
    links |= {kind: link(bid, kind) for kind in ("click", "impression")}
    for owner, url in links.items():
        for kind in {*links, "conversion"} - {owner}:
            response = steady.client.get(steady.notices(f"/n/{kind}"), params={"t": token(url), "p": "1.0"})
            assert response.status_code == 403, (owner, kind)
    assert steady.spent() == before


def test_a_click_leads_to_the_landing_page_and_nowhere_else(steady: Bidder) -> None:
    bid = steady.one_bid("clicked")
    url = link(bid, "click")
    evil = "https://evil.example/"
    for extra in (
        "",
        f"&url={evil}",
        f"&r={evil}&redirect={evil}&u={evil}&landing={evil}",
        "&c=%0d%0aLocation:%20" + evil,
    ):
        response = get(steady, url + extra)
        assert response.status_code == 302
        to = urlsplit(response.headers["location"])
        assert (to.scheme, to.netloc, to.path) == ("https", "steady.example", "/landing")
        assert parse_qs(to.query).keys() == {"from", "gavel_click"}
        assert len(response.headers.get_list("location")) == 1
    assert get(steady, url.replace(token(url), token(url)[:-2])).status_code == 403
    # The click's id makes a conversion, once an id of the advertiser's, and nothing else.
    (click,) = parse_qs(to.query)["gavel_click"]
    before = steady.spent()
    for order, value in (("o-1", "12.50"), ("o-1", "12.50"), ("o-2", "3")):
        response = steady.client.get(steady.notices("/n/conversion"), params={"t": click, "c": order, "v": value})
        assert response.status_code == 204
    assert outcome(steady, "conversion", "accepted") == 2
    assert outcome(steady, "conversion", "replayed") == 1
    assert steady.client.get(steady.notices("/n/billing"), params={"t": click, "p": "1"}).status_code == 403
    assert steady.spent() == before


def test_an_impression_is_a_picture_and_a_preview_is_none(steady: Bidder) -> None:
    url = link(steady.one_bid("shown"), "impression")
    assert steady.client.head(url).status_code == 405
    assert outcome(steady, "impression", "accepted") == 0
    response = get(steady, url)
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/gif"
    assert response.content.startswith(b"GIF89a")
    assert outcome(steady, "impression", "accepted") == 1


def test_notices_of_nothing(steady: Bidder) -> None:
    bid = steady.one_bid("nothing")
    assert steady.client.get(steady.notices("/n/other"), params={"t": token(bid["burl"])}).status_code == 404
    assert steady.client.put(bid["burl"]).status_code == 405
    assert get(steady, filled(bid["burl"], "9" * 20_000)).status_code in (400, 414)
    assert "panic" not in steady.log()
