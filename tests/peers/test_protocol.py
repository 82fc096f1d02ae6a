from __future__ import annotations

import json
import socket

import pytest

from bench.peers import environments
from bench.peers.__main__ import chosen
from bench.peers.network import Network
from bench.peers.protocol import instances, v2
from bench.peers.running import PORTS, free_base


def test_requests() -> None:
    assert instances().request([1, 2]) == '{"instances":[[1,2]]}'
    (tensor,) = json.loads(v2().request([1, 2]))["inputs"]
    assert tensor == {"name": "rows", "shape": [1, 2], "datatype": "INT32", "data": [1, 2]}


def test_answers() -> None:
    assert instances().probability(b'{"predictions":[0.25]}') == 0.25
    assert instances().probability(b"[0.25]") == 0.25
    assert v2().probability(b'{"outputs":[{"name":"p","data":[0.25]}]}') == 0.25
    for bad in (b"{", b"{}", b'{"predictions":[]}', b'{"predictions":[1,2]}', b'{"predictions":[[0.5]]}', b"[null]"):
        with pytest.raises(ValueError, match=r".+"):
            instances().probability(bad)
    with pytest.raises(ValueError, match="not an answer"):
        v2().probability(b'{"predictions":[0.25]}')


def test_choice_of_servers() -> None:
    both = [s.name for s in chosen("fastapi-queue, gavel", tried=False)]
    assert both == ["gavel", "gavel:as-shipped", "fastapi-queue"]
    assert [s.name for s in chosen("ray", tried=False)] == ["ray", "ray:default"]
    assert [s.name for s in chosen("ray:default", tried=False)] == ["ray:default"]
    assert all(s.role != "tried" for s in chosen("", tried=False))
    with pytest.raises(Exception, match="no such server: rey"):
        chosen("rey", tried=False)


def test_commands_in_a_network() -> None:
    network = Network(("unshare", "--net", "--"), ("nsenter", "--net"))
    assert network.begin(["a", "b"])[-3:] == ["sh", "a", "b"]
    assert network.join(7, ["a"]) == ["nsenter", "--net", "--target=7", "--", "a"]
    assert Network((), ()).begin(["a"]) == Network((), ()).join(7, ["a"]) == ["a"]


def test_versions_of_what_was_asked_for() -> None:
    found = environments.versions("fastapi")
    assert found["fastapi"] == "0.165.0"
    assert found["uvicorn"] == "0.54.0"
    assert "starlette" not in found


def test_all_ports_that_a_server_may_take_are_free() -> None:
    base = free_base()
    with socket.socket() as other:
        other.bind(("127.0.0.1", base + 3))
        other.listen()
        again = free_base()
    assert not set(range(again, again + PORTS)) & set(range(base, base + PORTS))
