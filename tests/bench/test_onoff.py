"""What the comparison and the pinning understand of their options."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from bench.bidder import BINARY
from bench.cores import BIDDER, GENERATOR, pinned
from bench.onoff import Offered, Side


def test_a_side_is_a_binary_with_variables_and_settings() -> None:
    assert Side.parse("with") == Side("with", BINARY)
    side = Side.parse("without=/opt/bidder,GOGC=100,batcher.policy=off,batcher.max_rows=64")
    assert side == Side(
        "without", Path("/opt/bidder"), {"GOGC": "100"}, {"batcher.policy": "off", "batcher.max_rows": 64}
    )
    with pytest.raises(typer.BadParameter, match="is not KEY=VALUE"):
        Side.parse("with,GOGC")


def test_a_load_is_a_rate_and_connections() -> None:
    assert Offered.parse("24000x512") == Offered(24000, 512)
    assert str(Offered.parse("0")) == "closed loop, 64 connections"


def test_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORES", raising=False)
    assert pinned(BIDDER) == []
    monkeypatch.setenv("CORES", "0,1")
    assert pinned(BIDDER) == ["taskset", "--cpu-list", "0"]
    assert pinned(GENERATOR) == ["taskset", "--cpu-list", "1"]
    monkeypatch.setenv("CORES", "0")
    with pytest.raises(ValueError, match="must name two cores"):
        pinned(BIDDER)
