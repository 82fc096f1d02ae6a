"""Traffic that keeps account of every answer: exchanges' connections, each on a thread of its own."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.e2e.world import Bidder, filled, request


@dataclass(frozen=True)
class Bill:
    """A billing notice, and whether the bidder said that it took it."""

    bid: str
    url: str
    micros: int


@dataclass
class Account:
    """What the clients saw. Lists only grow, and appending is atomic: threads share them without a lock."""

    statuses: Counter[str] = field(default_factory=Counter)  # of auctions; see Load._one
    broken: list[str] = field(default_factory=list)  # answers that began and did not end, or came with an odd status
    bids: list[str] = field(default_factory=list)  # ids of bids received
    taken: list[Bill] = field(default_factory=list)  # billing notices that were answered 2xx
    open: list[Bill] = field(default_factory=list)  # and those that were not
    answered_at: list[float] = field(default_factory=list)  # monotonic


class Load:
    """Runs auctions over kept-alive connections until told to stop, and bills each bid it gets at nine tenths."""

    def __init__(self, bidder: Bidder, *, connections: int = 4, pause_s: float = 0.005, bill: bool = True) -> None:
        self.account = Account()
        ports = bidder.run.ports
        self._bids, self._notices = ("127.0.0.1", ports.bid), ("127.0.0.1", ports.notices)
        self._pause_s, self._bill = pause_s, bill
        self._numbers = itertools.count()
        self._lock = threading.Lock()  # of the counter
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop, daemon=True) for _ in range(connections)]

    @contextmanager
    def running(self) -> Iterator[Account]:
        """Traffic while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield self.account
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(timeout=20)
            assert not any(thread.is_alive() for thread in self._threads)

    def _loop(self) -> None:
        connection = http.client.HTTPConnection(*self._bids, timeout=5)
        notices = http.client.HTTPConnection(*self._notices, timeout=5)
        while not self._stop.wait(self._pause_s):  # a refused connection costs nothing: the pause also bounds that
            self._one(connection, notices)
        connection.close()
        notices.close()

    def _one(self, connection: http.client.HTTPConnection, notices: http.client.HTTPConnection) -> None:
        with self._lock:
            number = next(self._numbers)
        outcome, body = self._exchange(connection, "POST", "/openrtb2/bid", json.dumps(request(f"load-{number}")))
        self.account.statuses[outcome] += 1
        if outcome in ("200", "204"):
            self.account.answered_at.append(time.monotonic())
        elif outcome not in ("refused", "closed"):
            self.account.broken.append(outcome)
        if outcome != "200":
            return
        for bid in (b for seat in json.loads(body)["seatbid"] for b in seat["bid"]):
            self.account.bids.append(bid["id"])
            if not self._bill:
                continue
            micros = int(bid["price"] * 900)
            url = urlsplit(filled(bid["burl"], micros / 1000))
            bill = Bill(bid["id"], f"{url.path}?{url.query}", micros)
            outcome, _ = self._exchange(notices, "GET", bill.url, None)
            if outcome == "204":
                self.account.taken.append(bill)
            else:
                self.account.open.append(bill)
                if outcome not in ("refused", "closed"):
                    self.account.broken.append(f"bill: {outcome}")

    def _exchange(self, c: http.client.HTTPConnection, method: str, path: str, body: str | None) -> tuple[str, bytes]:
        """One request: its status as text, or how it failed.

        `refused`: nobody listened. `closed`: the connection ended before a byte of the answer, as a kept-alive one may.
        """
        headers = {"Content-Type": "application/json", "x-openrtb-version": "2.6"} if body else {}
        try:
            c.request(method, path, body=body, headers=headers)
            response = c.getresponse()
        except ConnectionRefusedError:
            c.close()
            return "refused", b""
        except (ConnectionError, http.client.RemoteDisconnected):
            c.close()
            return "closed", b""
        except (OSError, http.client.HTTPException) as error:
            c.close()
            return f"no answer: {error!r}", b""
        try:
            return str(response.status), response.read()
        except (OSError, http.client.HTTPException) as error:
            c.close()
            return f"cut off: {error!r}", b""
