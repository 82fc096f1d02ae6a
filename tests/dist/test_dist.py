"""A distribution, unpacked into an empty directory, serves while the checkout cannot be reached."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from scripts.loop.processes import Child, start, wait_ready
from scripts.loop.settings import ROOT, Ports
from tests.e2e.world import CAMPAIGNS, bids_of, edit, request, until

# What must be out of reach: the checkout, and the packages that it links (build/tensorflow, .venv).
PLACES = sorted({ROOT, (ROOT / ".venv").resolve(), (ROOT / "build/tensorflow").resolve()})
SYSTEM_LIBRARIES = re.compile(r"^(linux-vdso|ld-linux|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+))[-.\w]*\.so")
# A place may lie within one that is hidden already.
HIDE = "; ".join(f"if [ -d {(p := shlex.quote(str(place)))} ]; then mount -t tmpfs none {p}; fi" for place in PLACES)


def hidden() -> list[str]:
    """Words before a command that hide the checkout from it; none where this user may not make a mount namespace."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", f'{HIDE}; exec "$@"', "sh"]
    probe = [*command, "test", "!", "-e", str(ROOT / "VERSION")]
    return command if subprocess.run(probe, capture_output=True, check=False).returncode == 0 else []


def environment() -> dict[str, str]:
    """This process's, without what would have a program find other libraries or packages."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "TF_", "PYTHON"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A distribution, unpacked; removed afterwards, since it is nearly a gigabyte."""
    directory = tmp_path_factory.mktemp("dist")
    made = subprocess.run(
        [ROOT / "scripts/dist.sh", "--tar-only", directory / "made"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    (tar,) = (directory / "made").glob("gavel-*.tar")
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["tar", "-xf", tar, "-C", elsewhere], check=True)
    shutil.rmtree(directory / "made")
    (unpacked,) = elsewhere.iterdir()
    yield unpacked
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def serving(folder: Path) -> Iterator[tuple[Child, Ports]]:
    """A bidder of the distribution with a first version that the distribution's own pytrain made."""
    first = [sys.executable, "-m", "pytrain", "init", "--recipe", "models/ctr/recipe.yaml", "--store", "var/store"]
    made = subprocess.run(first, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    ports = Ports.free()
    (folder / "configs/campaigns.yaml").write_text(CAMPAIGNS)
    edit(
        folder / "configs/bidder.yaml",
        listen=f"127.0.0.1:{ports.bid}",
        admin_listen=f"127.0.0.1:{ports.admin}",
        notices__listen=f"127.0.0.1:{ports.notices}",
        predict__listen=f"127.0.0.1:{ports.trainer}",
        events__embedded_listen=f"127.0.0.1:{ports.stream}",
        model_store="var/store",
        models={"ctr": {}},
        auction__conversion="",
    )
    command = [*hidden(), "env", "-C", str(folder), "bin/bidder", "serve", "--config", "configs/bidder.yaml"]
    child = start("bidder", command, log=folder / "bidder.log")
    try:
        wait_ready(child, f"http://127.0.0.1:{ports.admin}/readyz", timeout_s=60, interrupted=lambda: False)
        yield child, ports
    finally:
        assert child.stop(wait_s=20) == 0, child.died()


def run(folder: Path, *command: str) -> str:
    """What a command of the distribution prints, run in its folder with the checkout hidden."""
    done = subprocess.run(
        [*hidden(), "env", "-C", str(folder), *command], env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def test_it_bids(serving: tuple[Child, Ports]) -> None:
    _, ports = serving
    bid = f"http://127.0.0.1:{ports.bid}/openrtb2/bid"
    (first,) = until("a bid", lambda: bids_of(httpx.post(bid, json=request(time.monotonic_ns()))), within_s=15)
    assert first["cid"] == "steady"


def test_it_predicts(serving: tuple[Child, Ports]) -> None:
    _, ports = serving
    url = f"http://127.0.0.1:{ports.trainer}/v1/models/ctr"
    signature = httpx.get(f"{url}/metadata").json()["metadata"]["signature_def"]["signature_def"]["serving_default"]
    (rows,) = signature["inputs"].values()
    width = int(rows["tensor_shape"]["dim"][1]["size"])
    answer = httpx.post(f"{url}:predict", json={"instances": [[0] * width]}, headers={"X-Timeout-Ms": "5000"})
    (probability,) = answer.json()["predictions"]
    assert 0 < probability < 1


def test_nothing_of_the_checkout_is_loaded(serving: tuple[Child, Ports], folder: Path) -> None:
    child, _ = serving
    maps = Path(f"/proc/{child.process.pid}/maps").read_text()
    files = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/" in line}
    libraries = {Path(f).name for f in files if ".so" in f}
    assert {str(folder / "lib/libtensorflow_cc.so.2"), str(folder / "lib/libtensorflow_framework.so.2")} <= files
    assert not [f for f in files if any(Path(f).is_relative_to(place) for place in PLACES)]
    assert not [name for name in libraries if not name.startswith("libtensorflow") and not SYSTEM_LIBRARIES.match(name)]


@pytest.mark.usefixtures("serving")  # for its first version
def test_its_commands_run(folder: Path) -> None:
    version, commit = (folder / "VERSION").read_text().split()
    for name in ("bidder", "trainer", "ranker", "exchange", "loadgen"):
        assert run(folder, f"bin/{name}", "--version").startswith(f"{name} {version}, commit {commit}, go")
    assert "sound" in run(folder, "bin/bidder", "check", "--config", "configs/bidder.yaml")
    assert "sound" in run(folder, "bin/ranker", "check", "--config", "configs/ranker.yaml")
    assert "golden rows" in run(folder, "bin/bidder", "verify", "var/store/ctr/1")
    assert "models/ctr/recipe.yaml" in run(folder, "bin/trainer", "check", "--config", "configs/trainer.yaml")
    python = subprocess.run(
        [sys.executable, "-m", "pytrain", "--version"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert python.stdout.startswith(f"pytrain {version}, commit {commit}, ")


def test_what_the_image_copies_is_there(folder: Path) -> None:
    copies = re.findall(r"^COPY (.+) \S+$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for words in copies for source in words.split()]
    assert {"bin/bidder", "bin/trainer", "bin/ranker", "lib", "pytrain", "requirements.lock"} <= set(sources)
    assert not [source for source in sources if not (folder / source).exists()]


def test_licences_of_every_module_are_there(folder: Path) -> None:
    modules = [line.split()[0] for line in (folder / "licences/go/modules.txt").read_text().splitlines()]
    assert "github.com/valyala/fasthttp" in modules
    assert not [m for m in modules if not any((folder / "licences/go" / m).iterdir())]
    assert (folder / "licences/tensorflow/THIRD_PARTY_NOTICES.txt").stat().st_size > 100_000
    assert (folder / "licences/onnxruntime/ThirdPartyNotices.txt").stat().st_size > 100_000
    assert "MIT License" in (folder / "licences/onnxruntime/LICENSE").read_text()


def test_onnxruntime_is_there(folder: Path) -> None:
    library = folder / "lib/libonnxruntime.so.1"
    assert library.is_file()
    assert not library.is_symlink()
    needed = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout.splitlines()
    assert not [line for line in needed if not SYSTEM_LIBRARIES.match(Path(line.split()[0]).name)]


@pytest.mark.parametrize("name", ["bidder", "trainer", "ranker", "rank-trainer"])
def test_unit(folder: Path, name: str) -> None:
    unit = (folder / f"deploy/systemd/gavel-{name}.service").read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    binary, command, flag, config = settings["ExecStart"].removeprefix("/opt/gavel/").split()
    assert (folder / binary).exists()
    assert (folder / config).exists()
    assert flag == "--config"
    assert command in run(folder, binary, "--help")
    written = {"rank-trainer": "datasets"}.get(name, "state_dir")  # what it writes is below var/
    configuration = yaml.safe_load((folder / config).read_text())
    assert configuration[written].startswith("var/")
    if "recipe" in configuration:
        assert (folder / configuration["recipe"]).exists()
    assert settings["RestartPreventExitStatus"] == "2"
    assert settings["NoNewPrivileges"] == "yes"
    assert settings["ProtectSystem"] == "strict"
    assert int(settings["TimeoutStopSec"]) > {"bidder": 120, "trainer": 30, "ranker": 90, "rank-trainer": 90}[name]
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", folder / f"deploy/systemd/gavel-{name}.service"],
            capture_output=True,
            text=True,
            check=False,
        )
        faults = [
            line for line in checked.stderr.splitlines() if "is not executable" not in line
        ]  # /opt/gavel is not here
        assert not faults
