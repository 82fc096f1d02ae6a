"""Model versions dropped into the store while the bidder serves: damaged ones are refused, a good one is swapped in."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgpack
import numpy as np

from tests.e2e.conftest import NewBidder
from tests.e2e.load import Load
from tests.e2e.world import Bidder, until

VARIABLES = "variables/variables.data-00000-of-00001"
MANIFEST = "assets.extra/manifest.json"
GOLDEN = "assets.extra/golden.msgpack"


def stage(bidder: Bidder, version: int, damage: Callable[[Path], None] = lambda _: None) -> Path:
    """Version 1 again under another number, in staging, damaged if asked for."""
    model = bidder.run.store / "ctr"
    staged = model / ".staging" / f"copy-{version}"
    shutil.copytree(model / "1", staged)
    manifest = json.loads((staged / MANIFEST).read_text())
    (staged / MANIFEST).write_text(json.dumps(manifest | {"version": version}))
    damage(staged)
    return staged


def promote(bidder: Bidder, version: int) -> None:
    """Point at a version as the trainer does."""
    model = bidder.run.store / "ctr"
    pointer = json.loads((model / "pointer.json").read_text())
    aside = model / ".staging/pointer.json"
    aside.write_text(json.dumps(pointer | {"stable": version, "previous": pointer["stable"]}))
    aside.rename(model / "pointer.json")


def drop(bidder: Bidder, version: int, damage: Callable[[Path], None] = lambda _: None) -> None:
    stage(bidder, version, damage).rename(bidder.run.store / "ctr" / str(version))
    promote(bidder, version)


def flip_a_bit(version: Path) -> None:
    content = bytearray((version / VARIABLES).read_bytes())
    content[len(content) // 2] ^= 1
    (version / VARIABLES).write_bytes(content)


def change_golden(version: Path) -> None:
    """Other probabilities, with their checksum put right, as an export that computes something else has them."""
    golden = msgpack.unpackb((version / GOLDEN).read_bytes())
    p = np.frombuffer(golden["p"], "<f4").copy()
    p[3] += 1e-3
    (version / GOLDEN).write_bytes(msgpack.packb(golden | {"p": p.tobytes()}))
    manifest = json.loads((version / MANIFEST).read_text())
    manifest["files"][GOLDEN] = hashlib.sha256((version / GOLDEN).read_bytes()).hexdigest()
    (version / MANIFEST).write_text(json.dumps(manifest))


def refused(bidder: Bidder, reason: str) -> float:
    return bidder.metric("gavel_model_refused_total", model="ctr", reason=reason)


def serving(bidder: Bidder) -> float:
    return bidder.metric("gavel_model_version", model="ctr", role="stable")


def refusal(bidder: Bidder, version: int) -> str:
    """The line of the log that says why the version was refused, last."""
    return [line for line in bidder.log().splitlines() if "version refused" in line and f"version={version}" in line][
        -1
    ]


def test_damaged_versions_are_refused_and_a_good_one_is_swapped_in(new_bidder: NewBidder) -> None:
    bidder = new_bidder().start()
    model = bidder.run.store / "ctr"
    with Load(bidder, connections=2, bill=False).running() as account:
        drop(bidder, 2, flip_a_bit)
        until("the flipped bit is found", lambda: refused(bidder, "checksum"), within_s=20)
        assert VARIABLES in refusal(bidder, 2)

        drop(bidder, 3, change_golden)
        until("the wrong golden probability is found", lambda: refused(bidder, "golden"), within_s=20)
        assert "golden" in refusal(bidder, 3)

        # A copy that is cut short, in the place itself: what `cp -r` leaves when it is interrupted.
        whole = stage(bidder, 4)
        shutil.copytree(whole, model / "4", ignore=shutil.ignore_patterns("variables*", "manifest.json"))
        promote(bidder, 4)
        until("the half copy is found", lambda: refused(bidder, "manifest"), within_s=20)
        assert "manifest.json" in refusal(bidder, 4)
        shutil.copy(whole / MANIFEST, model / "4" / MANIFEST)
        until("it is tried again and found incomplete", lambda: refused(bidder, "files"), within_s=20)
        assert VARIABLES in refusal(bidder, 4)

        # All the while the first one served.
        assert serving(bidder) == 1
        assert bidder.client.get(bidder.admin("/readyz")).status_code == 200

        # The copy is finished after all; and then comes a version that is good from the start.
        shutil.copytree(whole, model / "4", dirs_exist_ok=True)
        until("the finished copy serves", lambda: serving(bidder) == 4, within_s=20)
        drop(bidder, 5)
        until("the good version serves", lambda: serving(bidder) == 5, within_s=20)
        until("the old one is freed", lambda: bidder.metric("gavel_model_live_versions", model="ctr") == 1, within_s=20)
        bidder.one_bid("by version 5")
    assert account.broken == []
    assert account.statuses.keys() == {"200", "204"}, account.statuses
    assert bidder.metric("gavel_openrtb_no_bids_total", reason="no_model") == 0
    assert bidder.metric("gavel_openrtb_no_bids_total", reason="internal") == 0
