from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import page, plots, table
from bench.peers.catalogue import GAVEL, SERVERS, Server
from bench.peers.measure import Measurement
from bench.peers.results import Comparison, Figure, Result, Row, best_peer, telling

SLOW, FAST, ABSENT = (Server(name, name.title()) for name in ("slow", "fast", "absent"))


def measured(connections: int, requests: float, *, cpu: float = 0.1, p99: float = 5, refused: float = 0) -> Measurement:
    return Measurement(connections, requests, refused, cpu, p99 / 2, p99, memory_mib=100, others_cores=0.1)


def row(server: Server, *at_32_and_128: tuple[float, float], **options: float) -> Row:
    return Row.of(server, [[measured(32, a, **options), measured(128, b, **options)] for a, b in at_32_and_128])


ROWS = [
    row(SLOW, (900, 2_000), (1_000, 2_500), (1_100, 2_300), cpu=0.3, p99=40),
    row(GAVEL, (7_000, 15_000), (6_600, 16_000), (8_000, 15_500), cpu=0.02, p99=2),
    row(FAST, (800, 2_600), (850, 2_400), (900, 2_700), cpu=0.14, p99=30, refused=12),
    Row.of(ABSENT, [], "it needs java\nand a second line"),
]


def test_medians_and_spread() -> None:
    figure = Figure.of([3, 1, 2.5])
    assert figure == Figure(median=2.5, low=1, high=3)
    assert figure.spread == pytest.approx(0.4)
    assert Figure.of([0]).spread == 0
    assert Result.of([measured(32, n) for n in (5, 1, 3)]).requests_per_s == Figure(3, 1, 5)


def test_the_best_peer_is_chosen_for_each_number_of_connections() -> None:
    best = [best_peer(ROWS, n) for n in (32, 128, 256)]
    assert [b.server if b else None for b in best] == [SLOW, FAST, None]


def test_a_page_tells_of_the_best_configurations_and_the_defaults() -> None:
    other, default = SLOW.also("two-workers"), SLOW.also("default", "default")
    rows = [*ROWS, row(other, (100, 9_000)), row(default, (10, 20)), row(FAST.also("wait"), (1, 2))]
    assert [r.server.name for r in telling(rows, (32, 128))] == [
        "slow",
        "gavel",
        "fast",
        "absent",
        "slow:two-workers",
        "slow:default",
    ]
    assert [r.server.name for r in telling(rows, (32,))] == ["slow", "gavel", "fast", "absent", "slow:default"]


def test_ratios_to_the_best_peer() -> None:
    few, many = (Comparison.of(ROWS, n) for n in (32, 128))
    assert few
    assert many
    assert (few.best, many.best) == ("Slow", "Fast")
    assert few.requests == pytest.approx(7)
    assert few.cpu == pytest.approx(15)
    assert many.requests == pytest.approx(15_500 / 2_600)
    assert many.cpu == pytest.approx(7)
    assert many.p99 == pytest.approx(2 / 30)
    assert [t.met for t in few.targets()] == [True, True, True]
    assert [t.met for t in many.targets()] == [False, True, True]  # 5.96 ×
    assert many.json()["requests_ratio_128"] == many.requests
    assert many.json()["p99_lower_128"] is True


def test_nothing_is_compared_without_gavel_or_a_peer() -> None:
    assert Comparison.of(ROWS[:1], 32) is None
    assert Comparison.of(ROWS[1:2], 32) is None


def test_table_is_ordered_by_speed_and_gives_reasons() -> None:
    assert [row.server.title for row in table.ordered(ROWS, 128)] == ["Gavel", "Fast", "Slow", "Absent"]
    assert [row.server.title for row in table.ordered(ROWS, 32)] == ["Gavel", "Slow", "Fast", "Absent"]
    gavel, fast = (table.cells(ROWS, ROWS[i], 32) for i in (1, 2))
    assert gavel == ["7,000 ±10 %", "0.0200", "1.0", "2.0", "–", "–"]
    assert fast == ["850 ±6 %, 12 refused", "0.140", "15.0", "30.0", "8.2 ×", "1/7.0"]
    first, few, second, many, absent = table.markdown(ROWS, (32, 128)).split("\n\n")
    assert (first, second) == ("32 connections:", "128 connections:")
    assert [line.split(" | ")[0] for line in few.splitlines()[2:]] == ["| Gavel", "| Slow", "| Fast"]
    assert len({line.count("|") for line in (few + "\n" + many).splitlines()}) == 1
    assert absent == "Absent is skipped: it needs java\n"


def test_json_of_a_row() -> None:
    assert ROWS[3].json() == {"title": "Absent", "skipped": "it needs java\nand a second line"}
    figures = ROWS[1].json()["connections"]["32"]
    assert figures["requests_per_s"] == {"median": 7_000, "low": 6_600, "high": 8_000}


def test_measurement_from_the_generators_result() -> None:
    result = {
        "connections": 32,
        "seconds": 10.0,
        "answered": 1_050,
        "failed": 3,
        "unanswered": 2,
        "status": {"200": 1_000, "503": 50},
        "latency_ms_by_status": {"200": {"p50": 1.5, "p99": 9.0}, "503": {"p50": 90.0, "p99": 99.0}},
    }
    got = Measurement.of(result, cpu_s=2.02, span_s=10.1, memory_mib=64, others_s=-0.1)
    assert got.requests_per_s == 100
    assert got.refused_per_s == pytest.approx(5.5)
    assert got.cpu_ms == pytest.approx(2)  # 0.2 cores, 100 a second
    assert (got.p50_ms, got.p99_ms) == (1.5, 9.0)
    assert got.others_cores == 0


def test_section_goes_between_its_markers() -> None:
    document = f"# Benchmarks\n\nabove\n\n{page.BEGIN}\nold\n{page.END}\n\nbelow\n"
    got = page.insert(document, "new\n")
    assert got == f"# Benchmarks\n\nabove\n\n{page.BEGIN}\nnew\n{page.END}\n\nbelow\n"
    assert page.insert(got, "new") == got
    assert page.insert("# Benchmarks\n", "new") == f"# Benchmarks\n\n{page.BEGIN}\nnew\n{page.END}\n"
    for bad in (page.BEGIN, page.END + page.BEGIN, got + page.END):
        with pytest.raises(ValueError, match="once each, in this order"):
            page.insert(bad, "new")


def test_page_and_plot_are_written(tmp_path: Path) -> None:
    comparisons = [c for n in (32, 128) if (c := Comparison.of(ROWS, n))]
    text = page.section(
        ROWS,
        comparisons,
        connections=(32, 128),
        seconds=10,
        repeats=3,
        cores=2,
        machine="a machine",
        versions={"b": "2", "a": "1"},
        decision="0000-peers.md",
    )
    assert "medians of 3 rounds of 10 s" in text
    assert "the best peer by requests a second is Slow" in text
    assert "a 1, b 2" in text
    page.write(tmp_path / "benchmarks.md", text)
    assert [path.name for path in tmp_path.iterdir()] == ["benchmarks.md"]
    plots.draw(tmp_path / page.PLOT, ROWS, (32, 128))
    assert (tmp_path / page.PLOT).read_bytes().startswith(b"\x89PNG")


def test_catalogue_names_are_unique_and_complete() -> None:
    names = [server.name for server in SERVERS]
    assert len(names) == len(set(names))
    servers = Path(page.__file__).with_name("servers")
    locks = Path(page.__file__).with_name("locks")
    for server in SERVERS[2:]:  # behind Gavel's own
        assert (servers / server.script).is_file(), server.name
        assert (locks / f"{server.environment}.lock").is_file(), server.name
    assert all(any(s.peer == server.peer and s.role == "best" for s in SERVERS) for server in SERVERS)
