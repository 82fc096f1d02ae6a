"""The event stream goes away and comes back: the bidder bids on within what it holds, and nothing is lost."""

from __future__ import annotations

from collections import Counter

from tests.e2e.conftest import NewBidder
from tests.e2e.jetstream import Stream
from tests.e2e.load import Load
from tests.e2e.world import until


def test_bidding_goes_on_while_the_stream_is_away(new_bidder: NewBidder) -> None:
    # The other bidder's embedded stream is the outside one of this test.
    other = new_bidder("other").start()
    token = other.run.directory / "stream.token"
    bidder = new_bidder(
        "fronted", events__url=f"nats://127.0.0.1:{other.run.ports.stream}", events__token_file=str(token)
    ).start()
    assert bidder.metric("gavel_events_stream_up") == 1
    with Load(bidder, connections=4).running() as account:
        until("traffic flows", lambda: len(account.taken) > 100, within_s=30)
        other.kill()
        until("the bidder notices", lambda: bidder.metric("gavel_events_stream_up") == 0, within_s=15)
        allowed = bidder.metric("gavel_allowed_micros", campaign="steady")
        bids, taken = len(account.bids), len(account.taken)
        until("it bids on", lambda: len(account.bids) > bids + 100, within_s=20)
        until("notices are booked", lambda: len(account.taken) > taken + 100, within_s=20)
        until("events wait on disk", lambda: bidder.metric("gavel_events_spill_bytes") > 0, within_s=10)
        assert bidder.client.get(bidder.admin("/readyz")).status_code == 200
        # Not a micro more than it held when the stream went.
        assert bidder.metric("gavel_allowed_micros", campaign="steady") <= allowed
        used = bidder.metric("gavel_spent_today_micros") + bidder.metric("gavel_reserved_micros")
        assert 0 < used <= allowed
        assert "event stream down" in bidder.log()

        other.start()
        until("the stream is up again", lambda: bidder.metric("gavel_events_stream_up") == 1, within_s=30)
        bids = len(account.bids)
        until("it bids on", lambda: len(account.bids) > bids + 100, within_s=20)
    until("the journal is empty", lambda: bidder.metric("gavel_events_spill_bytes") == 0, within_s=20)
    assert account.broken == []
    assert account.statuses.keys() == {"200", "204"}, account.statuses
    assert account.open == []
    assert bidder.metric("gavel_events_dropped_total") == 0
    spent = bidder.spent()
    assert spent == sum(bill.micros for bill in account.taken)
    assert bidder.stop() == 0
    with Stream(other.run.ports.stream, token) as stream:
        events = stream.events()
    assert {event.key for event in events if event.type == "bid"} == set(account.bids)
    billed = {event.id: event for event in events if event.type == "billing"}
    assert {event.key for event in billed.values()} == {bill.bid for bill in account.taken}
    assert sum(event.price_micros for event in billed.values()) == spent
    twice = [id_ for id_, n in Counter(event.id for event in events).items() if n > 1]
    assert twice == []  # the stream drops repeats within two minutes

    # The restart reads the same books from there.
    bidder.start()
    assert bidder.spent() == spent


def test_a_stream_that_never_was_is_named(new_bidder: NewBidder) -> None:
    nobody = new_bidder("nobody")
    bidder = new_bidder("alone", events__url=f"nats://127.0.0.1:{nobody.run.ports.stream}")
    token = bidder.run.directory / "stream.token"
    token.write_text("secret-token\n")
    token.chmod(0o600)
    bidder.start(ready=False)
    assert bidder.process.process.wait(timeout=40) != 0
    said = bidder.log().splitlines()[-1]
    assert "the stream cannot be reached" in said
    assert str(nobody.run.ports.stream) in said
    assert "secret-token" not in bidder.log()
