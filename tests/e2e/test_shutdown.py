"""The bidder asked to end, and killed, under load: what it accepted is answered, and its books go on."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter

from tests.e2e.conftest import NewBidder
from tests.e2e.jetstream import Event, Stream
from tests.e2e.load import Bill, Load
from tests.e2e.world import Bidder, until

ENDS_S = 15.0  # an idle stream and a few hundred auctions are a matter of a second


def stored(bidder: Bidder) -> list[Event]:
    with Stream(bidder.run.ports.stream, bidder.run.directory / "stream.token") as stream:
        return stream.events()


def total(bills: list[Bill]) -> int:
    return sum(bill.micros for bill in bills)


def send_again(bidder: Bidder, bills: list[Bill]) -> None:
    """What an exchange does with notices that nobody took."""
    for bill in bills:
        assert bidder.client.get(bidder.notices(bill.url)).status_code == 204


def books_agree(bidder: Bidder, taken: list[Bill], left_open: list[Bill]) -> None:
    """Of what was acknowledged all is booked, and after the rest was told again, each bill once."""
    assert total(taken) <= bidder.spent() <= total(taken) + total(left_open)
    send_again(bidder, left_open)
    assert bidder.spent() == total(taken) + total(left_open)
    send_again(bidder, taken[:50])  # told twice, across the restart
    assert bidder.spent() == total(taken) + total(left_open)
    billed = Counter(event.key for event in stored(bidder) if event.type == "billing")
    assert billed.keys() == {bill.bid for bill in taken + left_open}


def test_sigterm_answers_what_was_accepted_and_loses_no_event(new_bidder: NewBidder) -> None:
    bidder = new_bidder().start()
    load = Load(bidder, connections=6)
    with load.running() as account:
        until("traffic flows", lambda: len(account.taken) > 300, within_s=30)
        began = time.monotonic()
        bidder.process.process.send_signal(signal.SIGTERM)
        assert bidder.process.process.wait(timeout=ENDS_S) == 0
        assert time.monotonic() - began < ENDS_S
        until("clients see that it is gone", lambda: account.statuses["refused"] > 10, within_s=10)
    assert account.broken == []
    assert account.statuses.keys() <= {"200", "204", "refused", "closed"}, account.statuses
    assert account.statuses["closed"] <= 6, account.statuses  # at most the connection that was between two auctions
    log = bidder.log()
    for part in ("edge", "events", "embedded stream"):
        assert f"stopped part={part}" in log or f'stopped part="{part}"' in log, log
    assert "cannot stop" not in log

    bidder.start()
    # A bid that was made was answered, and each answer is in the stream: neither side has one that the other lacks.
    assert {event.key for event in stored(bidder) if event.type == "bid"} == set(account.bids)
    books_agree(bidder, account.taken, account.open)


def test_sigkill_loses_no_acknowledged_spend(new_bidder: NewBidder) -> None:
    bidder = new_bidder().start()
    with Load(bidder, connections=6).running() as account:
        until("traffic flows", lambda: len(account.taken) > 300, within_s=30)
        bidder.kill()
        until("clients see that it is gone", lambda: account.statuses["refused"] > 10, within_s=10)
    bidder.start()
    assert "today's spend restored from the stream" in bidder.log()
    assert bidder.spent() >= total(account.taken)
    books_agree(bidder, account.taken, account.open)
    bidder.one_bid("after the kill")


def test_a_second_process_on_the_same_files_is_refused(new_bidder: NewBidder) -> None:
    bidder = new_bidder().start()
    twin = Bidder(run=bidder.run, binary=bidder.binary, config=bidder.config, starts=itertools.count(1))
    try:
        twin.start(ready=False)
        assert twin.process.process.wait(timeout=20) != 0
        assert str(bidder.run.directory / "stream") in twin.log()
        assert bidder.client.get(bidder.admin("/readyz")).status_code == 200
    finally:
        twin.close()
