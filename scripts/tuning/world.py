"""What settings are tried on: the world of the benchmarks, or the user's own configuration, campaigns and requests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from bench.world import ID_MARKER, RECIPE, World, campaigns, ensure_model, put
from scripts.loop.settings import ROOT, Ports, load
from scripts.tuning.errors import TuneError
from scripts.tuning.journal import digest

CAMPAIGNS = "configs/campaigns.yaml"  # where a configuration names none
ENDLESS = 900_000_000  # a daily budget that no measurement spends
MOST_BODIES = 20_000  # recorded requests used: the generator holds them in memory
FEW_BODIES = 1000


@dataclass(frozen=True)
class Trial(World):
    """The files that bidders and load of one plan use, in a directory of the plan."""

    _: KW_ONLY
    models: Path  # the store of the benchmark's model, shared by all plans
    config: Path | None = None  # the user's bidder configuration; None: the shipped one over the benchmark's model
    recorded: Path | None = None  # the user's requests, one JSON object a line; None: the benchmark's

    @property
    def store(self) -> Path:
        return self.models

    @property
    def document(self) -> dict[str, Any]:
        """The configuration that settings are changes of."""
        if self.config is None:
            return load("bidder.yaml")
        try:
            document = yaml.safe_load(self.config.read_text())
        except (OSError, yaml.YAMLError) as error:
            raise TuneError(f"cannot read --config: {error}") from error
        if not isinstance(document, dict):
            raise TuneError(f"--config {self.config} is not a mapping of keys to values")
        return document

    def section(self, name: str) -> dict[str, Any]:
        """A section of that configuration, with what the shipped file says where it says nothing."""
        return {**load("bidder.yaml")[name], **(self.document.get(name) or {})}

    def inputs(self) -> dict[str, Any]:
        """All that measurements depend on: digests of files, by name."""
        document = self.document
        files = {
            "bidder": ROOT / "bin/bidder",
            "loadgen": ROOT / "bin/loadgen",
            "world": Path(__file__).parents[2] / "bench/world.py",
        }
        if self.config is None:
            files["recipe"] = RECIPE
        else:
            files["campaigns"] = Path(document.get("campaigns", CAMPAIGNS))
            files["store"] = Path(document.get("model_store", "var/store"))
        if self.recorded is not None:
            files["bodies"] = self.recorded
        for name, path in files.items():
            if not path.exists():
                remedy = "; `make tune-batch` builds it" if path.parent == ROOT / "bin" else ""
                raise TuneError(f"the {name} is not there: {path}{remedy}")
        return {"config": document, **{name: digest(path) for name, path in files.items()}}

    def prepare(self) -> None:
        """Make what is not there yet: the model, campaigns and requests, or a copy of the user's."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.config is None:
            ensure_model(self.store)
            made = campaigns(self.candidates)
        else:
            made = unbound(yaml.safe_load(Path(self.document.get("campaigns", CAMPAIGNS)).read_text()))
        self.campaigns.write_text(yaml.safe_dump(made, width=200))
        if self.recorded is None:
            self.write_bodies()
            return
        with self.recorded.open(encoding="utf-8") as lines:
            write_lines(self.bodies, numbered(islice(lines, MOST_BODIES)))

    def with_tmax(self, name: str, tmax_ms: Sequence[int]) -> Path:
        """The requests with other deadlines, in turn; a file beside the requests."""
        path = self.directory / f"bodies-{name}.jsonl"
        write_lines(path, deadlines(self.bodies.read_text(encoding="utf-8").splitlines(), tmax_ms))
        return path

    def write_config(self, name: str, ports: Ports, settings: Mapping[str, Any]) -> Path:
        """A bidder's configuration with `settings` (dotted keys), on loopback, with a state and stream of its own.

        Of the user's configuration, the outside stream is left out, so that nothing measured here is learnt from.
        """
        if self.config is None:
            return super().write_config(name, ports, settings)
        state = self.directory / f"state-{name}"
        shutil.rmtree(state, ignore_errors=True)
        document = self.document
        events = dict(document.get("events") or {})
        events.pop("url", None)
        document["events"] = events
        for key, value in {
            "name": name,
            "listen": f"127.0.0.1:{ports.bid}",
            "admin_listen": f"127.0.0.1:{ports.admin}",
            "state_dir": str(state),
            "campaigns": str(self.campaigns),
            "events.embedded_listen": f"127.0.0.1:{ports.stream}",
            "events.embedded_dir": str(state / "stream"),
            "events.token_file": str(state / "stream.token"),
            "predict.listen": "",
            "budget.lease_share": 1.0,
            "log.level": "warn",
            **settings,
        }.items():
            section = key.split(".")[0]
            if "." in key and document.get(section) is None:
                document[section] = {}
            put(document, key, value)
        path = self.directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document))
        return path


def unbound(document: dict[str, Any]) -> dict[str, Any]:
    """Campaigns whose money never ends and is not paced: what is measured is the model's load, not the day's budget."""
    listed = [{**c, "daily_budget": ENDLESS, "pacing": "asap"} for c in document.get("campaigns") or []]
    return {**document, "campaigns": listed}


def write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def numbered(lines: Iterable[str]) -> Iterator[str]:
    """Recorded requests, each with the marker that the generator makes a new id of, so that none comes twice."""
    for line in filter(str.strip, lines):
        try:
            body = json.loads(line)
        except ValueError:
            body = None
        if isinstance(body, dict):
            yield json.dumps({**body, "id": ID_MARKER}, separators=(",", ":"), ensure_ascii=False)
        else:
            yield line.strip()  # as it was recorded: a fault that the bidder answers


def deadlines(lines: Sequence[str], tmax_ms: Sequence[int]) -> Iterator[str]:
    """The requests with these deadlines in turn; few requests are repeated, so that each has every deadline."""
    many = len(lines) >= FEW_BODIES
    for number, line in enumerate(lines):
        try:
            body = json.loads(line)
        except ValueError:
            continue
        for tmax in [tmax_ms[number % len(tmax_ms)]] if many else tmax_ms:
            if isinstance(body, dict):
                yield json.dumps({**body, "tmax": tmax}, separators=(",", ":"), ensure_ascii=False)
