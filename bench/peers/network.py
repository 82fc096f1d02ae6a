"""A network namespace for every server, which only the generator and the probe share.

Some servers, such as Ray's proxy, listen on every interface regardless of their settings. A network namespace has only
loopback, all its ports are free, and nothing that one server leaves can disturb the next. It needs root or user
namespaces. Without them, only servers that listen on loopback alone are run.
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
    """How commands are started in a server's network."""

    make: tuple[str, ...]  # put before a command to give it a new network; empty: the machine's own
    enter: tuple[str, ...]  # put before --target=PID to join another command's network

    @property
    def own(self) -> bool:
        return bool(self.make)

    def begin(self, command: list[str]) -> list[str]:
        """Return the command line that runs a command in a new network."""
        return [*self.make, *LOOPBACK_UP, *command] if self.own else command

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process is in its own network. To join it earlier would join this process's network."""
        ours = Path("/proc/self/ns/net").readlink()
        while self.own and process.poll() is None and Path(f"/proc/{process.pid}/ns/net").readlink() == ours:
            time.sleep(0.01)

    def join(self, pid: int, command: list[str]) -> list[str]:
        """Return the command line that runs a command in the network of a process."""
        return [*self.enter, f"--target={pid}", "--", *command] if self.own else command


@cache
def available() -> Network:
    """Return what this machine permits."""
    as_root = Network(("unshare", "--net", "--"), ("nsenter", "--net"))
    as_user = Network(
        ("unshare", "--map-root-user", "--net", "--"), ("nsenter", "--user", "--preserve-credentials", "--net")
    )
    if all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        for network in (as_root, as_user):
            if subprocess.run(network.begin(["true"]), capture_output=True, check=False).returncode == 0:
                return network
    return Network((), ())
