"""Reads the bidder's event stream as any NATS client would: what was really stored, message by message."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack


@dataclass(frozen=True)
class Event:
    """The fields of an event that the tests look at (docs/contracts.md, Events)."""

    id: str
    type: str
    key: str
    campaign: str
    price_micros: int


class Stream:
    """One connection; use as a context manager."""

    def __init__(self, port: int, token_file: Path) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._in = self._socket.makefile("rb")
        self._in.readline()  # INFO
        connect = {"verbose": False, "pedantic": False, "auth_token": token_file.read_text().strip()}
        self._send(f"CONNECT {json.dumps(connect)}\r\nSUB answers 1\r\n")

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._in.close()
        self._socket.close()

    def events(self) -> list[Event]:
        """Every event stored so far, in order; heartbeats are left out."""
        state = self._ask("$JS.API.STREAM.INFO.GAVEL", {})["state"]
        found = []
        for sequence in range(state["first_seq"], state["last_seq"] + 1):
            message = self._ask("$JS.API.STREAM.MSG.GET.GAVEL", {"seq": sequence})["message"]
            for fields in msgpack.unpackb(base64.b64decode(message["data"])):
                kind = fields[2]
                if kind == "bid":
                    found.append(Event(fields[1], kind, fields[3], "", 0))
                elif kind != "tick":
                    found.append(Event(fields[1], kind, fields[3], fields[5], fields[8]))
        return found

    def _send(self, text: str) -> None:
        self._socket.sendall(text.encode())

    def _ask(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        payload = json.dumps(body)
        self._send(f"PUB {subject} answers {len(payload)}\r\n{payload}\r\n")
        while True:
            line = self._in.readline()
            assert line, "the stream closed the connection"
            verb = line.split()[0]
            if verb == b"PING":
                self._send("PONG\r\n")
            elif verb == b"MSG":
                answer: dict[str, Any] = json.loads(self._in.read(int(line.split()[-1])))
                self._in.read(2)
                assert "error" not in answer, answer
                return answer
            else:
                assert verb == b"+OK", line
