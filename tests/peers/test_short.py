"""A short run with Gavel and one peer: it must start, check and measure both, whatever the figures are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from scripts.loop.settings import ROOT


@pytest.mark.timeout(600)
def test_quick(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "bench.peers", "--quick", "--directory", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["benchmark"] == "peers"
    gavel, peer = result["servers"]["gavel"], result["servers"]["fastapi-queue"]
    assert gavel["connections"]["32"]["requests_per_s"]["median"] > 100
    if "skipped" in peer:
        pytest.skip(f"the peer: {peer['skipped']}")  # its packages cannot be had everywhere
    assert result["requests_ratio_32"] > 1
    assert result["cpu_ratio_128"] > 1
    assert len(list(tmp_path.glob("*.1.json"))) == 2
