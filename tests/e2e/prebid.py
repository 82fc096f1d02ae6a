"""Prebid Server's bid validation, over the JSON of a request and its answer: what an exchange in front would discard.

The rules are those of its `validateBid` and `bid_validator` (id, impid, price, crid, currency, creative size, secure
markup), and besides: markup or a notice that fetches it, a deal that was offered, a format that was asked for, the
floor, what the request blocks, and transparency under the Digital Services Act.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

FORMATS = {1: "banner", 2: "video", 3: "audio", 4: "native"}


def faults(request: dict[str, Any], response: dict[str, Any]) -> list[str]:
    """Every fault of an answer with bids; none: it is good."""
    found = []
    if response.get("id") != str(request["id"]):
        found.append(f"id {response.get('id')!r}")
    allowed = request.get("cur") or ["USD"]
    if response.get("cur", "USD") not in allowed:
        found.append(f"cur {response.get('cur')!r}, allowed are {allowed}")
    seats = response.get("seatbid") or []
    if not seats or not all(seat.get("bid") for seat in seats):
        found.append("no bids")
    ids = [bid.get("id") for bid in bids(response)]
    if len(set(ids)) < len(ids):
        found.append(f"ids twice: {ids}")
    for bid in bids(response):
        found += [f"bid {bid.get('id')!r}: {fault}" for fault in bid_faults(request, bid)]
    return found


def bids(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for seat in response.get("seatbid") or []:
        yield from seat.get("bid") or []


def bid_faults(request: dict[str, Any], bid: dict[str, Any]) -> Iterator[str]:
    for key in ("id", "impid", "crid"):
        if not isinstance(bid.get(key), str) or not bid[key]:
            yield f"{key} is missing"
    price = bid.get("price")
    if not isinstance(price, int | float) or price < 0 or (price == 0 and not bid.get("dealid")):
        yield f"price {price!r}"
        return
    if not bid.get("adm") and not bid.get("nurl"):
        yield "neither adm nor nurl"
    imp = next((imp for imp in request["imp"] if str(imp.get("id")) == bid.get("impid")), None)
    if imp is None:
        yield f"impid {bid.get('impid')!r} is not in the request"
        return
    yield from impression_faults(imp, bid)
    yield from transparency_faults(request, bid)
    yield from markup_faults(bid)
    blocked = set(request.get("badv") or []) & set(bid.get("adomain") or [])
    if blocked:
        yield f"blocked advertiser {blocked}"
    if set(request.get("bcat") or []) & set(bid.get("cat") or []):
        yield f"blocked category in {bid['cat']}"


def transparency_faults(request: dict[str, Any], bid: dict[str, Any]) -> Iterator[str]:
    """The rules of Prebid Server's package `dsa`."""
    extension = (request.get("regs") or {}).get("ext")
    asked = extension.get("dsa") if isinstance(extension, dict) else None
    asked = asked if isinstance(asked, dict) else {}
    shown = (bid.get("ext") or {}).get("dsa")
    if shown is None:
        if asked.get("dsarequired") in (2, 3):
            yield "DSA object missing when required"
        return
    if len(shown.get("behalf", "").encode()) > 100 or len(shown.get("paid", "").encode()) > 100:
        yield "DSA behalf or paid exceeds limit of 100 chars"
    if asked.get("pubrender") == 0 and shown.get("adrender") != 1:
        yield "DSA publisher and buyer both signal will not render"
    if asked.get("pubrender") == 2 and shown.get("adrender") == 1:
        yield "DSA publisher and buyer both signal will render"


def impression_faults(imp: dict[str, Any], bid: dict[str, Any]) -> Iterator[str]:
    kind = FORMATS.get(bid.get("mtype", 0))
    if kind is None or not isinstance(imp.get(kind), dict):
        yield f"mtype {bid.get('mtype')!r} was not asked for"
    elif kind == "banner" and not size_fits(imp["banner"], bid.get("w"), bid.get("h")):
        yield f"{bid.get('w')}x{bid.get('h')} does not fit {imp['banner']}"
    if str(imp.get("secure")) in ("1", "True") and ("http:" in bid.get("adm", "") or "http%3A" in bid.get("adm", "")):
        yield "insecure markup on a secure impression"
    pmp = imp.get("pmp") or {}
    offered = {deal.get("id"): deal for deal in pmp.get("deals") or []}
    if bid.get("dealid") and bid["dealid"] not in offered:
        yield f"deal {bid['dealid']!r} was not offered"
    if not bid.get("dealid") and str(pmp.get("private_auction")) == "1":
        yield "no deal in a private auction"
    if (
        not bid.get("dealid")
        and imp.get("bidfloorcur", "USD") == "USD"
        and bid["price"] < float(imp.get("bidfloor") or 0)
    ):
        yield f"price {bid['price']} is below the floor {imp['bidfloor']}"


def size_fits(banner: dict[str, Any], w: object, h: object) -> bool:
    """Whether the banner names the size, or none at all."""
    sizes = [(f.get("w"), f.get("h")) for f in [*(banner.get("format") or []), banner]]
    named = [(int(w), int(h)) for w, h in sizes if w and h]
    return not named or (w, h) in named


def markup_faults(bid: dict[str, Any]) -> Iterator[str]:
    """Markup of the kind it says it is, and links that lead somewhere."""
    markup = bid.get("adm", "")
    if "${CLICK_URL}" in markup or "${IMPRESSION_URL}" in markup:
        yield "a macro of our own is left in the markup"
    try:
        if bid.get("mtype") == 4:
            native = json.loads(markup)
            if not native.get("native", native).get("assets"):
                yield "native markup without assets"
        elif bid.get("mtype") in (2, 3) and ET.fromstring(markup).tag != "VAST":  # noqa: S314 (it is our own)
            yield "markup of a video or audio bid is not VAST"
    except (ValueError, ET.ParseError) as error:
        yield f"markup does not parse: {error}"
    for key in ("nurl", "burl", "lurl", "iurl"):
        if key in bid and (urlsplit(bid[key]).scheme not in ("http", "https") or not urlsplit(bid[key]).netloc):
            yield f"{key} {bid[key]!r} is no web address"
