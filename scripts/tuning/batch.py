"""`tune_batch`: the batcher's settings for a latency target, with the least CPU."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.tuning import batch_report, plan
from scripts.tuning.choice import Choice, Target
from scripts.tuning.common import REPORT_S, Common, loads, plan_of, session, tell_verified, told, verifying
from scripts.tuning.display import clock, say
from scripts.tuning.errors import DONE, MISSED, UNREACHABLE, OutOfTime, TuneError
from scripts.tuning.output import Written, settings_of, write_settings
from scripts.tuning.race import Race
from scripts.tuning.samples import VERIFYING, Sample, Standing
from scripts.tuning.session import Pace, Session
from scripts.tuning.settings import Grid, Setting
from scripts.tuning.telling import finite
from scripts.tuning.world import Trial

VERIFICATIONS = 2  # settings that are verified at most, the next best after the first failed
TOOL = "batch"


@dataclass(frozen=True)
class Options:
    """What a run is asked for."""

    slo_p99_ms: float
    headroom: float
    grid: Grid
    common: Common


@dataclass(frozen=True)
class Verification:
    """The chosen settings, measured once more by a bidder started for it."""

    standing: Standing
    target: Target

    @property
    def met(self) -> bool:
        return self.standing.miss(self.target.rates, self.target.slo_p99_ms) <= 1

    def record(self) -> dict[str, Any]:
        return {
            "met": self.met,
            "rounds": len(self.standing.at(self.target.rates[0])),
            "p99_ms": {f"{rate:g}": finite(self.standing.p99(rate)) for rate in self.target.rates},
            "p99_range_ms": {f"{r:g}": [finite(v) for v in self.standing.range("p99", r)] for r in self.target.rates},
            "lost_share": {f"{rate:g}": self.standing.median("lost", rate) for rate in self.target.rates},
            "cpu_us": {f"{rate:g}": self.standing.median("cpu_us", rate) for rate in self.target.rates},
        }


@dataclass
class Outcome:
    """What a run ends with."""

    race: Race
    choice: Choice
    target: Target  # that the choice is for: without the loads that were found and are out of reach
    capacity: float | None
    complete: bool  # the plan was measured to its end
    verification: Verification | None = None
    written: Written | None = None

    @property
    def unreached(self) -> list[float]:
        """The loads that the choice is not for."""
        return [rate for rate in self.race.target.rates if rate not in self.target.rates]

    @property
    def status(self) -> int:
        if not self.choice.meets:
            return UNREACHABLE
        return DONE if self.verification is not None and self.verification.met else MISSED


def run(options: Options) -> int:
    """Measure, choose, verify, write and report; the exit status."""
    began, common = time.monotonic(), options.common
    directory, trial = plan_of(TOOL, common, {"grid": options.grid})
    with session(
        "tune_batch", directory, trial, minutes=common.minutes, connections=common.connections, fresh=common.fresh
    ) as opened:
        outcome = tune(opened, trial, options)
        opened.display.at(opened.clock.used_s, "report")
        outcome.written = write(outcome, options, directory)
        batch_report.write(outcome, directory)
        document = batch_report.document(outcome, directory)
        document |= {"measured_now": opened.made, "seconds": round(time.monotonic() - began, 1)}
    (directory / "result.json").write_text(json.dumps(document, indent=1) + "\n")
    if outcome.written is not None:
        outcome.written.check()
    batch_report.show(outcome)
    print(json.dumps(document), flush=True)
    return outcome.status


def tune(opened: Session, trial: Trial, options: Options) -> Outcome:
    """The race, the choice and its verification."""
    common, pace = options.common, options.common.pace
    if own := trial.section("batcher").get("models"):
        say(f"beware: what batcher.models says of {', '.join(own)} stands above what is swept here")
    base = Setting.of(trial.section("batcher"))
    grid = options.grid.settings(base, queue_rows=int(trial.section("batcher")["queue_rows"]))
    rates, found = loads(opened, base.key, base.dotted(), trial.bodies, common)
    target = Target(options.slo_p99_ms, rates, options.headroom)
    opened.reserve_s = common.verify_rounds * len(rates) * pace.cost_s + opened.fleet.start_s + REPORT_S
    sizes = planned(opened, pace, settings=len(grid), loads=len(rates))
    # A plan that was measured to its end is not added to, whatever seconds are left.
    done = f"{options.slo_p99_ms:g}/{options.headroom:g}"
    opened.over = opened.journal.get("done", done) is not None
    race = Race(grid[: sizes[0]], target, found=found is not None)

    def measure(setting: Setting, rate: float, round_: int) -> Sample:
        return sample(opened, setting, trial, "race", round_=round_, rate=rate, pace=pace)

    complete = race.run(sizes, measure, most=common.most_rounds)
    if not race.standings:
        raise TuneError(
            f"the time ran out before one setting was measured; give more than {common.minutes:g} --minutes"
        )
    outcome = Outcome(race, *race.choose(), found, complete)
    opened.reserve_s = REPORT_S
    settle(opened, trial, outcome, rounds=common.verify_rounds, pace=pace)
    if not opened.over:
        opened.journal.add("done", done)
    return outcome


def settle(opened: Session, trial: Trial, outcome: Outcome, *, rounds: int, pace: Pace) -> None:
    """Verify the choice; what that finds counts, so that another setting may be the better choice then."""
    race = outcome.race
    for attempt in range(1, VERIFICATIONS + 1):
        setting, target = outcome.choice.setting, outcome.target
        if not outcome.choice.meets:
            return
        say(f"verification {attempt}: {setting}")
        try:
            verified = verify(opened, setting, target, trial, rounds=rounds, pace=pace, attempt=attempt)
        except OutOfTime:
            return
        outcome.verification = verified
        if verified.met:
            return
        for found in verified.standing.samples:
            race.add(setting, found)
        again, reached = race.choose()
        if (again.setting, reached) == (setting, target) or attempt == VERIFICATIONS:
            return
        outcome.choice, outcome.target = again, reached
        if again.setting == setting:  # for fewer loads, at which it has just been measured
            outcome.verification = Verification(verified.standing, reached)
            if outcome.verification.met:
                return
        elif again.meets:
            outcome.verification = None


def planned(opened: Session, pace: Pace, *, settings: int, loads: int) -> list[int]:
    """The sizes of the rounds: as the journal has them, or for the time that is left."""
    if found := opened.journal.get("plan", "sizes"):
        return [int(size) for size in found["sizes"]]
    made = plan.fit(
        opened.clock.left_s - opened.reserve_s,
        settings=settings,
        loads=loads,
        pace=pace,
        start_s=opened.fleet.start_s,
        alive=opened.fleet.most or 1,
    )
    opened.journal.add("plan", "sizes", sizes=list(made.sizes))
    later = ", ".join(map(str, made.sizes[1:]))
    say(f"plan: {made.sizes[0]} of {settings} settings at {loads} loads, then {later}, in {clock(made.cost_s)}")
    return list(made.sizes)


def sample(
    opened: Session,
    setting: Setting,
    trial: Trial,
    phase: str,
    *,
    round_: int,
    rate: float,
    pace: Pace,
    name: str = "",
    changes: Mapping[str, Any] | None = None,
) -> Sample:
    """One measurement of a setting; `changes` are of the configuration, if they are more than the setting's own."""
    record = opened.measure(
        name or setting.key,
        changes or setting.dotted(),
        phase=phase,
        round_=round_,
        rate=rate,
        pace=pace,
        bodies=trial.bodies,
        setting=setting.record(),
    )
    if record["requests"] and not record["rows"]:
        raise TuneError("no request reached the model: do the campaigns match the requests? (--config, --bodies)")
    return Sample.of(record)


def verify(
    opened: Session,
    setting: Setting,
    target: Target,
    trial: Trial,
    *,
    rounds: int,
    pace: Pace,
    attempt: int = 1,
    changes: Mapping[str, Any] | None = None,
) -> Verification:
    """Measure a setting at every load, by a bidder started for it."""
    name = f"verify{attempt}-{setting.key}"
    samples = [
        sample(
            opened,
            setting,
            trial,
            "verification",
            round_=VERIFYING * attempt + n,
            rate=rate,
            pace=pace,
            name=name,
            changes=changes,
        )
        for n in range(1, rounds + 1)
        for rate in target.rates
    ]
    return Verification(Standing(setting, tuple(samples)), target)


def write(outcome: Outcome, options: Options, directory: Path) -> Written | None:
    """The recommended settings as files; none if there are none."""
    if not outcome.choice.meets:
        for name in ("settings.yaml", "bidder.yaml"):
            (directory / name).unlink(missing_ok=True)
        return None
    target = outcome.target
    loads = ", ".join(f"{rate:,.0f}" for rate in target.rates)
    verified = "verified" if outcome.verification is not None and outcome.verification.met else "NOT verified"
    comment = [
        f"Written by scripts/tune_batch.py, {time.strftime('%Y-%m-%d')}, for a p99 of {target.slo_p99_ms:g} ms at",
        f"{loads} auctions/s. p99: {outcome.choice.worst_p99_ms:.1f} ms at worst; {verified}.",
        f"CPU: {outcome.choice.cost.ratio:.2f} of what '{outcome.race.base}' takes.",
    ]
    if outcome.unreached:
        left_out = ", ".join(f"{rate:,.0f}" for rate in outcome.unreached)
        comment.append(f"NOT for {left_out} auctions/s, which is out of reach.")
    about = {"slo_p99_ms": target.slo_p99_ms, "rates": list(target.rates)}
    return write_settings(directory, outcome.choice.setting.dotted(), comment, about, config=options.common.config)


def run_verify(file: Path, *, slo_p99_ms: float | None, common: Common) -> int:
    """Measure the settings of a file, and say whether they meet the target; the exit status."""
    section, about = settings_of(file, "batcher")
    setting = Setting.of(section)
    slo = told(about, slo_p99_ms, "slo_p99_ms", "--slo-p99-ms", file)
    common = replace(common, rates=common.rates or about.get("rates", []))
    # Whatever the file says of the batcher is measured, models' own settings and the queue included.
    changes = {f"batcher.{key}": value for key, value in section.items()} | setting.dotted()
    with verifying(TOOL, common) as (opened, trial):
        rates, _ = loads(opened, setting.key, changes, trial.bodies, common)
        target = Target(slo, rates, 0.0)
        opened.display.plan(opened.clock.used_s + common.verify_rounds * len(rates) * common.pace.cost_s)
        verification = verify(
            opened, setting, target, trial, rounds=common.verify_rounds, pace=common.pace, changes=changes
        )
    batch_report.show_verification(verification)
    document = {"settings": {**section, **setting.values()}, "slo_p99_ms": slo, "rates": rates}
    return tell_verified(TOOL, document | verification.record(), met=verification.met)
