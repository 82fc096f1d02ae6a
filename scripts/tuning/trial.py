"""What settings are tried on: the benchmarks' world, or the user's own configuration, campaigns and requests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from bench.world import ID_MARKER, RECIPE, World, campaigns, ensure_model
from scripts.loop.settings import ROOT
from scripts.tuning.config import CAMPAIGNS, OUTSIDE_STREAM, STORE, TuneError, read, value
from scripts.tuning.journal import digest

ENDLESS = 900_000_000  # a daily budget that no measurement spends
MOST_BODIES = 20_000  # recorded requests used: the generator holds them in memory


@dataclass(frozen=True)
class Trial(World):
    """The files that bidders and load of one plan use, in a directory of the plan."""

    _: KW_ONLY
    models: Path  # the store of the benchmark's model, shared by all plans
    config: Path | None = None  # the user's bidder configuration; None: the shipped one with the benchmark's model
    recorded: Path | None = None  # the user's requests, one JSON object a line; None: the benchmark's

    @property
    def store(self) -> Path:
        return self.models

    def document(self) -> dict[str, Any]:
        """The configuration that settings are changes of; without an outside stream, so that nothing learns from it."""
        if self.config is None:
            return super().document()
        document = read(self.config, "--config")
        section, key = OUTSIDE_STREAM.split(".")
        if section in document:
            document[section] = {k: v for k, v in document[section].items() if k != key}
        return document

    def inputs(self) -> dict[str, Any]:
        """Everything that measurements depend on: the configuration, and digests of files by name."""
        document = self.document()
        files = {name: ROOT / "bin" / name for name in ("bidder", "loadgen")} | {"world": ROOT / "bench/world.py"}
        if self.config is None:
            files["recipe"] = RECIPE
        else:
            files |= {"campaigns": Path(value(document, CAMPAIGNS)), "store": Path(value(document, STORE))}
        if self.recorded is not None:
            files["bodies"] = self.recorded
        for name, path in files.items():
            if not path.exists():
                remedy = "; `make setup` builds it" if path.parent == ROOT / "bin" else ""
                raise TuneError(f"the {name} is not there: {path}{remedy}")
        return {"config": document, **{name: digest(path) for name, path in files.items()}}

    def prepare(self) -> None:
        """Make the campaigns, the requests and, in the benchmarks' world, the model where it is not there yet."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.config is None:
            ensure_model(self.store)
            made = campaigns(self.candidates)
        else:
            made = unbound(read(Path(value(self.document(), CAMPAIGNS)), "the campaigns"))
        self.campaigns.write_text(yaml.safe_dump(made, width=200))
        if self.recorded is None:
            self.write_bodies()
            return
        with self.recorded.open(encoding="utf-8") as lines:
            write_lines(self.bodies, numbered(islice(lines, MOST_BODIES)))

    def with_tmax(self, tmax_ms: Sequence[int]) -> Path:
        """The requests with these deadlines; a file beside the requests."""
        path = self.directory / "bodies-tmax.jsonl"
        write_lines(path, deadlines(self.bodies.read_text(encoding="utf-8").splitlines(), tmax_ms))
        return path


def unbound(document: dict[str, Any]) -> dict[str, Any]:
    """Campaigns with endless budgets and without pacing, so that every campaign that matches is scored."""
    listed = [{**c, "daily_budget": ENDLESS, "pacing": "asap"} for c in document.get("campaigns") or []]
    return {**document, "campaigns": listed}


def write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def parsed(line: str) -> dict[str, Any] | None:
    """A request, or None where the line is not one."""
    try:
        body = json.loads(line)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def compact(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def numbered(lines: Iterable[str]) -> Iterator[str]:
    """Recorded requests with the marker from which the generator makes new ids, so that no id comes twice.

    A line that is not a request stays as it was recorded: the bidder has to answer such lines too.
    """
    for line in filter(str.strip, lines):
        body = parsed(line)
        yield line.strip() if body is None else compact({**body, "id": ID_MARKER})


def deadlines(lines: Sequence[str], tmax_ms: Sequence[int]) -> Iterator[str]:
    """The requests, each once with every deadline."""
    for body in map(parsed, lines[: MOST_BODIES // len(tmax_ms)]):
        if body is not None:
            yield from (compact({**body, "tmax": tmax}) for tmax in tmax_ms)
