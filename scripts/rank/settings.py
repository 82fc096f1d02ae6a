"""Settings of a run of the ranking loop: directories, ports, and the configuration files derived from `configs/`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scripts.loop.directory import free_ports
from scripts.loop.settings import LOOPBACK, ROOT, load, model_of

CLICK_RECIPE = ROOT / "models/ctr/logreg.yaml"  # the bidder's model; its trainer does not run
SALE_WINDOW_S = 7  # how long a click waits for its sale; the exchange's sales come within 5 s
BANNERS = ("300x250", "728x90", "320x50", "160x600")


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one run."""

    bid: int = 8090
    bidder_admin: int = 8091
    exchange: int = 8093
    rank: int = 8095
    ranker_admin: int = 8096
    trainer: int = 8097
    stream: int = 4222
    rank_stream: int = 4223
    notices: int = 8089

    @staticmethod
    def free() -> Ports:
        """As many free ports."""
        return Ports(*free_ports(9))


@dataclass(frozen=True)
class World:
    """The simulated users and campaigns."""

    campaigns: int
    rate_min: float
    rate_max: float
    rate: float  # clicks a second straight to the ranker
    auctions: float  # a second
    warmup: int  # clicks
    seed: int


@dataclass(frozen=True)
class Run:
    """One run: its files, and the settings of its processes."""

    directory: Path
    recipe: Path
    world: World
    policy: str
    epsilon: float
    ports: Ports = field(default_factory=Ports)

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def datasets(self) -> Path:
        return self.directory / "datasets"

    @property
    def data_set(self) -> Path:
        return self.datasets / "sale"

    @property
    def classifiers(self) -> Path:
        return self.directory / "classifiers"

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def landings(self) -> Path:
        """The ranker's campaign file, which the exchange writes."""
        return self.directory / "rank-campaigns.yaml"

    @property
    def books(self) -> Path:
        """The exchange's books by campaign and 10 s."""
        return self.directory / "campaigns.csv"

    def config(self, process: str) -> Path:
        """The configuration of `ranker`, `rank-trainer`, `bidder` or `exchange`."""
        return self.directory / f"{process}.yaml"

    def url(self, port: int, path: str = "") -> str:
        return f"http://127.0.0.1:{port}{path}"

    def write_configs(self) -> None:
        """Write each process's configuration: `configs/*.yaml` with this run's paths, ports and world."""
        for name, changed in {
            "ranker": self._ranker(),
            "rank-trainer": self._trainer(),
            "bidder": self._bidder(),
            "exchange": self._exchange(),
        }.items():
            document = merged(load(f"{name}.yaml"), changed)
            head = "# Written by scripts/rank from configs/; edit the file there.\n"
            self.config(name).write_text(head + yaml.safe_dump(document))
        self._banner_file.write_text(yaml.safe_dump(self._banner()))

    def _ranker(self) -> dict[str, Any]:
        return {
            "listen": f"127.0.0.1:{self.ports.rank}",
            "admin_listen": f"127.0.0.1:{self.ports.ranker_admin}",
            "state_dir": str(self.directory / "ranker"),
            "campaigns": str(self.landings),
            "models": {"sale": {"scorer": "bank", "directory": str(self.classifiers)}},
            "click": {"policy": self.policy},
            "limits": {"drain_delay": "0s"},
            "explore": {"epsilon": self.epsilon, "seed": self.world.seed, "prior_variance": 2},
            "events": {
                "embedded_listen": f"127.0.0.1:{self.ports.rank_stream}",
                "embedded_dir": str(self.directory / "ranker/stream"),
                "token_file": str(self.directory / "ranker/stream.token"),
            },
        }

    def _trainer(self) -> dict[str, Any]:
        return {
            "admin_listen": f"127.0.0.1:{self.ports.trainer}",
            "stream_url": f"nats://127.0.0.1:{self.ports.rank_stream}",
            "token_file": str(self.directory / "ranker/stream.token"),
            "campaigns": str(self.landings),
            "datasets": str(self.datasets),
            "data_set": self.data_set.name,
            "window": f"{SALE_WINDOW_S}s",
            "flush_every": "5s",
            "classifiers": str(self.classifiers),
            "recipe": str(self.recipe),
            "python": [str(ROOT / ".venv/bin/python"), "-m", "pytrain"],
            "python_dir": str(ROOT),
        }

    def _bidder(self) -> dict[str, Any]:
        return {
            "listen": f"127.0.0.1:{self.ports.bid}",
            "admin_listen": f"127.0.0.1:{self.ports.bidder_admin}",
            "notices": {"listen": f"127.0.0.1:{self.ports.notices}"},
            "public_url": self.url(self.ports.notices),
            "sellers": {"sim": LOOPBACK},
            "state_dir": str(self.directory / "bidder"),
            "campaigns": str(self._banner_file),
            "model_store": str(self.store),
            "models": {model_of(CLICK_RECIPE): {}},
            "auction": {"click": model_of(CLICK_RECIPE), "conversion": ""},
            "limits": {"drain_delay": "0s"},
            "events": {
                "embedded_listen": f"127.0.0.1:{self.ports.stream}",
                "embedded_dir": str(self.directory / "stream"),
                "token_file": str(self.directory / "stream.token"),
            },
        }

    def _exchange(self) -> dict[str, Any]:
        world = self.world
        return {
            "bidder": self.url(self.ports.bid),
            "status_listen": f"127.0.0.1:{self.ports.exchange}",
            "rate": world.auctions,
            "seed": world.seed,
            "ranking": {
                "ranker": self.url(self.ports.rank),
                "campaign_file": str(self.landings),
                "rate": world.rate,
                "campaigns": world.campaigns,
                "rate_min": world.rate_min,
                "rate_max": world.rate_max,
            },
        }

    @property
    def _banner_file(self) -> Path:
        return self.directory / "campaigns.yaml"

    def _banner(self) -> dict[str, Any]:
        """The bidder's one campaign: generic banners that lead to the ranker."""
        link = '<a href="${CLICK_URL}">see today\'s offers</a><img src="${IMPRESSION_URL}" width="1" height="1" alt="">'
        creatives = [
            {
                "id": f"offers-{size}",
                "kind": "banner",
                "size": size,
                "markup": link,
                "click_url": self.url(self.ports.rank, f"/click?placement={size}"),
                "image_url": f"https://cdn.offers.example/{size}.png",
            }
            for size in BANNERS
        ]
        campaign = {
            "id": "offers",
            "advertiser": "Offers",
            "domain": "offers.example",
            "categories": ["IAB22"],
            "daily_budget": 1_000_000,
            "pacing": "asap",
            "goal": {"cpm": 8},
            "creatives": creatives,
        }
        return {"currency": "USD", "campaigns": [campaign]}


def merged(base: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `changed`, by key at all depths; `models` is replaced as a whole."""
    out = dict(base)
    for key, value in changed.items():
        deep = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "models"
        out[key] = merged(base[key], value) if deep else value
    return out
