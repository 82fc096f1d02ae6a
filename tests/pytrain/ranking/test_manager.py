"""The manager: trains what changed, removes what ended, reports what cannot be read, and may be killed at any time."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytrain.errors import ConfigError, DataSetError
from pytrain.ranking import files, writing
from pytrain.ranking.manager import Manager, Round
from tests.pytrain.ranking import made

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four data sets, `a` to `d`, of 300 rows."""
    for i, name in enumerate("abcd"):
        made.write(tmp_path / "data", name, 300, seed=i)
    return tmp_path


def once(place: Path, text: str = made.PRIOR, *, jobs: int = 1, **options: Any) -> Round:
    manager = Manager(place / "data", place / "out", made.recipe_of(text), jobs=jobs)
    try:
        return manager.round(tell=lambda _: None, started=lambda _: None, ended=lambda _: None, **options)
    finally:
        manager.close()


def versions(place: Path) -> dict[str, int]:
    """Each campaign's version; every file's golden probabilities hold with the priors that are there."""
    priors = {p.version: p for p in map(files.read, files.priors(place / "out"))}
    found = {}
    for path in files.listed(place / "out"):
        c = files.read(path)
        files.check_golden(c, priors[c.prior] if c.prior else None, where=path.name)
        if c.kind == "classifier":
            found[c.campaign] = c.version
    return found


def test_only_what_changed_is_trained(place: Path) -> None:
    first = once(place)
    assert (first.trained, first.current) == (4, 0)
    before = versions(place)
    again = once(place)
    assert (again.trained, again.current, again.prior) == (0, 4, first.prior)
    more = made.columns(20)
    writing.write(place / "data", "b", **{**more, "time_ms": more["time_ms"] + 10**7})
    third = once(place)
    assert (third.trained, third.current, third.prior) == (1, 3, first.prior)
    after = versions(place)
    assert after["b"] > before["b"]
    assert {k: v for k, v in after.items() if k != "b"} == {k: v for k, v in before.items() if k != "b"}


def test_a_running_manager_waits_until_data_grew_enough(place: Path) -> None:
    manager = Manager(place / "data", place / "out", made.recipe_of(made.PRIOR), jobs=1)

    def trained() -> int:
        return manager.round(tell=lambda _: None, started=lambda _: None, ended=lambda _: None).trained

    def add(rows: int, at: int, *, sold: bool) -> None:
        more = {**made.columns(rows), "time_ms": made.BEGIN_MS + at + np.arange(rows)}
        writing.write(place / "data", "b", **{**more, "label": np.full(rows, sold)})

    assert trained() == 4
    add(2, 10**7, sold=False)  # 2 of 300 rows: less than 1 %
    assert trained() == 0
    add(2, 2 * 10**7, sold=False)
    assert trained() == 1
    add(1, 3 * 10**7, sold=True)  # one sale of a few is more than 1 % of them
    assert trained() == 1
    manager.close()


def test_a_recipe_that_changed_trains_all_anew(place: Path) -> None:
    first = once(place)
    second = once(place, made.PRIOR.replace("l2: 3", "l2: 4"))
    assert second.trained == 4
    assert second.prior > first.prior
    assert [p.name for p in files.priors(place / "out")] == [f"prior.{second.prior}.classifier"]
    third = once(place, made.SKLEARN % "")
    assert (third.trained, third.prior) == (4, 0)
    assert versions(place).keys() == set("abcd")


def test_data_that_grew_have_another_prior(place: Path) -> None:
    first = once(place)
    made.write(place / "data", "e", 3000, seed=9)
    second = once(place)
    assert second.prior > first.prior
    assert second.trained == 5


def test_ended_campaigns_lose_their_classifiers(place: Path) -> None:
    once(place)
    (place / "data" / "a" / "ended").touch()
    for path in (place / "data" / "b").iterdir():
        path.unlink()
    (place / "data" / "b").rmdir()
    found = once(place)
    assert sorted(found.removed) == ["a", "b"]
    assert versions(place).keys() == {"c", "d"}


def test_a_campaign_with_too_little_data_has_no_classifier(place: Path) -> None:
    made.write(place / "data", "few", 49)
    assert once(place).too_small == ["few"]
    assert versions(place).keys() == set("abcd")


def test_an_unreadable_data_set_is_named_and_keeps_its_classifier(place: Path) -> None:
    once(place)
    before = versions(place)
    next((place / "data" / "b").iterdir()).write_bytes(b"damaged")
    (place / "data" / "c" / "x.parquet").write_bytes(b"")
    made.write(place / "data", "e", 5000, seed=3)  # enough for another prior
    found = once(place)
    assert found.unreadable.keys() == {"b", "c"}
    assert "b" in found.unreadable["b"]
    assert found.trained == 3
    after = versions(place)  # the prior that b and c need is there still
    assert {k: after[k] for k in "bc"} == {k: before[k] for k in "bc"}
    assert len(list(files.priors(place / "out"))) == 2


def test_a_damaged_classifier_is_trained_again(place: Path) -> None:
    once(place)
    path = place / "out" / "c.classifier"
    path.write_bytes(path.read_bytes()[:-1])
    assert once(place).trained == 1
    assert versions(place).keys() == set("abcd")


def test_a_full_disk_is_reported_and_the_next_round_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once(place)
    for i, name in enumerate("abcd"):
        made.write(place / "data", name, 310, seed=i + 10)
        next(
            p for p in (place / "data" / name).iterdir() if p.name.endswith(f"{made.BEGIN_MS + 299_001}.parquet")
        ).unlink()
    before = versions(place)

    def full(directory: Path, _: object) -> Path:
        raise ConfigError("cannot be written: No space left on device", where=str(directory), remedy="check space")

    with monkeypatch.context() as m:
        m.setattr(files, "write", full)
        found = once(place)
    assert "No space left" in next(iter(found.failed.values()))
    assert found.trained == 0
    assert versions(place) == before
    assert once(place).trained == 4


def test_another_trainer_is_kept_out(place: Path) -> None:
    manager = Manager(place / "data", place / "out", made.recipe_of(made.PRIOR), jobs=1)
    with pytest.raises(ConfigError, match="another trainer"):
        once(place)
    manager.close()


def test_data_that_are_absent(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="cannot be read"):
        once(tmp_path)
    (tmp_path / "data").mkdir()
    assert once(tmp_path).trained == 0


def test_processes_write_the_same_files(place: Path) -> None:
    once(place, jobs=2)
    many = {p.name: files.read(p) for p in files.listed(place / "out") if not p.name.startswith("prior")}
    for path in files.listed(place / "out"):
        if not path.name.startswith("prior"):
            path.unlink()
    once(place, jobs=1)
    for name, found in many.items():
        again = files.read(place / "out" / name)
        assert again.intercept == found.intercept
        assert all((a.weights == b.weights).all() for a, b in zip(again.features, found.features, strict=True))


def command(place: Path, *flags: str) -> list[str]:
    recipe = place / "recipe.yaml"
    recipe.write_text(made.PRIOR)
    return [
        sys.executable, "-m", "pytrain", "rank", "train", "--data", str(place / "data"), "--out", str(place / "out"),
        "--config", str(recipe), "--jobs", "1", *flags,
    ]  # fmt: skip


def test_watching_trains_what_comes_and_ends_on_sigterm(place: Path) -> None:
    with subprocess.Popen(command(place, "--watch"), cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["trained"] == 4
        (place / "data" / "empty").mkdir()
        made.write(place / "data", "e", 60)
        assert json.loads(child.stdout.readline())["trained"] == 1
        (place / "data" / "a" / "ended").touch()
        assert json.loads(child.stdout.readline())["removed"] == ["a"]
        child.send_signal(signal.SIGTERM)
        assert child.stdout.read() == ""
        assert child.wait() == 0
    assert versions(place).keys() == set("bcde")


def test_killed_anywhere_nothing_is_half_written(place: Path) -> None:
    """Each child is killed after one more file appeared than the one before."""
    for i in itertools.count():
        child = os.fork()
        if child == 0:
            written = itertools.count()

            def rename(self: Path, target: Path, real: Any = Path.rename, left: Any = written, most: int = i) -> Path:
                if next(left) >= most:
                    os.kill(os.getpid(), signal.SIGKILL)
                done: Path = real(self, target)
                return done

            setattr(Path, "rename", rename)  # noqa: B010 - of this process alone
            status = 1
            try:
                once(place)
                status = 0
            finally:
                os._exit(status)
        _, how = os.waitpid(child, 0)
        found = versions(place)  # every file is whole, and has its prior
        if how == 0:
            break
        assert os.WTERMSIG(how) == signal.SIGKILL
        assert len(found) < 4
    assert i >= 2
    assert found.keys() == set("abcd")
    assert not list((place / "out" / ".aside").iterdir())


def test_the_command_names_what_failed(place: Path) -> None:
    next((place / "data" / "b").iterdir()).write_bytes(b"damaged")
    done = subprocess.run(command(place), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["trained"] == 3
    assert document["unreadable"].keys() == {"b"}
    assert "data set b cannot be read" in done.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "pytrain", "rank", "show", str(place / "out" / "a.classifier")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "differences from prior" in shown.stdout
    assert "system" in shown.stdout
    assert "golden profiles off by 0.0e+00 at most" in shown.stdout
