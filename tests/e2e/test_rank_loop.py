"""The closed loop of ranking as a person runs it: a few campaigns that sell often."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.loop.settings import ROOT
from tests.e2e.test_loop import processes_in

CAMPAIGNS = 12
WORLD = [
    *("--campaigns", str(CAMPAIGNS), "--rate-min", "0.005", "--rate-max", "0.1"),
    *("--warmup", "30000", "--rate", "200", "--auctions", "60"),
]
TRAINED = re.compile(r"(\d+) trained")


@pytest.mark.usefixtures("binaries")
def test_the_ranking_loop_learns_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    loop = subprocess.Popen(
        [sys.executable, "-m", "scripts.rank", "--free-ports", "--directory", tmp_path / "run", *WORLD],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert loop.stderr is not None
    seen = []
    for line in itertools.islice(loop.stderr, 40):  # a line every 10 s; ends with the process
        seen.append(line)
        if (found := TRAINED.search(line)) and int(found[1]) > CAMPAIGNS + 1:  # trained again, on what was sold
            break
    loop.send_signal(signal.SIGINT)
    out, err = loop.communicate(timeout=150)
    assert loop.returncode == 0, "".join(seen) + err
    result = json.loads(out.splitlines()[-1])
    assert result["errors"] == 0
    assert 0 < result["clicks_from_auctions"] < result["clicks"]
    assert result["sales"] > 0
    assert 0 < result["examples_with_sale"] <= result["examples"] <= result["clicks"]
    assert result["classifiers_trained"] > CAMPAIGNS
    assert result["classifier_files_served"] > 0
    assert result["lift_share"] > 0.2, result
    assert result["global_model_lift_share"] <= result["best_single_campaign_lift_share"] < 1
    assert processes_in(tmp_path) == []
