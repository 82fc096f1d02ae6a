"""The closed loop as a person runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytrain.manifest import read_golden
from scripts.loop.settings import ROOT, Ports, Run
from tests.e2e.world import CLICK_RECIPE, Bidder

KEYS = {
    *("auctions", "bids", "wins", "clicks", "late", "errors", "p50_ms", "p99_ms", "mean_batch_rows"),
    *("model_versions_served", "logloss_first", "logloss_last", "logloss_teacher", "spend_micros", "budget_micros"),
    *("logloss_gap_first_tenth", "logloss_gap_last_half", "calibration_first_tenth", "calibration_last_half"),
}


def run_loop(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.loop", "--free-ports", "--directory", directory, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_in(directory: Path) -> list[str]:
    """Command lines of processes that name the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
        if str(directory) in command and int(entry.name) != os.getpid():
            found.append(command)
    return found


def test_the_loop_learns_and_its_books_agree(binaries: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(CLICK_RECIPE.read_text() + "\nexport: [savedmodel, plan]\n")
    loop = run_loop(tmp_path / "run", "--duration", "45", "--rate", "400", "--recipe", str(recipe))
    out, err = loop.communicate(timeout=300)
    assert loop.returncode == 0, err
    result = json.loads(out.splitlines()[-1])
    assert result.keys() >= KEYS
    assert result["errors"] == 0
    assert result["auctions"] > 0.9 * 45 * 400
    assert result["wins"] > 1000
    assert result["model_versions_served"] >= 2
    assert result["spend_micros"] == result["exchange_spend_micros"] <= result["budget_micros"]
    gap_first = result["logloss_first"] - result["logloss_teacher"]
    gap_last = result["logloss_last"] - result["logloss_teacher"]
    assert gap_last < gap_first, result
    assert 0 < result["logloss_gap_last_half"] < result["logloss_gap_first_tenth"], result
    assert 0.8 < result["calibration_last_half"] < 1.2, result
    assert processes_in(tmp_path) == []
    a_bidder_serves_the_plan(binaries, tmp_path)


def a_bidder_serves_the_plan(binaries: Path, directory: Path) -> None:
    """The last version that the loop learnt, as a plan: its bids need no TensorFlow, its probabilities are equal."""
    port = Ports.free().bid
    bidder = Bidder.make(
        binaries,
        directory / "plan",
        directory / "run/store",
        models={"ctr": {"engine": "plan"}},
        predict__listen=f"127.0.0.1:{port}",
    )
    try:
        bidder.start()
        version = int(bidder.metric("gavel_model_version", model="ctr", role="stable"))
        assert version >= 2
        x, p = read_golden(bidder.run.store / "ctr" / str(version))
        answer = bidder.client.post(
            f"http://127.0.0.1:{port}/v1/models/ctr/versions/{version}:predict", json={"instances": x.tolist()}
        )
        np.testing.assert_allclose(answer.json()["predictions"], p, atol=1e-6, rtol=0)
        assert np.ptp(p) > 1e-4  # so that equal means something
        before = bidder.metric("gavel_plan_runs_total")
        bidder.one_bid("by a plan")
        assert bidder.metric("gavel_plan_runs_total") > before
        assert bidder.metric("gavel_tensorflow_runs_total") == 0
    finally:
        bidder.close()


@pytest.mark.usefixtures("binaries")
def test_ctrl_c_stops_everything_in_order(first_versions: Path, tmp_path: Path) -> None:
    shutil.copytree(first_versions, tmp_path / "run/store")
    loop = run_loop(tmp_path / "run", "--keep", "--rate", "100")
    assert loop.stderr is not None
    for line in loop.stderr:  # ends with the process; the first status line says that traffic flows
        if "auctions" in line and "/s" in line:
            break
    loop.send_signal(signal.SIGINT)
    out, err = loop.communicate(timeout=120)
    assert loop.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["errors"] == 0
    assert processes_in(tmp_path) == []


@pytest.mark.usefixtures("binaries")
def test_ctrl_c_during_start_up_ends_in_seconds_with_a_line(tmp_path: Path) -> None:
    loop = run_loop(tmp_path / "run", "--rate", "100")
    assert loop.stderr is not None
    assert "first versions" in loop.stderr.readline()
    loop.send_signal(signal.SIGINT)
    out, err = loop.communicate(timeout=20)
    assert loop.returncode == 130
    assert (out, err) == ("", "run: stopped before the traffic began\n")
    assert processes_in(tmp_path) == []


def test_a_second_run_leaves_the_first_ones_directory_alone(tmp_path: Path) -> None:
    run = Run(directory=tmp_path / "run", recipes=[], campaigns=tmp_path)
    with run.lock():
        run.prepare(keep=True)
        loop = run_loop(tmp_path / "run")
        out, err = loop.communicate(timeout=60)
        assert run.logs.is_dir()
    assert (loop.returncode, out) == (1, "")
    assert "is in use by another run" in err
    assert len(err.splitlines()) == 1
