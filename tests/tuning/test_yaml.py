"""Settings written into a configuration: the keys replaced, the rest as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scripts.loop.settings import ROOT, Ports
from scripts.tuning.batch import Setting
from scripts.tuning.config import TuneError, value
from scripts.tuning.output import MARK, settings_of
from scripts.tuning.trial import Trial, deadlines, numbered, unbound
from scripts.tuning.yamlfile import merge

CHANGES = {"batcher.policy": "window", "batcher.max_wait": "5ms", "batcher.runners": 2}


def test_comments_and_order_are_kept() -> None:
    text = """\
# my bidder
name: b1   # in Frankfurt

batcher:              # tuned by hand in spring
  # the policy
  policy: adaptive    # or eager
  max_rows: 128
  max_wait: 2ms

# where it listens
listen: 0.0.0.0:8090
"""
    merged = merge(text, CHANGES)
    assert merged.kept_comments
    assert (
        merged.text
        == """\
# my bidder
name: b1   # in Frankfurt

batcher:              # tuned by hand in spring
  # the policy
  runners: 2
  policy: window      # or eager
  max_rows: 128
  max_wait: 5ms

# where it listens
listen: 0.0.0.0:8090
"""
    )


def test_the_shipped_configuration_keeps_every_comment() -> None:
    text = (ROOT / "configs/bidder.yaml").read_text()
    changes = {**Setting("eager", 64, 0.5, 2).candidate().changes, "auction.tmax_margin": "8ms"}
    merged = merge(text, changes)
    assert merged.kept_comments
    old, new = text.splitlines(), merged.text.splitlines()
    assert len(old) == len(new)
    assert [line.partition("#")[2] for line in old] == [line.partition("#")[2] for line in new]
    changed = {line.split(":")[0].strip() for before, line in zip(old, new, strict=True) if before != line}
    assert changed == {"policy", "runners", "max_rows", "max_wait", "tmax_margin"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name: b\n",
        "batcher:\n",
        "batcher: {}\nname: b\n",
        "batcher: {policy: eager, max_rows: 64}  # short\nname: b\n",
        "name: b\nbatcher:\n    policy: 'off'\n    models: {cvr: {policy: eager}}\n",
        "batcher:\n  models:\n    cvr:\n      policy: eager\n  policy: off\n",
        'batcher:\n  policy: "adaptive"  # quoted\n',
        "---\nbatcher:\n  policy: adaptive\n",
        "batcher:\n  policy:\n    adaptive\n",  # a value on its own line
        "? batcher\n: policy: eager\n",  # as nobody writes it
        '"batcher":\n  policy: eager\n',
        "base: &b {policy: eager}\nbatcher: *b\n",
    ],
)
def test_whatever_the_layout_the_document_is_right(text: str) -> None:
    old = yaml.safe_load(text) or {}
    want = {**old, "batcher": {**(old.get("batcher") or {}), "policy": "window", "max_wait": "5ms", "runners": 2}}
    assert yaml.safe_load(merge(text, CHANGES).text) == want


KEYS = st.sampled_from(["a", "b", "policy", "max_rows"])
VALUES = st.one_of(st.integers(), st.booleans(), st.text(max_size=8), st.none(), st.lists(st.integers(), max_size=2))


@given(
    st.dictionaries(st.sampled_from(["batcher", "auction", "log"]), st.dictionaries(KEYS, VALUES), max_size=3),
    st.dictionaries(KEYS, VALUES, min_size=1),
    st.booleans(),
)
def test_any_document_says_the_same_but_for_the_keys(old: dict[str, Any], values: dict[str, Any], block: bool) -> None:
    text = yaml.safe_dump(old, default_flow_style=not block)
    merged = yaml.safe_load(merge(text, {f"batcher.{k}": v for k, v in values.items()}).text)
    assert merged == {**old, "batcher": {**(old.get("batcher") or {}), **values}}


def test_what_is_no_configuration_is_refused() -> None:
    with pytest.raises(TuneError):
        merge("- a\n- b\n", CHANGES)
    with pytest.raises(TuneError):
        merge("a: [1\n", CHANGES)


def test_a_fragment_says_what_it_was_tuned_for(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    about = {"slo_p99_ms": 10, "rates": [500.0]}
    path.write_text(f"# hello\n{MARK}{json.dumps(about)}\nbatcher:\n  policy: eager\n")
    assert settings_of(path) == ({"batcher": {"policy": "eager"}}, about)
    path.write_text(f"{MARK}nonsense\nbatcher:\n")
    with pytest.raises(TuneError, match="not JSON"):
        settings_of(path)


def own(tmp_path: Path, text: str) -> Trial:
    config = tmp_path / "bidder.yaml"
    config.write_text(text)
    world = tmp_path / "world"
    world.mkdir()
    return Trial(world, models=tmp_path, config=config)


def test_a_trial_of_a_users_configuration_leaves_the_users_stream_alone(tmp_path: Path) -> None:
    trial = own(
        tmp_path,
        "name: live\nlisten: 0.0.0.0:80\npublic_url: https://bid.example\nmodel_store: /models\n"
        "auction: {click: mine}\nevents: {url: 'nats://stream.internal:4222', max_age: 1h}\nbatcher:\n",
    )
    written = trial.write_config("try", Ports(1, 2, 3, 4, 5, 6), {"batcher.policy": "eager"})
    document = yaml.safe_load(written.read_text())
    assert document["listen"] == "127.0.0.1:1"
    assert document["batcher"] == {"policy": "eager"}
    assert document["model_store"] == "/models"
    assert document["auction"] == {"click": "mine"}
    assert "url" not in document["events"]
    assert document["events"]["max_age"] == "1h"
    for key in ("state_dir", "campaigns"):
        assert document[key].startswith(str(trial.directory))


def test_what_a_configuration_leaves_out_is_as_shipped() -> None:
    assert value({"batcher": {"max_rows": 64}}, "batcher.max_rows") == 64
    assert value({"batcher": {"max_rows": 64}}, "batcher.queue_rows") == value({}, "batcher.queue_rows") > 0
    assert value({}, "batcher.nothing") is None


def test_money_does_not_end_and_is_not_paced() -> None:
    made = unbound({"currency": "EUR", "campaigns": [{"id": "a", "daily_budget": 5, "goal": {"cpc": 1}}]})
    assert made["currency"] == "EUR"
    assert made["campaigns"] == [{"id": "a", "daily_budget": 900_000_000, "pacing": "asap", "goal": {"cpc": 1}}]


def test_recorded_requests_get_ids_of_their_own() -> None:
    lines = list(numbered(['{"id": "x", "imp": []}\n', "\n", "not JSON\n", "[1]\n"]))
    assert lines == ['{"id":"@@@@@@@@@@@@@@@@","imp":[]}', "not JSON", "[1]"]


def test_each_request_comes_with_every_deadline() -> None:
    lines = list(deadlines(['{"id": "a"}', "x", '{"id": "b", "tmax": 7}'], [50, 100]))
    assert [json.loads(line)["tmax"] for line in lines] == [50, 100, 50, 100]
