"""`python -m bench.peers.probe SERVER URL VERSION`: waits for a server, then checks its answers.

It runs in the server's network. It requests every golden row several times, all at once, so that the server makes
batches. Each answer must equal the probability that training computed. The result is one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx

from bench.peers.catalogue import find
from bench.peers.protocol import Protocol
from pytrain.manifest import read_golden

TOLERANCE = 1e-5
TIMES = 4  # requests for each row
AT_ONCE = 32
HEADERS = {"Content-Type": "application/json"}


async def ask(client: httpx.AsyncClient, protocol: Protocol, url: str, row: list[int]) -> float:
    """Return the server's probability for one row."""
    response = await client.post(url, content=protocol.request(row), headers=HEADERS)
    if response.status_code != 200:
        raise ValueError(f"status {response.status_code}: {response.text[:300]}")
    return protocol.probability(response.content)


async def wait_ready(client: httpx.AsyncClient, protocol: Protocol, url: str, row: list[int]) -> None:
    """Try until there is an answer. The process that started the probe ends it after a timeout."""
    while True:
        try:
            await ask(client, protocol, url, row)
        except (httpx.TransportError, ValueError) as error:
            print(f"not yet: {error}", file=sys.stderr, flush=True)
            await asyncio.sleep(0.25)
        else:
            return


async def main(name: str, url: str, version: Path) -> None:
    protocol = find(name).protocol
    x, p = read_golden(version)
    rows = x.tolist() * TIMES
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await wait_ready(client, protocol, url, rows[0])
        answers = await asyncio.gather(*(ask(client, protocol, url, row) for row in rows))
    worst = max(abs(got - want) for got, want in zip(answers, p.tolist() * TIMES, strict=True))
    if not worst <= TOLERANCE:
        sys.exit(f"an answer is off the golden probability by {worst:.2g}, more than {TOLERANCE}")
    print(json.dumps({"worst": worst}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
