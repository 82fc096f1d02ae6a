"""One run of the loop, from the first model version to the report."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scripts.loop import sources
from scripts.loop.display import Display, Status
from scripts.loop.processes import Child, Interrupted, Interrupts, LoopError, start, stopped_at_the_end, wait_ready
from scripts.loop.report import Result, summarise
from scripts.loop.settings import ROOT, Run, model_of

PYTHON = ROOT / ".venv/bin/python"
CLICK = ROOT / "models/ctr/recipe.yaml"
EXCHANGE_ENDS_S = 45.0  # answers awaited, notices flushed
TRAINER_ENDS_S = 45.0  # last frames learnt, checkpoint written
BIDDER_ENDS_S = 20.0  # auctions answered, events flushed
STATUS_EVERY_S = 2.0


@dataclass(frozen=True)
class Plan:
    """The traffic of a run, and the models and campaigns for it."""

    title: str
    recipes: list[Path]
    campaigns: Path
    exchange: list[str]  # arguments of bin/exchange
    has_teacher: bool  # the clicks come from a hidden model that is known

    @staticmethod
    def simulated(rate: float, duration_s: float | None, seed: int, *, click: Path = CLICK) -> Plan:
        """Traffic from the exchange's simulated world; `click` is the recipe of P(click | impression)."""
        arguments = [
            "simulate",
            "--config",
            str(ROOT / "configs/exchange.yaml"),
            "--rate",
            str(rate),
            "--seed",
            str(seed),
        ]
        return Plan(
            title="Gavel, simulated traffic",
            recipes=[click, ROOT / "models/cvr/recipe.yaml"],
            campaigns=ROOT / "configs/campaigns.yaml",
            exchange=arguments + ([] if duration_s is None else ["--duration", f"{duration_s}s"]),
            has_teacher=True,
        )

    @staticmethod
    def of_replay(data: Path, *, rate: float, duration_s: float | None) -> Plan:
        """A real log. Its recipe and campaigns are beside its log.yaml, or in `models/replay` and `configs/replay`."""
        if not data.is_dir():
            raise LoopError(f"no such directory: {data}; name a data set such as path/to/ipinyou_2997")
        data = data.resolve()
        if (data / "log.yaml").exists():  # a user's own log has its recipe and campaigns beside it
            name, recipe, campaigns = "log", data / "recipe.yaml", data / "campaigns.yaml"
        else:
            name = data.name
            recipe = ROOT / "models/replay" / name / "recipe.yaml"
            campaigns = ROOT / "configs/replay" / f"{name}.campaigns.yaml"
            if not recipe.exists():
                known = sorted(path.parent.name for path in (ROOT / "models/replay").glob("*/recipe.yaml"))
                raise LoopError(
                    f"no log.yaml in {data}, and no recipe for the data set {name}; there are: {', '.join(known)}. "
                    'docs/replay.md, "Your own log", says how to bring one'
                )
        if missing := [str(path) for path in (recipe, campaigns) if not path.exists()]:
            raise LoopError(f'{" and ".join(missing)} not found; docs/replay.md, "Your own log", shows both')
        arguments = ["replay", "--data", str(data), "--set", name, "--rate", str(rate)]
        return Plan(
            title=f"Gavel, replay of {data.name}",
            recipes=[recipe],
            campaigns=campaigns,
            exchange=arguments + ([] if duration_s is None else ["--duration", f"{duration_s}s"]),
            has_teacher=False,
        )


class Loop:
    """Starts, watches and stops the processes of one run."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self._run = run
        self._plan = plan
        self._interrupts = Interrupts(
            "stopping: traffic first, then trainer, then bidder (again to give up waiting)", say
        )
        self._began = time.monotonic()

    def run(self) -> Result:
        """Run to the end of the traffic or to Ctrl-C, and report.

        Raises
        ------
        Interrupted
            Ctrl-C came before the traffic.
        LoopError
            A process did not start, died, or did not stop.
        """
        with self._interrupts.handled():
            bidder_config, trainer_config = self._run.write_configs()
            self._first_versions()
            if self._plan.has_teacher:
                self._run.keep_first_version()
            with stopped_at_the_end(BIDDER_ENDS_S, say) as children:
                return self._serve(children, bidder_config, trainer_config)

    def _first_versions(self) -> None:
        recipes = self._run.recipes_without_version()
        if not recipes:
            return
        say(f"first versions, untrained: {', '.join(map(model_of, recipes))}")
        inits = [
            subprocess.Popen(
                [PYTHON, "-m", "pytrain", "init", "--recipe", recipe, "--store", self._run.store],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                process_group=0,
            )
            for recipe in recipes
        ]
        try:
            faults = [(self._outcome(init), init.returncode) for init in inits]
        finally:
            for init in inits:
                init.kill()
        if failed := [f"status {status}:\n{text.strip()}" for text, status in faults if status]:
            raise LoopError("pytrain init failed with " + "\n".join(failed))

    def _outcome(self, process: subprocess.Popen[str]) -> str:
        """A process's stderr, after it has ended."""
        while True:
            try:
                return process.communicate(timeout=0.2)[1]
            except subprocess.TimeoutExpired:
                if self._interrupts.came:
                    raise Interrupted("stopped before the traffic began") from None

    def _serve(self, children: list[Child], bidder_config: Path, trainer_config: Path) -> Result:
        run, ports = self._run, self._run.ports
        bidder = start("bidder", [ROOT / "bin/bidder", "serve", "--config", bidder_config], log=run.logs / "bidder.log")
        children.append(bidder)
        wait_ready(bidder, run.url(ports.admin, "/readyz"), timeout_s=60, interrupted=self._interrupts.asked)
        trainer = start(
            "trainer", [ROOT / "bin/trainer", "run", "--config", trainer_config], log=run.logs / "trainer.log"
        )
        children.append(trainer)
        wait_ready(trainer, run.url(ports.trainer, "/readyz"), timeout_s=90, interrupted=self._interrupts.asked)
        if self._interrupts.came:
            raise Interrupted("stopped before the traffic began")
        before = sources.scrape(run.url(ports.admin, "/metrics"))
        report = run.directory / "exchange.json"
        exchange = start(
            "exchange",
            [
                ROOT / "bin/exchange",
                *self._plan.exchange,
                *("--bidder", run.url(ports.bid), "--outcomes", run.outcomes),
                *("--status-listen", f"127.0.0.1:{ports.exchange}"),
            ],
            log=run.logs / "exchange.log",
            stdout=report,
        )
        children.append(exchange)
        self._interrupts.offering = True
        self._began = time.monotonic()
        self._watch(exchange, [bidder, trainer])
        exchange.stop(wait_s=EXCHANGE_ENDS_S)
        if exchange.process.returncode:
            raise LoopError(exchange.died() or "exchange failed")
        books = json.loads(report.read_text().splitlines()[-1])
        bidder_metrics = sources.scrape(run.url(ports.admin, "/metrics"))
        trainer.stop(wait_s=TRAINER_ENDS_S)
        bidder.stop(wait_s=BIDDER_ENDS_S)
        say("scoring the closing impressions")
        result = summarise(self._run, books, before, bidder_metrics, has_teacher=self._plan.has_teacher)
        for child in (trainer, bidder):
            if child.process.returncode:
                result.faults.append(f"{child.name} ended with status {child.process.returncode} ({child.log})")
        return result

    def _watch(self, exchange: Child, others: list[Child]) -> None:
        """Show the status until the traffic ends, Ctrl-C, or a process dies. It runs at low priority."""
        os.nice(10)
        readings = Readings(self._run, self._began)
        with Display(self._plan.title) as display:
            while not self._interrupts.came and exchange.process.poll() is None:
                for child in others:
                    if reason := child.died():
                        raise LoopError(reason)
                if status := readings.take():
                    display.show(status)
                try:
                    exchange.process.wait(timeout=STATUS_EVERY_S)
                except subprocess.TimeoutExpired:
                    continue


class Readings:
    """Make a status of each scrape; the previous scrape gives the values by interval."""

    def __init__(self, run: Run, began: float) -> None:
        self._run = run
        self._began = began
        self._click = model_of(run.recipes[0])
        self._last: tuple[float, sources.Metrics, dict[str, Any]] | None = None

    def take(self) -> Status | None:
        """The next status; None at the first scrape, or if a process does not answer in time."""
        ports = self._run.ports
        try:
            bidder = sources.scrape(self._run.url(ports.admin, "/metrics"))
            trainer = sources.scrape(self._run.url(ports.trainer, "/metrics"))
            exchange = sources.exchange_status(self._run.url(ports.exchange, "/status"))
        except httpx.HTTPError:
            return None
        now = time.monotonic()
        last, self._last = self._last, (now, bidder, exchange)
        if last is None:
            return None
        then, old, old_exchange = last
        batches = bidder.sum("gavel_batcher_batches_total") - old.sum("gavel_batcher_batches_total")
        rows = bidder.sum("gavel_batcher_rows_total") - old.sum("gavel_batcher_rows_total")
        auctions = float(exchange["auctions"])
        return Status(
            elapsed_s=now - self._began,
            auctions_per_s=(auctions - float(old_exchange["auctions"])) / (now - then),
            bid_rate=float(exchange["bids"]) / auctions if auctions else 0.0,
            p50_ms=float(exchange.get("p50_ms", math.nan)),
            p99_ms=float(exchange.get("p99_ms", math.nan)),
            mean_batch_rows=rows / batches if batches else math.nan,
            flushes=bidder.by("gavel_batcher_flushes_total", "cause"),
            spend_micros=int(bidder.sum("gavel_spend_micros_total")),
            budget_micros=int(bidder.sum("gavel_budget_micros")),
            clicks_seen=trainer.sum("gavel_trainer_served_labels_total", model=self._click),
            clicks_predicted=trainer.sum("gavel_trainer_served_probability_total", model=self._click),
            versions={m: int(v) for m, v in bidder.by("gavel_model_version", "model", role="stable").items()},
            version_age_s=bidder.by("gavel_model_age_seconds", "model"),
            late=int(exchange["late"]),
            errors=int(exchange["errors"]),
        )


def say(text: str) -> None:
    """One line of progress, on stderr."""
    print(f"run: {text}", file=sys.stderr, flush=True)
