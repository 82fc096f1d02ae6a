"""Mistakes that people make in what they give the bidder: each is named with its place, and with what to do."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import NewBidder
from tests.e2e.world import Bidder, edit, until


def serve(bidder: Bidder, config: Path | None = None, *flags: str) -> tuple[int, str]:
    """The exit status and what was said, of a bidder that must not start."""
    done = subprocess.run(
        [bidder.binary, "serve", "--config", config or bidder.config, *flags],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "goroutine" not in done.stderr, "a crash"
    return done.returncode, done.stderr


def add_a_line(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")


def put_a_directory(bidder: Bidder) -> None:
    bidder.config.unlink()
    bidder.config.mkdir()


def spoil_campaigns(bidder: Bidder) -> None:
    text = bidder.run.campaigns.read_text()
    bidder.run.campaigns.write_text(text.replace("daily_budget: 50000", "daily_budget: lots"))


# Each: the mistake, and what the answer must hold ("{…}" of the bidder's own places).
MISTAKES: dict[str, tuple[Callable[[Bidder], object], list[str]]] = {
    "no configuration file": (lambda b: b.config.unlink(), ["{config}", "no such file"]),
    "a directory in its place": (put_a_directory, ["{config}", "is a directory"]),
    "no YAML": (lambda b: b.config.write_text("listen: [1, 2\n"), ["{config}", "line 1"]),
    "an unknown key": (lambda b: add_a_line(b.config, "listne: 127.0.0.1:1"), ["{config}", "line", "listne"]),
    "a wrong type": (lambda b: edit(b.config, batcher__max_rows="many"), ["{config}", "line", "many"]),
    "values out of range, all at once": (
        lambda b: edit(b.config, batcher__max_rows=0, auction__currency="DOLLARS", listen="nowhere"),
        ["{config}", "batcher.max_rows", "auction.currency", "DOLLARS", "listen", "nowhere"],
    ),
    "no campaign file": (lambda b: b.run.campaigns.unlink(), ["{campaigns}", "no such file"]),
    "a fault in the campaign file": (spoil_campaigns, ["{campaigns}: line 7", "lots", "as in 0.45"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_a_person_has_to_mend_is_named_and_ends_with_status_2(new_bidder: NewBidder, mistake: str) -> None:
    bidder = new_bidder()
    make, parts = MISTAKES[mistake]
    make(bidder)
    status, said = serve(bidder)
    assert status == 2, said
    for part in parts:
        wanted = part.format(config=bidder.config, campaigns=bidder.run.campaigns)
        assert wanted in said, f"no word of {wanted!r} in:\n{said}"


def test_an_unknown_flag_is_named(new_bidder: NewBidder) -> None:
    status, said = serve(new_bidder(), None, "--prot", "80")
    assert status == 2
    assert "--prot" in said


@pytest.mark.parametrize("key", ["listen", "admin_listen", "events.embedded_listen"])
def test_a_taken_port_is_named(new_bidder: NewBidder, key: str) -> None:
    bidder = new_bidder()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        edit(bidder.config, **{key.replace(".", "__"): f"127.0.0.1:{port}"})
        status, said = serve(bidder)
    assert status != 0
    last = said.splitlines()[-1]
    assert f"127.0.0.1:{port}" in last, said
    assert key in last, said
    assert "in use" in last, said


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda path: path.chmod(0o644), "chmod 600"),
        (lambda path: path.write_text("\n"), "0 characters"),
        (lambda path: (path.unlink(), path.mkdir(0o700)), "directory"),
    ],
    ids=["readable by all", "empty", "a directory"],
)
def test_a_token_file_that_cannot_serve_is_named(
    new_bidder: NewBidder, spoil: Callable[[Path], object], word: str
) -> None:
    bidder = new_bidder()
    token = bidder.run.directory / "stream.token"
    token.write_text("a-secret-that-nobody-may-see\n")
    token.chmod(0o600)
    spoil(token)
    status, said = serve(bidder)
    assert status != 0
    assert str(token) in said
    assert word in said
    assert "a-secret" not in said


def test_a_token_key_file_that_others_may_read_is_named(new_bidder: NewBidder) -> None:
    bidder = new_bidder()
    keys = bidder.run.directory / "bidder/token.keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("c0ffee" * 10 + "beef" + "\n")
    keys.chmod(0o644)
    status, said = serve(bidder)
    assert status != 0
    assert f"{keys} may be read by others" in said
    assert "chmod 600" in said
    assert "c0ffee" not in said


def test_a_store_without_versions_is_not_ready_and_says_so_until_one_comes(new_bidder: NewBidder) -> None:
    bidder = new_bidder()
    aside = bidder.run.directory / "aside"
    bidder.run.store.rename(aside)
    bidder.start(ready=False)
    answer = until(
        "the admin port says what is missing",
        lambda: said if "no warm" in (said := bidder.client.get(bidder.admin("/readyz"))).text else None,
        within_s=30,
    )
    assert answer is not None
    assert answer.status_code == 503
    # Which model, where versions are looked for, and how a first one is made.
    for part in ("no warm version of ctr", str(bidder.run.store), "pytrain init"):
        assert part in answer.text, answer.text
    assert bidder.client.get(bidder.admin("/healthz")).status_code == 200
    until("the edge answers", lambda: bidder.offer({"id": "1", "imp": [{"id": "1", "banner": {}}]}), within_s=10)
    assert bidder.process.died() is None
    shutil.copytree(aside, bidder.run.store, dirs_exist_ok=True)
    until("it is ready", lambda: bidder.client.get(bidder.admin("/readyz")).status_code == 200, within_s=30)
    bidder.one_bid("at last")
