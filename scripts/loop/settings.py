"""What a run of the loop is made of: directories, ports, and the configuration files derived from `configs/`."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scripts.loop.processes import LoopError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one run."""

    bid: int = 8090
    admin: int = 8091
    trainer: int = 8092
    exchange: int = 8093
    stream: int = 4222

    @staticmethod
    def free() -> Ports:
        """Five ports that nobody listens on now."""
        sockets = [socket.socket() for _ in range(5)]
        try:
            for s in sockets:
                s.bind(("127.0.0.1", 0))
            return Ports(*(s.getsockname()[1] for s in sockets))
        finally:
            for s in sockets:
                s.close()

    def check(self) -> None:
        """Refuse to start on ports that are taken, naming them."""
        for name, port in vars(self).items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    raise LoopError(
                        f"port {port} ({name}) is taken, perhaps by another run; end that one or pass --free-ports"
                    ) from None


@dataclass(frozen=True)
class Run:
    """One run: where its files are and what its processes are told."""

    directory: Path  # state of the run: keys, stream, store, archive, logs, reports
    recipes: list[Path]
    campaigns: Path
    ports: Ports = field(default_factory=Ports)

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def archive(self) -> Path:
        return self.directory / "archive"

    @property
    def outcomes(self) -> Path:
        return self.directory / "outcomes.csv"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def url(self, port: int, path: str = "") -> str:
        return f"http://127.0.0.1:{port}{path}"

    def prepare(self, *, keep: bool) -> None:
        """Make the run's directory, empty unless `keep`: versions, stream and books of the last run then go on."""
        if self.directory.exists() and not keep:
            shutil.rmtree(self.directory)
        self.logs.mkdir(parents=True, exist_ok=True)

    def recipes_without_version(self) -> list[Path]:
        """The recipes whose model has no version in the store yet."""
        return [r for r in self.recipes if not any((self.store / model_of(r)).glob("[0-9]*"))]

    def write_configs(self) -> tuple[Path, Path]:
        """Write the bidder's and the trainer's configuration: `configs/*.yaml` with this run's places and ports."""
        token = str(self.directory / "stream.token")
        bidder = load("bidder.yaml")
        bidder |= {
            "listen": f"127.0.0.1:{self.ports.bid}",
            "admin_listen": f"127.0.0.1:{self.ports.admin}",
            "public_url": self.url(self.ports.bid),
            "state_dir": str(self.directory / "bidder"),
            "campaigns": str(self.campaigns),
        }
        bidder["models"] = {"store": str(self.store)} | {key_of(recipe): model_of(recipe) for recipe in self.recipes}
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
    return str(_read(recipe)["model"])


def key_of(recipe: Path) -> str:
    """The bidder's configuration key for the model of a recipe: `click` or `conversion`."""
    return str(_read(recipe)["label"])


def base_rate_of(recipe: Path) -> float:
    """The rate at which the recipe's model starts."""
    return float(_read(recipe)["training"]["base_rate"])


def _read(recipe: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(recipe.read_text())
    return document
