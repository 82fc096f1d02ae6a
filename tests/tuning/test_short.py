"""A short run of each command on real bidders: it must end with a result, whatever the figures on a busy machine."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.loop.settings import ROOT

SHORT = ["--rates", "150", "--seconds", "1", "--minutes", "0.8"]
BATCH = [*SHORT, "--slo-p99-ms", "5000", "--policies", "adaptive,eager", "--max-rows", "128", "--max-wait", "4ms"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: the model is made once."""
    return tmp_path_factory.mktemp("tune")


def command(script: str, directory: Path, *flags: str | Path) -> list[str]:
    script = str(ROOT / "scripts" / script)
    return [str(ROOT / ".venv/bin/python"), script, *map(str, flags), "--directory", str(directory)]


def tune(script: str, directory: Path, *flags: str | Path) -> dict[str, Any]:
    """The last line of a run; a target that was missed is no failure here."""
    line = command(script, directory, *flags)
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode in (0, 1, 3), done.stderr
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def test_batch(directory: Path) -> None:
    # What a shell began with & ignores Ctrl-C, these tests and what they start too.
    line = ["env", "--default-signal=INT", *command("tune_batch.py", directory, *BATCH)]
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for said in process.stderr:
        if "round 1: adaptive" in said:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "run the same command again" in said) == (130, True)

    result = tune("tune_batch.py", directory, *BATCH)
    assert result["tool"] == "tune_batch"
    assert result["now"]["cost"]["150"] > 0
    assert (ROOT / result["files"]["picture"]).read_bytes().startswith(b"\x89PNG")
    again = tune("tune_batch.py", directory, *BATCH)
    assert (result["measured_now"] > 0, again["measured_now"]) == (True, 0)
    if result["status"] in (0, 1):
        settings = ROOT / result["files"]["settings"]
        verified = tune("tune_batch.py", directory, "verify", "--settings", settings, "--seconds", "1")
        assert verified["bounded"]["150"] > 0


def test_latency_with_a_configuration_of_ones_own(directory: Path, tmp_path: Path) -> None:
    tune("tune_batch.py", directory, *BATCH)  # makes the world, if nobody did
    world, config = directory / "batch/latest/world", tmp_path / "bidder.yaml"
    own = yaml.safe_dump({"campaigns": str(world / "campaigns-1.yaml"), "model_store": str(directory / "store")})
    auction = "auction:\n  click: bench\n  tmax_margin: 15ms # as ever\n"
    config.write_text(f"# mine\n{own}limits: {{cpu_wait: 1s}}\n{auction}")
    flags = ["--config", str(config), "--bodies", str(world / "bodies.jsonl"), "--margins", "5", "--late-share", "0.5"]
    result = tune("tune_latency.py", directory, *SHORT, *flags)
    assert result["tool"] == "tune_latency"
    assert set(result["candidates"]) == {"margin 5ms", "margin 15ms"}
    if result["status"] in (0, 1):
        text = (ROOT / result["files"]["config"]).read_text()
        assert f"tmax_margin: {result['recommended']['auction.tmax_margin']}" in text
        assert "# as ever" in text


@pytest.mark.parametrize(
    ("script", "flags", "said"),
    [
        ("tune_batch.py", ["verify"], "--settings"),
        ("tune_batch.py", ["--rates", "x"], "--rates 'x' is not a list"),
        ("tune_batch.py", ["--config", "nowhere.yaml"], "is not a file"),
        ("tune_latency.py", ["--network-ms", "60"], "--network-ms"),
        ("tune_latency.py", ["--margins", "500"], "auction.tmax_default"),
    ],
)
def test_what_has_to_be_mended_is_status_2(tmp_path: Path, script: str, flags: list[str], said: str) -> None:
    done = subprocess.run(command(script, tmp_path, *flags), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
