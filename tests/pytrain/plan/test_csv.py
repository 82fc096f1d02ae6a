"""Lines of CSV: the engine beside Python's csv module, float and int."""

from __future__ import annotations

import csv
import ctypes
import io
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytrain.errors import InputError
from pytrain.plan import Plan, Value, concat, publish_plan, read_plan, write_plan
from pytrain.plan.operators import Fault
from pytrain.plan.values import Input
from tests.pytrain.plan import reference

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGINE = Path(__file__).parents[3] / "internal/engine/plan"
SOURCES = ("arena.c", "csv.c", "parse.c")

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to build the engine's stages")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    target = tmp_path_factory.mktemp("engine") / "csv.so"
    sources = [Path(__file__).with_name("csv_line.c"), *(ENGINE / name for name in SOURCES)]
    flags = ["-O3", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, f"-I{ENGINE}", "-o", target, *sources, "-lm"], check=True)
    found = ctypes.CDLL(str(target))
    found.csv_line.restype = found.csv_number.restype = ctypes.c_int32
    return found


def engine_fields(library: ctypes.CDLL, line: bytes, separator: str, missing: str | None, fields: int) -> Any:
    """Return the line's fields; None if it is refused."""
    room = len(line) + 1
    out, lengths = ctypes.create_string_buffer(fields * room), (ctypes.c_uint32 * fields)()
    marker = (missing or "").encode()
    fault = library.csv_line(
        line, len(line), ord(separator), marker, -1 if missing is None else len(marker), fields, out, room, lengths
    )
    if fault:
        return None
    return [out.raw[i * room : i * room + lengths[i]] for i in range(fields)]


def engine_number(library: ctypes.CDLL, text: bytes, to: str) -> float | None:
    number = ctypes.c_double()
    fault = library.csv_number(text, len(text), int(to == "int32"), ctypes.byref(number))
    return None if fault else number.value


LINES = st.text(st.sampled_from('ab",;\n\r\t |é日\x00'), max_size=12)


@needs_gcc
@settings(max_examples=300, deadline=None)
@given(LINES, st.sampled_from(",;\t|a"), st.sampled_from(["", "a", "NA", '"', None]))
@example('a,"b ""c"", d",', ",", "")
@example('"a\r\nb",2\r\n', ",", "")
@example('a"b,c', ",", "")
@example('"a"b', ",", "")
@example('"a', ",", "")
@example("a\nb", ",", "")
@example("\n", ",", None)
def test_lines_are_read_as_python_reads_them(
    library: ctypes.CDLL, line: str, separator: str, missing: str | None
) -> None:
    data = line.encode()
    found = reference.fields_of(data, separator)
    if found is not None:
        want = [reference.MISSING if field == missing else field.encode() for field in found]
        assert engine_fields(library, data, separator, missing, len(found)) == want
    for other in {1, 2, 3, 4} - {len(found or ())}:
        assert engine_fields(library, data, separator, missing, other) is None


@needs_gcc
@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=6), st.booleans())
def test_what_python_writes_is_read(library: ctypes.CDLL, fields: list[str], quoted: bool) -> None:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerow(fields)
    data = line.getvalue().encode()
    assert engine_fields(library, data, ",", None, len(fields)) == [field.encode() for field in fields]


DIGITS = st.text(st.sampled_from("0123456789"), max_size=25)
NUMBERS = (
    st.floats().map(repr)
    | st.floats().map(lambda x: f"{x:.20e}")
    | st.integers(-(2**33), 2**33).map(str)
    | st.builds("{}{}.{}e{}".format, st.sampled_from(["", "-", "+"]), DIGITS, DIGITS, st.integers(-340, 320))
    | st.text(st.sampled_from("0123456789+-.eE \tinfatyNx_"), max_size=9)
)


@needs_gcc
@settings(max_examples=600, deadline=None)
@given(NUMBERS)
@example("9007199254740993")
@example("1" + "0" * 400)
@example("2.4703282292062327208e-324")
@example("1e999")
@example("0x1p3")
@example("1_000")
@example("１")
@example("\u00a01")
@example("0" * 1001)
def test_numbers_are_python_s(library: ctypes.CDLL, text: str) -> None:
    for to in ("float64", "int32"):
        want, got = reference.number(text.encode(), to), engine_number(library, text.encode(), to)
        if want is None or got is None:
            assert want is got, (text, to, want, got)
        elif want == want:  # noqa: PLR0124 - not NaN, whose bits are no matter
            assert np.float64(want).tobytes() == np.float64(got).tobytes(), (text, to)
        else:
            assert np.isnan(got)


@needs_gcc
def test_a_missing_field_is_nan_and_no_integer(library: ctypes.CDLL) -> None:
    assert np.isnan(engine_number(library, reference.MISSING, "float64") or 0)
    assert engine_number(library, reference.MISSING, "int32") is None


def plan_of(line: Value, fields: Sequence[Value]) -> Plan:
    return Plan(inputs=(line,), outputs={"value": concat([f.numbers() for f in fields])}, tolerance=1e-12)


def test_the_builder_names_columns_and_writes_what_is_used(tmp_path: Path) -> None:
    line = Input("line", "text")
    row = line.csv(
        {"city": "text", "age": "float64", "share": "float32", "rooms": "int32"}, separator=";", missing="NA"
    )
    assert [(name, value.type) for name, value in row.items()] == [
        *(("city", "text"), ("age", "float64"), ("share", "float32"), ("rooms", "int32")),
    ]
    code = row["city"].lookup_texts({"Oslo": 1.0, None: 2.0}, unknown=0.0)
    plan = plan_of(line, [code, row["share"], row["rooms"]])
    places = {value.at for value in plan.nodes if value.op == "parse"}
    assert places == {f"csv of 4 columns > column {name}" for name in ("share", "rooms")}
    write_plan(plan, tmp_path, tmp_path / "objects")
    read = read_plan(tmp_path, tmp_path / "objects")
    lines = ["Oslo;1;0.1;3", '"Oslo";;1e-3;-2', "NA;x;NA;0", "Oslo;1;x;0", "Oslo;1;1;0.5", "Oslo;1;1;NA", "a;b;c"]
    outputs, refused = reference.run(read, {"line": lines})
    assert refused.tolist() == [False, False, False, True, True, True, True]
    want = [[1, np.float64(np.float32(0.1)), 3], [1, np.float64(np.float32(1e-3)), -2], [2, np.nan, 0]]
    np.testing.assert_array_equal(outputs["value"][:3], want)


@pytest.mark.parametrize(
    ("columns", "more", "message"),
    [
        ({"a": "int64"}, {}, "the column 'a' is 'int64', not one of text, float64, float32, int32"),
        ({}, {}, "a line has 0 fields"),
        ({"a": "text"}, {"separator": '"'}, "the separator"),
        ({"a": "text"}, {"separator": "::"}, "the separator"),
        ({"a": "text"}, {"separator": "é"}, "the separator"),
    ],
)
def test_the_builder_refuses(columns: dict[str, str], more: dict[str, str], message: str) -> None:
    with pytest.raises(Fault, match=message):
        Input("line", "text").csv(columns, **more)


def test_the_documented_plan_is_published_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs/plan-builder.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "plan-builder.md", "exec"), {})  # noqa: S102 - our own page
    read = read_plan(tmp_path / "var/store/flat/1", tmp_path / "var/store/objects")
    lines = ['Oslo,31,"a note",3', "Rome,,,1", "Oslo,31,note", "Oslo,31,note,3.5", "Oslo,old,note,3"]
    outputs, refused = reference.run(read, {"line": lines})
    assert refused.tolist() == [False, False, True, True, True]
    x = np.array([[1, 0, -9 / 12, 0], [0, 1, 0, -2 / 1.5]]) @ [0.7, -0.4, 0.2, 1.1] - 0.3
    np.testing.assert_allclose(outputs["probability"][:2, 1], 1 / (1 + np.exp(-x)), rtol=1e-12)


@pytest.mark.parametrize(
    ("rows", "answers", "message"),
    [
        ({}, {"value": [0.0]}, "line: is missing"),
        ({"line": "1,2"}, {"value": [0.0]}, "no list of texts"),
        ({"line": ["1"] * 16}, {"value": np.zeros((16, 2))}, r"the shape \(16, 2\)"),
        ({"line": ["1"] * 16}, {"value": np.zeros(15)}, "line: 16, value: 15"),
        ({"line": ["1"] * 9}, {"value": np.zeros(9)}, "at least 16"),
        ({"line": ["1"] * 16, "lines": ["1"] * 16}, {"value": np.zeros(16)}, "lines: is not the plan's; give line"),
        ({"line": ["1"] * 16}, {"value": np.zeros(16), "p": np.zeros(16)}, "p: is not the plan's; give value"),
    ],
)
def test_what_cannot_be_published(tmp_path: Path, rows: Any, answers: Any, message: str) -> None:
    line = Input("line", "text")
    plan = plan_of(line, [line.csv({"a": "float64"})["a"]])
    with pytest.raises(InputError, match=message):
        publish_plan(plan, rows, answers, store=tmp_path, model="m")
    assert not (tmp_path / "m" / "1").exists()


@pytest.mark.parametrize("odd", [0.5, np.nan, 2.0**31])
def test_whole_numbers_are_published_as_they_are(tmp_path: Path, odd: float) -> None:
    rooms = Input("rooms", "int32")
    plan = Plan(inputs=(rooms,), outputs={"value": rooms.numbers().add(1)})
    with pytest.raises(InputError, match="rooms: has a number that int32 does not hold"):
        publish_plan(plan, {"rooms": np.full(16, odd)}, {"value": np.zeros(16)}, store=tmp_path, model="m")
