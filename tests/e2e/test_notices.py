"""Notices as an exchange, a browser and an advertiser send them, and as somebody who wants money or trust would."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.e2e.world import Bidder, filled


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
    # Nor is it booked again at another price.
    assert get(steady, filled(bid["burl"], 1.75)).status_code == 204
    assert steady.spent() == before + 1500
    assert outcome(steady, "billing", "replayed") == 3


@pytest.mark.parametrize(("price", "name"), [("AUDIT", "audit"), ("", "no_price")])
def test_a_notice_without_a_price_books_nothing(steady: Bidder, price: str, name: str) -> None:
    bid, before = steady.one_bid(f"price-{name}"), steady.spent()
    for url in (bid["burl"], bid["nurl"]):
        assert get(steady, filled(url, price)).status_code == 204
    assert steady.spent() == before
    assert outcome(steady, "billing", name) == 1
    # The bid can still be billed for real.
    assert get(steady, filled(bid["burl"], 1.0)).status_code == 204
    assert steady.spent() == before + 1000


@pytest.mark.parametrize("price", ["2.001", "1000000", "-1", "NaN", "1,5", "0x10", "${AUCTION_PRICE}"])
def test_a_price_that_cannot_be_is_refused(steady: Bidder, price: str) -> None:
    bid, before = steady.one_bid(f"odd-{price}"), steady.spent()
    assert bid["price"] == 2.0
    refused = steady.client.get(bid["burl"].split("&p=")[0], params={"t": token(bid["burl"]), "p": price})
    assert refused.status_code == 400
    assert steady.spent() == before
    assert get(steady, filled(bid["burl"], 2.0)).status_code == 204  # the bid itself, to the last micro
    assert steady.spent() == before + 2000


def test_forged_tokens_are_refused(steady: Bidder) -> None:
    bid, before = steady.one_bid("forged"), steady.spent()
    good = token(bid["burl"])
    for at in range(0, len(good), max(len(good) // 12, 1)):
        forged = good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :]
        response = steady.client.get(steady.url("/n/billing"), params={"t": forged, "p": "1.0"})
        assert response.status_code == 403, at
    for text in ("", "forged", good[:-1], good + "A", "A" * 5000):
        status = steady.client.get(steady.url("/n/billing"), params={"t": text, "p": "1.0"}).status_code
        assert status in (400, 403), text[:20]
    assert steady.spent() == before


def test_a_token_serves_one_kind_of_notice(steady: Bidder) -> None:
    bid, before = steady.one_bid("kinds"), steady.spent()
    links = {"win": bid["nurl"], "billing": bid["burl"], "loss": bid["lurl"]}
    links |= {kind: link(bid, kind) for kind in ("click", "impression")}
    for owner, url in links.items():
        for kind in {*links, "conversion"} - {owner}:
            response = steady.client.get(steady.url(f"/n/{kind}"), params={"t": token(url), "p": "1.0"})
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
        response = steady.client.get(steady.url("/n/conversion"), params={"t": click, "c": order, "v": value})
        assert response.status_code == 204
    assert outcome(steady, "conversion", "accepted") == 2
    assert outcome(steady, "conversion", "replayed") == 1
    assert steady.client.get(steady.url("/n/billing"), params={"t": click, "p": "1"}).status_code == 403
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
    assert steady.client.get(steady.url("/n/other"), params={"t": token(bid["burl"])}).status_code == 404
    assert steady.client.put(bid["burl"]).status_code == 405
    assert get(steady, bid["burl"] + "&p=" + "9" * 5000).status_code in (400, 431)
    assert "panic" not in steady.log()
