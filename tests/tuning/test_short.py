"""A short run of each tool on real bidders: it must end with a result, whatever the figures are on a busy machine."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.loop.settings import ROOT

PYTHON = ROOT / ".venv/bin/python"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: the model is made once."""
    return tmp_path_factory.mktemp("tune")


def command(script: str, directory: Path, *flags: str | Path) -> list[str]:
    return [str(PYTHON), str(ROOT / "scripts" / script), *map(str, flags), "--directory", str(directory)]


def tune(script: str, directory: Path, *flags: str | Path) -> dict[str, Any]:
    """The last line of a run; a target that was missed is no failure here."""
    done = subprocess.run(
        command(script, directory, *flags), cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode in (0, 1, 3), done.stderr
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


BATCH = ["--rates", "150", "--policies", "adaptive,eager", "--max-rows", "128", "--max-wait", "4ms"]
SHORT = ["--seconds", "1", "--rounds", "2", "--verify-rounds", "1", "--minutes", "2", "--runners", "1"]


def test_batch(directory: Path) -> None:
    flags = [*BATCH, *SHORT, "--slo-p99-ms", "5000"]
    # What a shell began with & ignores Ctrl-C, these tests and what they start too.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *command("tune_batch.py", directory, *flags)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "run the same command again" in said) == (130, True)

    result = tune("tune_batch.py", directory, *flags)
    made = result["measured_now"]
    assert result["tool"] == "tune_batch"
    assert result["now"]["cpu_us"]["150"] > 0
    assert (ROOT / result["files"]["page"]).read_text().startswith("<!doctype html>")
    again = tune("tune_batch.py", directory, *flags)
    assert (made > 0, again["measured_now"]) == (True, 0)
    if result["status"] == 0:
        settings = ROOT / result["files"]["settings"]
        verified = tune("tune_batch.py", directory, "verify", "--settings", settings, "--rounds", "1", "--seconds", "1")
        assert verified["p99_ms"]["150"] > 0


def test_latency_with_a_configuration_of_ones_own(directory: Path, tmp_path: Path) -> None:
    tune("tune_batch.py", directory, *BATCH, *SHORT, "--slo-p99-ms", "5000")  # makes the world, if nobody did
    world = directory / "batch/latest/world"
    config = tmp_path / "bidder.yaml"
    own = {
        "campaigns": str(world / "campaigns-1.yaml"),
        "model_store": str(directory / "store"),
        "auction": {"click": "bench", "tmax_margin": "15ms"},
    }
    config.write_text(f"# mine\n{yaml.safe_dump(own)}limits: {{cpu_wait: 1s}}\n")
    result = tune(
        "tune_latency.py",
        directory,
        *(
            "--config",
            config,
            "--bodies",
            world / "bodies.jsonl",
            "--rates",
            "150",
            "--margins",
            "5,15",
            "--tmax",
            "100",
        ),
        *("--timeouts", "", "--late-share", "0.5", "--seconds", "1", "--rounds", "2", "--verify-rounds", "1"),
        *("--minutes", "3"),
    )
    assert result["tool"] == "tune_latency"
    assert set(result["margins"]) == {"5", "15"}
    if result["status"] in (0, 1):
        text = (ROOT / result["files"]["config"]).read_text()
        assert f"tmax_margin: {result['recommended']['auction.tmax_margin']}" in text
        assert "# as ever" in text
