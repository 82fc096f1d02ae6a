"""A network of its own for every server: only it, the generator and the probe are in there, and nothing outside.

Some servers listen on every interface whatever they are told (Ray's proxy). In a network namespace there is only
loopback, ports are never taken, and what one server left behind cannot disturb the next. It takes root or user
namespaces; where neither is to be had, servers that keep to loopback run without.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LOOPBACK_UP = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@dataclass(frozen=True)
class Network:
    """How commands get into a server's network."""

    make: tuple[str, ...]  # before a command that begins a network; empty: the machine's own
    enter: tuple[str, ...]  # before --target=PID, where a command joins the network of another

    @property
    def own(self) -> bool:
        return bool(self.make)

    def begin(self, command: list[str]) -> list[str]:
        """Put a command into a network of its own."""
        return [*self.make, *LOOPBACK_UP, *command] if self.own else command

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process that was begun so is in its network; who joins it earlier would join ours."""
        ours = Path("/proc/self/ns/net").readlink()
        while self.own and process.poll() is None and Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
            time.sleep(0.01)

    def join(self, pid: int, command: list[str]) -> list[str]:
        """Put a command into the network of a process."""
        return [*self.enter, f"--target={pid}", "--", *command] if self.own else command


@cache
def available() -> Network:
    """What this machine lets us do."""
    as_root = Network(("unshare", "--net", "--"), ("nsenter", "--net"))
    as_user = Network(
        ("unshare", "--map-root-user", "--net", "--"), ("nsenter", "--user", "--preserve-credentials", "--net")
    )
    if all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        for network in (as_root, as_user):
            if subprocess.run(network.begin(["true"]), capture_output=True, check=False).returncode == 0:
                return network
    return Network((), ())
