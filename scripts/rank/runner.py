"""One run of the ranking loop, from the warm-up log to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx

from scripts.loop import sources
from scripts.loop.display import Display
from scripts.loop.processes import (
    Child,
    Interrupted,
    Interrupts,
    LoopError,
    start,
    stopped_at_the_end,
    tail,
    wait_ready,
)
from scripts.loop.settings import ROOT
from scripts.rank.report import Result, summarise
from scripts.rank.settings import CLICK_RECIPE, Run
from scripts.rank.status import Status, Versions, take

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PYTHON = ROOT / ".venv/bin/python"
EXCHANGE_ENDS_S = 45.0  # answers awaited, clicks and sales delivered
TRAINER_ENDS_S = 75.0  # the campaigns at hand trained, examples flushed
SERVERS_END_S = 20.0
FIRST_CLASSIFIERS_S = 1800.0  # the penalties are chosen, the prior fitted, all campaigns trained
STATUS_EVERY_S = 2.0


class Loop:
    """Starts, watches and stops the processes of one run."""

    def __init__(self, run: Run, duration_s: float | None) -> None:
        self._run = run
        self._duration_s = duration_s
        order = "traffic first, then trainer, bidder, ranker (again to give up waiting)"
        self._interrupts = Interrupts(f"stopping: {order}", say)
        self._began = time.monotonic()
        self._versions = Versions()

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
            self._run.write_configs()
            with stopped_at_the_end(SERVERS_END_S, say) as children:
                return self._serve(children)

    def _serve(self, children: list[Child]) -> Result:
        run, ports = self._run, self._run.ports

        def begin(name: str, command: Sequence[str | Path], ready: str | None, out: Path | None = None) -> Child:
            child = start(name, command, log=run.logs / f"{name}.log", stdout=out)
            children.append(child)
            if ready:
                wait_ready(child, ready, timeout_s=90, interrupted=self._interrupts.asked)
            return child

        say(f"the warm-up log: {run.world.warmup:,} clicks to any of {run.world.campaigns} campaigns")
        warm = json.loads(self._once("warmup", self._warmup()).splitlines()[-1])
        say(f"the warm-up log has {warm['sales']:,} sales; the first classifiers learn from it")
        ranker = begin(
            "ranker",
            [ROOT / "bin/ranker", "serve", "--config", run.config("ranker")],
            run.url(ports.ranker_admin, "/readyz"),
        )
        trainer = begin(
            "trainer",
            [ROOT / "bin/trainer", "rank", "--config", run.config("rank-trainer")],
            run.url(ports.trainer, "/readyz"),
        )
        self._once("init", [PYTHON, "-m", "pytrain", "init", "--recipe", CLICK_RECIPE, "--store", run.store])
        bidder = begin(
            "bidder",
            [ROOT / "bin/bidder", "serve", "--config", run.config("bidder")],
            run.url(ports.bidder_admin, "/readyz"),
        )
        self._first_classifiers([ranker, trainer, bidder])
        before = sources.scrape(run.url(ports.ranker_admin, "/metrics"))
        report = run.directory / "exchange.json"
        simulate: list[str | Path] = [
            ROOT / "bin/exchange",
            "simulate",
            "--config",
            run.config("exchange"),
            "--ranking",
            run.books,
        ]
        if self._duration_s is not None:
            simulate += ["--duration", f"{self._duration_s}s"]
        exchange = begin("exchange", simulate, None, report)
        self._interrupts.offering = True
        self._began = time.monotonic()
        self._watch(exchange, [ranker, trainer, bidder])
        exchange.stop(wait_s=EXCHANGE_ENDS_S)
        if exchange.process.returncode:
            raise LoopError(exchange.died() or "exchange failed")
        books = json.loads(report.read_text().splitlines()[-1])
        ended = [sources.scrape(run.url(port, "/metrics")) for port in (ports.ranker_admin, ports.trainer)]
        trainer.stop(wait_s=TRAINER_ENDS_S)
        bidder.stop(wait_s=SERVERS_END_S)
        ranker.stop(wait_s=SERVERS_END_S)
        say("comparing with one global model")
        result = summarise(run, warm, books, before, *ended, versions=self._versions)
        for child in (trainer, bidder, ranker):
            if child.process.returncode:
                result.faults.append(f"{child.name} ended with status {child.process.returncode} ({child.log})")
        return result

    def _warmup(self) -> list[str | Path]:
        run = self._run
        sizes: list[str | Path] = [
            "--datasets",
            run.datasets,
            "--data-set",
            run.data_set.name,
            "--clicks",
            str(run.world.warmup),
        ]
        return [ROOT / "bin/exchange", "warmup", "--config", run.config("exchange"), *sizes]

    def _once(self, name: str, command: Sequence[str | Path]) -> str:
        """Run a command to its end, and return what it printed."""
        out = self._run.directory / f"{name}.out"
        child = start(name, command, log=self._run.logs / f"{name}.log", stdout=out)
        try:
            while True:
                if self._interrupts.came:
                    raise Interrupted("stopped before the traffic began")
                try:
                    status = child.process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
                if status:
                    raise LoopError(child.died() or f"{name} failed")
                return out.read_text()
        finally:
            child.process.kill()

    def _first_classifiers(self, children: list[Child]) -> None:
        """Wait for the end of the trainer's first round, and until the ranker has read its classifiers."""
        run, ports = self._run, self._run.ports
        deadline = time.monotonic() + FIRST_CLASSIFIERS_S
        told = time.monotonic()
        while time.monotonic() < deadline:
            if self._interrupts.came:
                raise Interrupted("stopped before the traffic began")
            for child in children:
                if reason := child.died():
                    raise LoopError(reason)
            trained = sources.scrape(run.url(ports.trainer, "/metrics")).sum("gavel_rank_training_classifiers")
            serving = sources.scrape(run.url(ports.ranker_admin, "/metrics")).sum("gavel_bank_classifiers")
            if trained and serving >= trained:
                say(f"{serving:.0f} classifiers serve")
                return
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                say(f"{serving:.0f} classifiers so far; {tail(run.logs / 'trainer.log', 1).strip()[-100:]}")
            time.sleep(0.5)  # polls: the trainer reports by its metrics
        raise LoopError(f"no classifiers within {FIRST_CLASSIFIERS_S:.0f} s; see {run.logs / 'trainer.log'}")

    def _watch(self, exchange: Child, others: list[Child]) -> None:
        """Show the status until the traffic ends, Ctrl-C, or a process dies. It runs at low priority."""
        os.nice(10)
        last: Status | None = None
        with Display("Gavel, a ranking") as display:
            while not self._interrupts.came and exchange.process.poll() is None:
                for child in others:
                    if reason := child.died():
                        raise LoopError(reason)
                try:
                    last = take(self._run, self._began, last, self._versions)
                    display.show(last)
                except httpx.HTTPError:  # a process is busy; the next sample will tell
                    pass
                try:
                    exchange.process.wait(timeout=STATUS_EVERY_S)
                except subprocess.TimeoutExpired:
                    continue


def say(text: str) -> None:
    """One line of progress, on stderr."""
    print(f"rank: {text}", file=sys.stderr, flush=True)
