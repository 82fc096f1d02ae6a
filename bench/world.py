"""The input of a benchmark: a model, campaigns, requests, and the bidder's configuration, all made from a seed.

The model is the DeepFM of the benchmarks: 32 features, k=8, hidden layers 128-64-32, a table of 2^20 rows. Every
request has one banner impression, for which a chosen number of campaigns may bid. So an auction has exactly that many
candidates (rows), and always ends in a bid unless it is shed.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import string
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.loop.settings import LOOPBACK, ROOT, Ports, load

RECIPE = Path(__file__).with_name("recipe.yaml")
MODEL = "bench"
STAMP = ".made-from"  # in a model's directory: the hash of recipe and code (see made_from)
SEED = 7
PYTHON = ROOT / ".venv/bin/python"
ID_MARKER = "@" * 16  # loadgen writes the request's number here
BODIES = 4000  # distinct requests, so many that the model's table does not stay in cache


@dataclass(frozen=True)
class World:
    """The files of one benchmark, under one directory."""

    directory: Path
    candidates: int = 1  # campaigns that match every request: the rows of an auction

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def bodies(self) -> Path:
        return self.directory / "bodies.jsonl"

    @property
    def campaigns(self) -> Path:
        return self.directory / f"campaigns-{self.candidates}.yaml"

    def prepare(self) -> None:
        """Make the campaigns, the requests and, if it does not exist, the model's first version."""
        self.directory.mkdir(parents=True, exist_ok=True)
        ensure_model(self.store)
        self.campaigns.write_text(yaml.safe_dump(campaigns(self.candidates), width=200))
        self.write_bodies()

    def write_bodies(self) -> None:
        """Make the requests."""
        rng = random.Random(SEED)  # noqa: S311 - traffic, not secrets
        lines = (json.dumps(request(rng), separators=(",", ":")) + "\n" for _ in range(BODIES))
        self.bodies.write_text("".join(lines))

    def document(self) -> dict[str, Any]:
        """Return the configuration that `write_config` begins with: the shipped one with this world's model."""
        document = {**load("bidder.yaml"), "model_store": str(self.store), "models": {MODEL: {}}}
        put(document, "auction.click", MODEL)
        put(document, "auction.conversion", "")
        return document

    def write_config(self, name: str, ports: Ports, settings: Mapping[str, Any]) -> Path:
        """Write a bidder's configuration: the world's, with paths of its own, the ports, and `settings`.

        Settings have dotted keys, such as `batcher.policy`. Each bidder has its own state and stream, which begin
        empty, so that no run reads what another wrote.
        """
        state = self.directory / f"state-{name}"
        shutil.rmtree(state, ignore_errors=True)
        config = self.document()
        for key, value in {
            "name": name,
            "listen": f"127.0.0.1:{ports.bid}",
            "admin_listen": f"127.0.0.1:{ports.admin}",
            "notices.listen": f"127.0.0.1:{ports.notices}",
            "public_url": f"http://127.0.0.1:{ports.notices}",
            "sellers": {"bench": LOOPBACK},
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
            put(config, key, value)
        path = self.directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path


def put(document: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a dotted key. Missing mappings on the way are made."""
    *outer, last = key.split(".")
    for name in outer:
        document = document.setdefault(name, {})
    document[last] = value


def ensure_model(store: Path, recipe: Path = RECIPE) -> None:
    """Publish a first version of the recipe's model, unless there is one made from the same recipe and code.

    It is written aside and renamed, the parameters of its plan first, so that an interrupted run leaves no incomplete
    model.
    """
    model = str(yaml.safe_load(recipe.read_text())["model"])
    source, stamp = made_from(recipe), store / model / STAMP
    if stamp.is_file() and stamp.read_text() == source:
        return
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=store) as aside:
        made = Path(aside) / model
        init_model(Path(aside), recipe)
        (made / STAMP).write_text(source)
        (store / "objects").mkdir(exist_ok=True)
        for parameter in (Path(aside) / "objects").glob("[0-9a-f]*"):
            parameter.replace(store / "objects" / parameter.name)
        if (store / model).exists():
            (store / model).rename(Path(aside) / ".before")  # removed with the temporary directory
        made.rename(store / model)


def made_from(recipe: Path) -> str:
    """Return the hash of a model's recipe and of pytrain's code."""
    code = sorted((ROOT / "pytrain").rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in [recipe, *code])).hexdigest()


def init_model(store: Path, recipe: Path) -> None:
    """Publish an untrained version of the recipe's model into the store, with pytrain."""
    done = subprocess.run(
        [PYTHON, "-m", "pytrain", "init", "--recipe", recipe.resolve(), "--store", store.resolve()],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        raise RuntimeError(f"cannot make the model of {recipe}:\n{done.stderr.strip()}")


MARKUP = (
    '<a href="${CLICK_URL}"><img src="https://cdn.bench.example/a.png" width="300" height="250"></a>'
    '<img src="${IMPRESSION_URL}" width="1" height="1" alt="">'
)


def campaigns(count: int) -> dict[str, Any]:
    """Return campaigns that all match every request, with unlimited budgets. They differ in id, value and creative."""
    return {
        "currency": "USD",
        "campaigns": [
            {
                "id": f"bench-{i}",
                "advertiser": "Bench",
                "domain": "bench.example",
                "categories": ["IAB18-1"],
                "daily_budget": 900_000_000,
                "pacing": "asap",
                "goal": {"cpc": round(4 + i / 7, 2)},
                "creatives": [
                    {
                        "id": f"bench-{i}-300x250",
                        "kind": "banner",
                        "size": "300x250",
                        "markup": MARKUP,
                        "click_url": "https://bench.example/landing",
                        "image_url": "https://cdn.bench.example/a.png",
                    }
                ],
            }
            for i in range(count)
        ],
    }


def word(rng: random.Random, length: int) -> str:
    """Return a random lower-case word."""
    return "".join(rng.choices(string.ascii_lowercase, k=length))


def request(rng: random.Random) -> dict[str, Any]:
    """Return an OpenRTB 2.6 request of a web page with the usual fields, some 2 kB as JSON."""
    user = f"{rng.getrandbits(64):016x}"
    domain = f"{word(rng, rng.randint(4, 12))}.example"
    return {
        "id": ID_MARKER,
        "imp": [
            {
                "id": "1",
                "tagid": f"tag-{rng.randint(1, 5000)}",
                "bidfloor": round(rng.uniform(0.01, 0.2), 2),
                "bidfloorcur": "USD",
                "secure": 0,
                "instl": 0,
                "banner": {
                    "w": 300,
                    "h": 250,
                    "pos": rng.randint(1, 7),
                    "format": [{"w": 300, "h": 250}, {"w": 250, "h": 250}, {"w": 200, "h": 200}],
                    "battr": [1, 2, 3, 8, 9, 10, 14],
                    "mimes": ["image/jpeg", "image/png", "image/gif", "text/html"],
                    "api": [5, 6, 7],
                },
                "ext": {
                    "prebid": {"storedrequest": {"id": word(rng, 20)}},
                    "gpid": f"/1234/{word(rng, 14)}/{word(rng, 9)}",
                },
            }
        ],
        "site": {
            "id": f"s{rng.randint(1, 4000)}",
            "name": word(rng, 14),
            "domain": domain,
            "cat": [f"IAB{rng.randint(1, 17)}-{rng.randint(1, 9)}" for _ in range(2)],
            "sectioncat": [f"IAB{rng.randint(1, 17)}"],
            "page": f"https://{domain}/{word(rng, 9)}/{word(rng, 24)}?utm_source={word(rng, 8)}&utm_id={word(rng, 12)}",
            "ref": f"https://{word(rng, 9)}.example/search?q={word(rng, 11)}",
            "keywords": ",".join(word(rng, 7) for _ in range(5)),
            "publisher": {"id": f"p{rng.randint(1, 900)}", "name": word(rng, 12), "domain": domain},
            "content": {"id": word(rng, 8), "title": word(rng, 30), "language": "en", "keywords": word(rng, 20)},
        },
        "device": {
            "ua": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0."
            f"{rng.randint(1000, 9000)}.{rng.randint(10, 200)} Mobile Safari/537.36",
            "ip": f"198.51.{rng.randint(0, 255)}.{rng.randint(1, 254)}",
            "language": "en",
            "os": rng.choice(["Android", "iOS", "Windows", "macOS"]),
            "osv": f"{rng.randint(9, 17)}.{rng.randint(0, 6)}",
            "devicetype": rng.randint(1, 5),
            "connectiontype": rng.randint(1, 6),
            "make": word(rng, 6),
            "model": word(rng, 8),
            "dnt": 0,
            "lmt": 0,
            "js": 1,
            "geo": {
                "country": rng.choice(["USA", "DEU", "GBR", "FRA", "ESP"]),
                "region": rng.choice(["CA", "NY", "TX", "BE", "HH", "LND"]),
                "city": word(rng, rng.randint(5, 10)),
                "zip": str(rng.randint(10000, 99999)),
                "lat": round(rng.uniform(-60, 60), 4),
                "lon": round(rng.uniform(-180, 180), 4),
                "type": 2,
                "utcoffset": rng.choice([-480, -300, 0, 60, 120]),
            },
        },
        "user": {
            "id": user,
            "buyeruid": f"{rng.getrandbits(96):024x}",
            "yob": rng.randint(1950, 2005),
            "gender": rng.choice("MF"),
            "data": [
                {"id": "1", "name": "cluster", "segment": [{"id": f"c{rng.randint(1, 60)}"} for _ in range(2)]},
                {"id": "2", "name": "interest", "segment": [{"id": f"i{rng.randint(1, 400)}"} for _ in range(3)]},
            ],
        },
        "at": rng.choice([1, 2]),
        "tmax": 100,
        "cur": ["USD"],
        "bcat": ["IAB25", "IAB26", "IAB7-39"],
        "badv": [f"{word(rng, 8)}.example" for _ in range(3)],
        "source": {"fd": 1, "tid": word(rng, 24)},
        "regs": {"coppa": 0, "ext": {"gdpr": 0}},
    }
