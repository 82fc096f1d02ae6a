"""Settings of a run of the loop: directories, ports, and the configuration files derived from `configs/`."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

import yaml

from pytrain import store
from pytrain.errors import RecipeError
from pytrain.manifest import objects_of
from pytrain.recipe import OBJECTS, Recipe, load_recipe
from scripts.loop import directory
from scripts.loop.processes import LoopError

ROOT = Path(__file__).resolve().parents[2]


LOOPBACK = {"addresses": ["127.0.0.1", "::1"]}  # how a bidder knows an exchange on this machine


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one run."""

    bid: int = 8090
    admin: int = 8091
    trainer: int = 8092
    exchange: int = 8093
    stream: int = 4222
    notices: int = 8089

    @staticmethod
    def free() -> Ports:
        """Six free ports."""
        return Ports(*directory.free_ports(6))

    def check(self) -> None:
        """Raise an error that names the first port that is in use, if there is one."""
        directory.check_ports(vars(self))


@dataclass(frozen=True)
class Run:
    """One run: its files, and the settings of its processes."""

    directory: Path  # state of the run: keys, stream, store, archive, logs, reports
    recipes: list[Path]
    campaigns: Path
    ports: Ports = field(default_factory=Ports)
    seller: str = "sim"  # the exchange's name in the bidder's configuration

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def archive(self) -> Path:
        return self.directory / "archive"

    @property
    def first_version(self) -> Path:
        return self.directory / "first" / "version" / "1"  # with the parameters of its plan where a store has them

    @property
    def outcomes(self) -> Path:
        return self.directory / "outcomes.csv"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def url(self, port: int, path: str = "") -> str:
        return f"http://127.0.0.1:{port}{path}"

    def lock(self) -> IO[bytes]:
        """Lock the run's directory; see `directory.lock`."""
        return directory.lock(self.directory)

    def prepare(self, *, keep: bool) -> bool:
        """Make the run's directory, empty unless `keep`, for versions, stream and spend; see `directory.prepare`."""
        return directory.prepare(self.directory, keep=keep)

    def keep_first_version(self) -> None:
        """Copy the version of the click model that serves now, to `first_version`.

        The report scores with it, long after the trainer has removed it from the store.
        """
        model = self.store / model_of(self.recipes[0])
        pointer = model / "pointer.json"
        stable = json.loads(pointer.read_text())["stable"] if pointer.exists() else max(store.versions(model))
        shutil.rmtree(self.directory / "first", ignore_errors=True)
        shutil.copytree(model / str(stable), self.first_version)
        if (self.store / OBJECTS).is_dir():
            shutil.copytree(self.store / OBJECTS, objects_of(self.first_version))

    def recipes_without_version(self) -> list[Path]:
        """The recipes of models without a version in the store."""
        return [r for r in self.recipes if not any((self.store / model_of(r)).glob("[0-9]*"))]

    def write_configs(self) -> tuple[Path, Path]:
        """Write the bidder's and the trainer's configuration: `configs/*.yaml` with this run's paths and ports."""
        token = str(self.directory / "stream.token")
        bidder = load("bidder.yaml")
        bidder |= {
            "listen": f"127.0.0.1:{self.ports.bid}",
            "admin_listen": f"127.0.0.1:{self.ports.admin}",
            "notices": {"listen": f"127.0.0.1:{self.ports.notices}"},
            "public_url": self.url(self.ports.notices),
            "sellers": {self.seller: LOOPBACK},
            "state_dir": str(self.directory / "bidder"),
            "campaigns": str(self.campaigns),
        }
        bidder["privacy"]["vendor"] = 1  # the simulated users consent to every vendor
        bidder["model_store"] = str(self.store)
        bidder["models"] = {model_of(recipe): {} for recipe in self.recipes}
        bidder["auction"] |= {"conversion": ""} | {key_of(recipe): model_of(recipe) for recipe in self.recipes}
        bidder["limits"] |= {"drain_delay": "0s"}  # nobody balances load here
        bidder["events"] |= {
            "embedded_listen": f"127.0.0.1:{self.ports.stream}",
            "embedded_dir": str(self.directory / "stream"),
            "token_file": token,
        }
        trainer = load("trainer.yaml")
        trainer |= {
            "admin_listen": f"127.0.0.1:{self.ports.trainer}",
            "stream_url": f"nats://127.0.0.1:{self.ports.stream}",
            "token_file": token,
            "store": str(self.store),
            "state_dir": str(self.directory / "trainer"),
            "archive_dir": str(self.archive),
            "recipes": [str(recipe) for recipe in self.recipes],
        }
        return self._dump("bidder.yaml", bidder), self._dump("trainer.yaml", trainer)

    def _dump(self, name: str, document: dict[str, Any]) -> Path:
        path = self.directory / name
        path.write_text("# Written by scripts/loop from configs/; edit the file there.\n" + yaml.safe_dump(document))
        return path


def load(name: str) -> dict[str, Any]:
    """A configuration file of `configs/`."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "configs" / name).read_text())
    return document


def model_of(recipe: Path) -> str:
    """The model that a recipe names."""
    return _read(recipe).model


def key_of(recipe: Path) -> str:
    """The bidder's configuration key for the model of a recipe: `click` or `conversion`."""
    return _read(recipe).label


def base_rate_of(recipe: Path) -> float:
    """The base rate of the recipe's model, which it predicts at first."""
    return _read(recipe).training.base_rate


def label_wait_of(recipe: Path) -> float:
    """How long (s) an impression waits for its click, or a click for its conversion."""
    return _read(recipe).join.label_wait_seconds


@cache
def _read(recipe: Path) -> Recipe:
    try:
        return load_recipe(recipe)
    except RecipeError as e:
        raise LoopError(str(e)) from e
