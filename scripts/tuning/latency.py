"""`tune_latency`: the least `auction.tmax_margin` with which answers reach the exchange in time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.tuning import latency_report
from scripts.tuning.common import Common, loads, plan_of, session, tell_verified, told, verifying
from scripts.tuning.latency_sweep import TIMEOUTS, Options, Outcome, Tuning
from scripts.tuning.output import Written, settings_of, write_settings

TOOL = "latency"


def run(options: Options) -> int:
    """Measure, choose, verify, write and report; the exit status."""
    began, common = time.monotonic(), options.common
    swept = {"margins": options.margins_ms, "tmax": options.tmax_ms, "timeouts": options.timeouts_us}
    directory, trial = plan_of(TOOL, common, swept)
    with session(
        "tune_latency", directory, trial, minutes=common.minutes, connections=common.connections, fresh=common.fresh
    ) as opened:
        outcome = Tuning(opened, trial, options).run()
        opened.display.at(opened.clock.used_s, "report")
        outcome.written = write(outcome, directory)
        latency_report.write(outcome, directory)
        document = latency_report.document(outcome, directory)
        document |= {"measured_now": opened.made, "seconds": round(time.monotonic() - began, 1)}
    (directory / "result.json").write_text(json.dumps(document, indent=1) + "\n")
    if outcome.written is not None:
        outcome.written.check()
    latency_report.show(outcome)
    print(json.dumps(document), flush=True)
    return outcome.status


def write(outcome: Outcome, directory: Path) -> Written | None:
    """The recommended settings as files; none if there are none."""
    if not outcome.choice.meets:
        for name in ("settings.yaml", "bidder.yaml"):
            (directory / name).unlink(missing_ok=True)
        return None
    options = outcome.options
    verified = "verified" if outcome.verification is not None and outcome.verification.met else "NOT verified"
    comment = [
        f"Written by scripts/tune_latency.py, {time.strftime('%Y-%m-%d')}: the least margin with at most",
        f"{options.late_share:g} of the answers late, {options.network_ms:g} ms of network added; {verified}.",
    ]
    about = {
        "late_share": options.late_share,
        "network_ms": options.network_ms,
        "tmax_ms": list(options.tmax_ms),
        "rates": list(outcome.rates),
    }
    return write_settings(directory, outcome.changes, comment, about, config=options.common.config)


def run_verify(
    file: Path, *, late_share: float | None, network_ms: float | None, tmax_ms: Sequence[int], common: Common
) -> int:
    """Measure the settings of a file, and say whether they keep the late share; the exit status."""
    section, about = settings_of(file, "auction")
    target = told(about, late_share, "late_share", "--late-share", file)
    changes: dict[str, Any] = {"auction.tmax_margin": section["tmax_margin"]} if "tmax_margin" in section else {}
    limits, _ = settings_of(file, "limits", needed=False)
    changes |= {key: limits[key.split(".")[1]] for key in TIMEOUTS if key.split(".")[1] in limits}
    common = replace(common, rates=common.rates or about.get("rates", []))
    options = Options(
        late_share=target,
        margins_ms=[],
        tmax_ms=list(tmax_ms) or about.get("tmax_ms", [50, 75, 100, 150]),
        network_ms=about.get("network_ms", 0.0) if network_ms is None else network_ms,
        timeouts_us=[],
        common=common,
    )
    with verifying(TOOL, common) as (opened, trial):
        tuning = Tuning(opened, trial, options)
        tuning.rates, _ = loads(opened, "verify", changes, trial.bodies, common)
        rounds = common.verify_rounds
        opened.display.plan(opened.clock.used_s + rounds * len(tuning.rates) * common.pace.cost_s)
        verification = tuning.verify(changes, rounds)
    latency_report.show_verification(verification)
    document = {"settings": changes, "network_ms": options.network_ms, **latency_report.verified(verification)}
    return tell_verified(TOOL, document, met=verification.met)
