"""pytrain killed, then the trainer itself: serving does not notice, and each example is learnt once."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from scripts.loop.processes import Child, start, wait_ready
from scripts.loop.settings import ROOT
from scripts.loop.sources import Metrics, exchange_status, scrape
from tests.e2e.conftest import NewBidder
from tests.e2e.world import CLICK_RECIPE, Bidder, edit, until

RATE = 150  # auctions a second, beside a TensorFlow that starts again and again on the same cores


class Loop:
    """A bidder's counterparts: trainer and exchange over the same run, with a recipe of quick cadences."""

    def __init__(self, bidder: Bidder, binaries: Path) -> None:
        self.bidder, self._binaries, self._run = bidder, binaries, bidder.run
        recipe = self._run.directory / "recipe.yaml"
        document = yaml.safe_load(CLICK_RECIPE.read_text())
        document["training"] |= {"checkpoint_every_seconds": 2, "export_every_seconds": 3, "export_min_rows": 50}
        document["join"] = {"bid_wait_seconds": 20, "label_wait_seconds": 4}
        recipe.write_text(yaml.safe_dump(document))
        self._config = self._run.directory / "trainer.yaml"
        edit(self._config, recipes=[str(recipe)], reorder="1s", backoff_min="100ms")
        self._starts = 0
        self.trainer: Child | None = None
        self.exchange: Child | None = None

    def start_trainer(self) -> None:
        self._starts += 1
        log = self._run.logs / f"trainer-{self._starts}.log"
        self.trainer = start("trainer", [self._binaries / "trainer", "run", "--config", self._config], log=log)
        wait_ready(self.trainer, self._url("/readyz"), timeout_s=90, interrupted=lambda: False)

    def start_exchange(self) -> None:
        self.exchange = start(
            "exchange",
            [
                *(self._binaries / "exchange", "simulate", "--rate", str(RATE), "--seed", "3"),
                *("--bidder", self._run.url(self._run.ports.bid), "--outcomes", self._run.outcomes),
                *("--status-listen", f"127.0.0.1:{self._run.ports.exchange}"),
            ],
            log=self._run.logs / "exchange.log",
            stdout=self._run.directory / "exchange.json",
        )
        until("traffic flows", lambda: self.seen()["bids"] > 0, within_s=20)

    def seen(self) -> dict[str, Any]:
        return exchange_status(self._run.url(self._run.ports.exchange, "/status"))

    def metrics(self) -> Metrics:
        return scrape(self._url("/metrics"))

    def learnt(self) -> int:
        return round(self.metrics().sum("gavel_trainer_learnt_rows"))

    def served_version(self) -> float:
        return self.bidder.metric("gavel_model_version", model="ctr", role="stable")

    def child(self) -> int:
        """The process id of pytrain, the trainer's child."""
        assert self.trainer is not None
        pid = self.trainer.process.pid
        children = [
            int(child)
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
        assert len(children) == 1, children
        return children[0]

    def end(self) -> None:
        for process in (self.exchange, self.trainer):
            if process is not None and process.process.poll() is None:
                process.stop(wait_s=60)

    def _url(self, path: str) -> str:
        return self._run.url(self._run.ports.trainer, path)


def outcomes(path: Path) -> dict[str, bool]:
    """Whether each impression was clicked, by bid: the exchange's own account."""
    with path.open() as lines:
        return {row["bid_id"]: row["clicked"] == "1" for row in csv.DictReader(lines)}


def archived(directory: Path) -> list[tuple[str, bool]]:
    """The examples that the trainer archived, in order."""
    rows = []
    for file in sorted(directory.glob("*.parquet")):
        table = pq.read_table(file, columns=["id", "label"]).to_pydict()
        rows += [(id_, label == 1) for id_, label in zip(table["id"], table["label"], strict=True)]
    return rows


@pytest.mark.timeout(240)
def test_killed_learners_lose_nothing_and_learn_nothing_twice(new_bidder: NewBidder, binaries: Path) -> None:
    bidder = new_bidder()
    bidder.run.campaigns.write_text((ROOT / "configs/campaigns.yaml").read_text())
    loop = Loop(bidder.start(), binaries)
    run = bidder.run
    try:
        loop.start_trainer()
        loop.start_exchange()
        until("a learnt version serves", lambda: loop.served_version() > 1, within_s=60)

        # pytrain dies in the middle of learning; the trainer starts it again from its checkpoint.
        bids, version = loop.seen()["bids"], loop.served_version()
        os.kill(loop.child(), signal.SIGKILL)
        until(
            "the child is started again",
            lambda: loop.metrics().sum("gavel_trainer_child_restarts_total") == 1,
            within_s=20,
        )
        until("it learns again", lambda: loop.metrics().sum("gavel_trainer_child_up") == 1, within_s=60)
        until("versions go on", lambda: loop.served_version() > version, within_s=60)
        assert loop.seen()["bids"] > bids

        # The trainer dies; the next one finds its child's checkpoint, whatever that child still did.
        assert loop.trainer is not None
        bids, version, orphan = loop.seen()["bids"], loop.served_version(), loop.child()
        os.kill(loop.trainer.process.pid, signal.SIGKILL)
        loop.trainer.process.wait(timeout=10)
        loop.start_trainer()
        until("versions go on", lambda: loop.served_version() > version, within_s=60)
        assert loop.seen()["bids"] > bids
        assert not Path(f"/proc/{orphan}").exists(), "the killed trainer's child lives on"
        assert bidder.client.get(bidder.admin("/readyz")).status_code == 200

        assert loop.exchange is not None
        assert loop.exchange.stop(wait_s=60) == 0
        books = json.loads((run.directory / "exchange.json").read_text().splitlines()[-1])
        shown = outcomes(run.outcomes)
        until("all is learnt", lambda: loop.learnt() >= len(shown), within_s=60)
        assert loop.trainer.stop(wait_s=60) == 0
    finally:
        loop.end()

    # Serving noticed nothing. (TensorFlow starts thrice on the same cores: a few answers may be late.)
    assert books["errors"] == 0, books
    assert books["invalid"] == 0, books
    assert books["http_errors"] == 0, books
    assert books["timeouts"] + books["late"] <= 0.05 * books["auctions"], books
    assert bidder.spent() == books["spend_micros"]
    assert bidder.metric("gavel_model_refused_total") == 0

    # Each impression became one example with the label the exchange knows, and no other was made up.
    assert len(shown) > 100
    examples = archived(run.archive / "ctr")
    twice = [id_ for id_, n in Counter(id_ for id_, _ in examples).items() if n > 1]
    assert twice == []
    assert dict(examples) == shown
    # The child learnt as many rows as there are examples: what the killed ones had learnt and not checkpointed was
    # learnt again from the checkpoint before it, and nothing besides.
    assert checkpointed_rows(run.directory / "trainer/ctr") == len(shown)


def checkpointed_rows(directory: Path) -> int:
    """How many examples the newest checkpoint has learnt, from its header (pytrain/checkpoint.py)."""
    newest = max(directory.rglob("*.ckpt"), key=lambda file: int(file.stem))
    raw = newest.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    return int(json.loads(raw[8 : 8 + length])["__metadata__"]["rows"])
