"""A bidder of a test's own: its files, its process, and what a test asks of it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from scripts.loop.processes import Child, start, tail, wait_ready
from scripts.loop.settings import ROOT, Ports, Run
from scripts.loop.sources import Metrics, scrape

T = TypeVar("T")
CLICK_RECIPE = ROOT / "models/ctr/recipe.yaml"

# One campaign that always bids: any banner, 2.00 CPM, more money than a test can spend.
CAMPAIGNS = """\
currency: USD
campaigns:
  - id: steady
    advertiser: Steady
    domain: steady.example
    categories: [IAB18-1]
    daily_budget: 50000
    goal: {cpm: 2}
    creatives:
      - id: steady-300x250
        kind: banner
        size: 300x250
        markup: <a href="${CLICK_URL}"><img src="https://cdn.steady.example/a.png"></a><img src="${IMPRESSION_URL}">
        click_url: https://steady.example/landing?from=ad
"""


def until(what: str, check: Callable[[], T], *, within_s: float) -> T:
    """The first true value that `check` returns; it is asked again until the deadline, also where nobody answers."""
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        try:
            value = check()
        except httpx.HTTPError as error:
            last = error
        else:
            if value:
                return value
            last = value
        assert time.monotonic() < deadline, f"not within {within_s} s: {what} (last: {last!r})"
        time.sleep(0.05)  # polls a process that has no other way to tell


def request(number: int | str, *, tmax: int = 1000, secure: int = 0) -> dict[str, Any]:
    """A bid request with one 300x250 impression in a second-price auction, so that the bid is the value."""
    return {
        "id": f"auction-{number}",
        "at": 2,
        "tmax": tmax,
        "cur": ["USD"],
        "imp": [{"id": "1", "secure": secure, "banner": {"w": 300, "h": 250}, "bidfloor": 0.01}],
        "site": {"id": "s", "domain": "news.example", "page": "https://news.example/a", "cat": ["IAB12"]},
        "device": {"ua": "Mozilla/5.0", "ip": "192.0.2.1", "devicetype": 2, "os": "Linux", "geo": {"country": "USA"}},
        "user": {"id": f"user-{number}"},
    }


def bids_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The bids of an answer; none for 204."""
    if response.status_code == 204:
        return []
    assert response.status_code == 200, (response.status_code, response.text)
    return [bid for seat in response.json()["seatbid"] for bid in seat["bid"]]


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a YAML file; `events__url` stands for `events: {url: …}`."""
    document = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *outer, last = key.split("__")
        at = document
        for name in outer:
            at = at[name]
        at[last] = value
    path.write_text(yaml.safe_dump(document))


@dataclass
class Bidder:
    """A bidder process over a run's directory; it can be stopped, killed and started again."""

    run: Run
    binary: Path
    config: Path
    starts: itertools.count[int] = field(default_factory=itertools.count)
    child: Child | None = None
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=5))

    @staticmethod
    def make(binaries: Path, directory: Path, store: Path, **changes: Any) -> Bidder:
        """A bidder that is not started, with a copy of the first versions and the campaign above."""
        directory.mkdir(parents=True, exist_ok=True)
        campaigns = directory / "campaigns.yaml"
        campaigns.write_text(CAMPAIGNS)
        run = Run(directory=directory / "run", recipes=[CLICK_RECIPE], campaigns=campaigns, ports=Ports.free())
        run.prepare(keep=False)
        shutil.copytree(store, run.store)
        config, _ = run.write_configs()
        edit(config, **changes)
        return Bidder(run=run, binary=binaries / "bidder", config=config)

    def start(self, *, ready: bool = True) -> Bidder:
        log = self.run.logs / f"bidder-{next(self.starts)}.log"
        self.child = start("bidder", [self.binary, "serve", "--config", self.config], log=log)
        if ready:
            wait_ready(self.child, self.admin("/readyz"), timeout_s=60, interrupted=lambda: False)
        return self

    @property
    def process(self) -> Child:
        assert self.child is not None, "not started"
        return self.child

    def log(self) -> str:
        return self.process.log.read_text()

    def stop(self, *, wait_s: float = 20) -> int:
        return self.process.stop(wait_s=wait_s)

    def kill(self) -> None:
        os.kill(self.process.process.pid, signal.SIGKILL)
        self.process.process.wait(timeout=10)

    def close(self) -> None:
        """End it, whatever state it is in; its log's end helps where a test failed."""
        self.client.close()
        if self.child is not None and self.child.process.poll() is None:
            assert self.stop() == 0, tail(self.child.log)

    def url(self, path: str) -> str:
        return self.run.url(self.run.ports.bid, path)

    def notices(self, path: str) -> str:
        return self.run.url(self.run.ports.notices, path)

    def admin(self, path: str) -> str:
        return self.run.url(self.run.ports.admin, path)

    def metrics(self) -> Metrics:
        return scrape(self.admin("/metrics"))

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics().sum(name, **labels)

    def offer(self, body: dict[str, Any]) -> httpx.Response:
        return self.client.post(self.url("/openrtb2/bid"), json=body, headers={"x-openrtb-version": "2.6"})

    def one_bid(self, number: int | str, *, secure: int = 0) -> dict[str, Any]:
        """A fresh bid. A campaign that has just started is paced, so the auction is offered until it bids."""
        attempts = itertools.count()
        (bid,) = until(
            "a bid", lambda: bids_of(self.offer(request(f"{number}-{next(attempts)}", secure=secure))), within_s=15
        )
        return bid

    def spent(self) -> int:
        return round(self.metric("gavel_spent_today_micros"))


def filled(url: str, price: float | str = "", reason: str = "") -> str:
    """A notice link with its macros filled in, as an exchange does."""
    text = f"{price:.3f}" if isinstance(price, float) else price
    return url.replace("${AUCTION_PRICE}", text).replace("${AUCTION_LOSS}", reason)


__all__ = ["CAMPAIGNS", "ROOT", "Bidder", "bids_of", "edit", "filled", "request", "until"]
