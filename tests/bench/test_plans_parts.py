"""What the parts of bench-plans compute of their measurements, and what they ask servers."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bench.plans import caches, infer, served
from bench.plans.pace import EXPECTED_S, Pace


def test_a_request_holds_the_rows() -> None:
    frame = pd.DataFrame({"age": [31.0, 40.5], "sex": pd.Series(["F", "M"], dtype=object)})
    assert json.loads(infer.body(frame))["inputs"] == [
        {"name": "age", "datatype": "FP64", "shape": [2], "data": [31.0, 40.5]},
        {
            "name": "sex",
            "datatype": "BYTES",
            "shape": [2],
            "data": ["F", "M"],
            "parameters": {"content_type": "str"},
        },
    ]
    (text,) = json.loads(infer.body(np.array(["a plot", "é"], object)))["inputs"]
    assert (text["name"], text["shape"], text["data"]) == ("text", [2], ["a plot", "é"])


def test_bodies_are_of_each_size() -> None:
    rows = np.array([f"text {i}" for i in range(30)], object)
    bodies = infer.bodies(rows)
    assert {size: len(of) for size, of in bodies.items()} == {"1": 200, "100": 40}
    assert {len(json.loads(body)["inputs"][0]["data"]) for body in bodies["100"]} == {100}
    assert len(set(bodies["1"])) > 20


def test_a_cache_pays_from_where_its_time_is_that_without() -> None:
    measured = [
        {"exponent": 0.0, "row": {"hits": 0.1, "ratio": 1.2}},
        {"exponent": 1.0, "row": {"hits": 0.5, "ratio": 0.8}},
        {"exponent": 2.0, "row": {"hits": 0.9, "ratio": 0.3}},
    ]
    assert caches.pays_from(measured, "row") == pytest.approx(0.3)
    assert caches.pays_from(measured[1:], "row") == 0
    assert caches.pays_from(measured[:1], "row") is None
    assert caches.pays_from(measured, "stage") is None


def test_a_summary_has_a_line_a_side_and_size() -> None:
    one = [{"p50_us": p50, "p99_us": 9 * p50, "rows_per_second": 1.0} for p50 in (5, 3, 4)]
    several = [{"p50_us": 1.0, "p99_us": 1.0, "rows_per_second": rate, "refused": 1} for rate in (2e3, 1e3, 3e3)]
    measured = {f"Gavel {rows} {n}": one if n == 1 else several for rows in served.ROWS for n in served.CONNECTIONS}
    measured |= {key.replace("Gavel", "MLServer"): [] for key in measured}  # it failed
    assert served.summary(measured) == [
        ["Gavel, 1", "4", "36", "2,000", "3"],
        ["Gavel, 100", "4", "36", "2,000", "3"],
    ]


def test_pace_tells_each_part_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[str] = []
    names = ("prepare", "text", "trees")
    pace = Pace({name: lambda name=name: ran.append(name) for name in names})  # type: ignore[misc]
    pace.run()
    assert ran == list(names) == list(pace.seconds)
    told = capsys.readouterr().err
    whole = round(sum(EXPECTED_S[name] for name in names) / 60)
    assert f"part 1 of 3: prepare; about {whole} min left in all" in told
    assert "part 3 of 3: trees" in told
