"""The campaign file edited while the bidder serves."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import NewBidder
from tests.e2e.load import Load
from tests.e2e.world import CAMPAIGNS, Bidder, until

# What cannot be read, and what can be read and makes no sense: the parts that are wrong, each on a line of its own.
UNREADABLE = {
    "advertiser: Steady": "advertizer: Steady",
    "daily_budget: 50000": "daily_budget: -5",
    "size: 300x250": "size: 300 by 250",
}
SENSELESS = {
    "domain: steady.example": "domain: https://steady.example/",
    "kind: banner": "kind: poster",
    "click_url: https://steady": "click_url: ftp://steady",
}


def spoilt(faults: dict[str, str]) -> str:
    text = CAMPAIGNS
    for good, bad in faults.items():
        assert text.count(good) == 1, good
        text = text.replace(good, bad)
    return text


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def reloads(bidder: Bidder, result: str) -> float:
    return bidder.metric("gavel_campaigns_reloads_total", result=result)


def told(bidder: Bidder, result: str, times: float) -> None:
    until(f"the edit is {result}", lambda: reloads(bidder, result) == times, within_s=10)


def replace(path: Path, text: str) -> None:
    """As editors save: a new file, renamed into place."""
    aside = path.with_name(".edit")
    aside.write_text(text)
    aside.rename(path)


def test_a_bad_edit_is_refused_with_every_fault_and_a_good_one_taken(new_bidder: NewBidder) -> None:
    bidder = new_bidder().start()
    path = bidder.run.campaigns
    with Load(bidder, connections=2, bill=False).running() as account:
        for faults in (UNREADABLE, SENSELESS):
            before = reloads(bidder, "refused")
            text = spoilt(faults)
            path.write_text(text)
            told(bidder, "refused", before + 1)
            said = bidder.log().splitlines()[-1]
            assert "the old set stays in use" in said
            for bad in faults.values():
                assert f"{path}: line {line_of(text, bad)}: " in said, f"no word of {bad!r} in:\n{said}"
            assert bidder.metric("gavel_campaigns_file_refused") == 1
            assert bidder.one_bid("after the bad edit")["price"] == 2.0

        path.write_text("campaigns: [")
        told(bidder, "refused", 3)
        path.unlink()
        told(bidder, "unreadable", 1)
        assert bidder.one_bid("after the file went")["price"] == 2.0

        good = CAMPAIGNS.replace("cpm: 2", "cpm: 3") + CAMPAIGNS[CAMPAIGNS.index("  - id:") :].replace(
            "steady", "second"
        ).replace("Steady", "Second").replace("cpm: 2", "cpm: 1")
        replace(path, good)
        until("the good edit serves", lambda: bidder.metric("gavel_campaigns") == 2, within_s=10)
        assert bidder.metric("gavel_campaigns_file_refused") == 0
        until("bids at the new price", lambda: bidder.one_bid("after the good edit")["price"] == 3.0, within_s=10)
        assert bidder.metric("gavel_budget_micros") == 2 * 50_000e6

        # A campaign that is taken out bids no more.
        replace(path, CAMPAIGNS.replace("steady", "other"))
        until("the set is the new one", lambda: bidder.metric("gavel_campaigns") == 1, within_s=10)
        assert bidder.one_bid("the other")["cid"] == "other"
    assert account.broken == []
    assert account.statuses.keys() == {"200", "204"}, account.statuses
