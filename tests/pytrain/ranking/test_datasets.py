"""Data sets: what the contract allows is read, everything else is refused with file and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytrain.errors import DataSetError
from pytrain.ranking import datasets, writing
from tests.pytrain.ranking import made

GOLDEN = Path(__file__).parents[2] / "golden" / "datasets" / "sale"
FIELDS = ("system", "browser")


def only(directory: Path) -> datasets.DataSet:
    found, bad = datasets.scan(directory)
    assert not bad
    assert len(found) == 1
    return found[0]


def test_rows_of_several_files_come_in_order_of_time(tmp_path: Path) -> None:
    late = made.columns(50, seed=2)
    late["time_ms"] = late["time_ms"] + 10_000_000
    late["label"][:] = True
    order = np.random.default_rng(0).permutation(50)
    late["time_ms"] = late["time_ms"][order]
    writing.write(tmp_path, "shoes/42", **late)
    made.write(tmp_path, "shoes/42", 100)
    data_set = only(tmp_path)
    assert data_set.name == "shoes%2F42"
    found = datasets.read(data_set, FIELDS)
    assert found.campaign == "shoes/42"
    assert len(found) == 150
    assert (np.diff(found.time_ms) > 0).all()
    assert found.label[100:].all()
    texts = [found.fields["system"].values[c] for c in found.fields["system"].codes]
    assert texts[:100] == made.columns(100)["fields"]["system"]
    assert [texts[100 + i] for i in order] == late["fields"]["system"]


def test_plain_and_dictionary_texts_are_the_same(tmp_path: Path) -> None:
    path = made.write(tmp_path, "shoes", 30)
    table = pq.read_table(path)
    pq.write_table(table, path, use_dictionary=False, row_group_size=7)
    found = datasets.read(only(tmp_path), FIELDS)
    assert [found.fields["browser"].values[c] for c in found.fields["browser"].codes] == table["browser"].to_pylist()


def test_a_single_file_is_a_data_set(tmp_path: Path) -> None:
    made.write(tmp_path / "x", "shoes", 30).rename(tmp_path / "shoes.parquet")
    (tmp_path / "x" / "shoes").rmdir()
    (tmp_path / "x").rmdir()
    assert len(datasets.read(only(tmp_path), FIELDS)) == 30


def test_a_compacted_file_takes_the_place_of_its_parts(tmp_path: Path) -> None:
    made.write(tmp_path, "shoes", 100)
    whole = only(tmp_path).files[0]
    begin, end = datasets.time_range(whole)
    part = pq.read_table(whole).slice(0, 10)
    pq.write_table(part, whole.with_name(f"{begin}-{begin + 10_000}.parquet"))
    assert only(tmp_path).files == (whole,)
    whole.with_name(f"{end - 1}-{end + 5}.parquet").write_bytes(b"")
    found, bad = datasets.scan(tmp_path)
    assert not found
    assert "overlaps" in str(bad["shoes"])


def test_files_that_are_compacted_while_they_are_read(tmp_path: Path) -> None:
    first = made.write(tmp_path, "shoes", 100)
    writing.write(tmp_path, "shoes", **{**made.columns(20), "time_ms": made.BEGIN_MS + 10**6 + np.arange(20)})
    listed = only(tmp_path)
    assert len(listed.files) == 2
    parts = [pq.read_table(path) for path in listed.files]
    begin, end = datasets.time_range(first)[0], datasets.time_range(listed.files[1])[1]
    pq.write_table(pa.concat_tables(parts), first.with_name(f"{begin}-{end}.parquet"))
    for path in listed.files:
        path.unlink()
    assert len(datasets.read(listed, FIELDS)) == 120
    assert datasets.Hashes().of(listed) == datasets.Hashes().of(only(tmp_path))


def test_hidden_files_and_others_are_not_read(tmp_path: Path) -> None:
    path = made.write(tmp_path, "shoes", 30)
    path.with_name(".aside.parquet").write_bytes(b"half")
    path.with_name("notes.txt").write_text("x")
    (tmp_path / ".tmp").mkdir()
    assert len(datasets.read(only(tmp_path), FIELDS)) == 30
    path.with_name("ended").touch()
    assert only(tmp_path).ended


def _replace(column: str, values: Any) -> Any:
    return lambda t: t.set_column(t.schema.get_field_index(column), column, values(len(t)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.drop_columns(["label"]), "lacks the column label"),
        (lambda t: t.drop_columns(["id"]), "lacks the column id"),
        (lambda t: t.drop_columns(["system"]), "lacks the column system"),
        (_replace("label", lambda n: pa.array([1] * n)), "column label is int64, not bool"),
        (_replace("system", lambda n: pa.array([1] * n)), "column system is int64, not string"),
        (_replace("system", lambda n: pa.nulls(n, pa.string())), "column system is empty in 20 rows"),
        (_replace("weight", lambda n: pa.array([1.0] * n, pa.float32())), "column weight is float, not double"),
        (_replace("weight", lambda n: pa.array([-1.0] * n)), "column weight holds -1.0"),
        (_replace("weight", lambda n: pa.array([float("nan")] + [1.0] * (n - 1))), "column weight holds"),
        (_replace("weight", lambda n: pa.array([float("inf")] + [1.0] * (n - 1))), "column weight holds"),
        (_replace("time", lambda n: pa.array([0] * n).cast(pa.timestamp("ms"))), "column time is timestamp"),
        (_replace("time", lambda n: pa.array([0] * n).cast(pa.timestamp("ms", "UTC"))), "outside of its name's range"),
        (_replace("campaign", lambda n: pa.array(["hats"] * n)), "belongs to hats"),
        (_replace("campaign", lambda n: pa.array(["shoes"] * (n - 1) + ["hats"])), "two|campaigns|belongs"),
        (lambda t: t.append_column("value", pa.array([1] * len(t))), "column value is int64, not double"),
        (lambda t: t.append_column("extra", pa.array([1.0] * len(t))), "column extra is double, not string"),
    ],
)
def test_refused(tmp_path: Path, change: Any, fault: str) -> None:
    path = made.write(tmp_path, "shoes", 20)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(DataSetError, match=fault) as e:
        datasets.read(only(tmp_path), FIELDS)
    assert e.value.where.startswith(str(tmp_path / "shoes"))


@pytest.mark.parametrize("name", ["1.parquet", "2-1.parquet", "01-2.parquet", "a-b.parquet"])
def test_refused_names(tmp_path: Path, name: str) -> None:
    path = made.write(tmp_path, "shoes", 20)
    path.rename(path.with_name(name))
    _, bad = datasets.scan(tmp_path)
    assert "<from ms>-<to ms>" in str(bad["shoes"])


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_damaged_files(tmp_path: Path, damage: bytes | None) -> None:
    path = made.write(tmp_path, "shoes", 20)
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    with pytest.raises(DataSetError, match="cannot be read"):
        datasets.read(only(tmp_path), FIELDS)


def test_hashes_follow_content_and_names(tmp_path: Path) -> None:
    path = made.write(tmp_path, "shoes", 20)
    hashes = datasets.Hashes()
    first = hashes.of(only(tmp_path))
    assert hashes.of(only(tmp_path)) == datasets.Hashes().of(only(tmp_path)) == first
    writing.write(tmp_path, "shoes", **{**made.columns(20), "time_ms": made.BEGIN_MS + 10**6 + np.arange(20)})
    second = hashes.of(only(tmp_path))
    assert second != first
    path.unlink()
    assert hashes.of(only(tmp_path)) not in (first, second)


def test_what_the_stream_wrote() -> None:
    """The golden data set that `internal/datasets` wrote is read here as it was meant."""
    found, bad = datasets.scan(GOLDEN)
    assert not bad
    assert [(d.name, len(d.files), d.ended) for d in found] == [("hats", 1, True), ("shoes%2F42", 2, False)]
    hats, shoes = (datasets.read(d, ["country", "system"]) for d in found)
    assert (hats.campaign, shoes.campaign) == ("hats", "shoes/42")
    assert shoes.time_ms.tolist() == [1_760_000_000_000, 1_760_000_000_002, 1_760_000_000_003]
    assert (shoes.label.tolist(), shoes.weight.tolist()) == ([1, 0, 0], [4, 1.25, 1])
    texts = {name: [c.values[i] for i in c.codes] for name, c in shoes.fields.items()}
    assert texts == {"country": ["PT", "DE", "PT"], "system": ["android", "größer als", ""]}
    assert [hats.fields["country"].values[i] for i in hats.fields["country"].codes] == [""]
