"""A version's manifest, schemas 1 and 2 of docs/contracts.md, and the golden rows beside it. No TensorFlow here."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import msgpack
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pytrain.errors import VersionError
from pytrain.recipe import OBJECTS, load_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from pytrain.frames import Float32s, Int32s
    from pytrain.recipe import IndexSpace, Recipe

MANIFEST = "assets.extra/manifest.json"
RECIPE = "assets.extra/recipe.yaml"
GOLDEN = "assets.extra/golden.msgpack"
TOLERANCE = 1e-6  # largest difference of a version's probabilities, wherever they are computed
_RANDOM_GOLDEN_ROWS = 16
_REMEDY = "export the version again; a version is never repaired in place"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Signature(_Strict):
    """Names of the one input and the one output; tensors are graph names as "op:index"."""

    name: Literal["serving_default"] = "serving_default"
    input: Literal["rows"] = "rows"
    output: Literal["probability"] = "probability"
    input_tensor: str
    output_tensor: str


class TrainedOn(_Strict):
    """Examples learnt, their event times (Unix ms, 0: unknown) and the stream position that covers them."""

    rows: Annotated[int, Field(ge=0)]
    from_ms: int
    to_ms: int
    position: Any = None


class Manifest(_Strict):
    """A description of a version, and the sha256 (hex) of every file in it but the manifest.

    A manifest of schema 1 has one `format`, or none for a SavedModel. It is read as if it had `formats`.

    Attributes
    ----------
    row_len, table_rows
        The rows, int32 (n, row_len) below table_rows, which the version's recipe encodes. 0 if rows are other columns.
    formats
        What the version holds, each a form of the same model. The first one serves where no other is chosen.
    signature
        That of the SavedModel; None if there is none.
    objects
        The size in bytes of each object that the version's plan names, by its sha256; None if there is no plan.
        They stay in the store as long as the version.
    """

    schema_: Annotated[Literal[1, 2], Field(alias="schema")] = 2
    model: str
    version: Annotated[int, Field(gt=0)]
    label: str
    created: str
    row_len: Annotated[int, Field(ge=0)] = 0
    table_rows: Annotated[int, Field(ge=0)] = 0
    formats: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z]{1,30}$")], ...], Field(min_length=1, strict=False)]
    signature: Signature | None = None
    files: dict[str, str]
    objects: dict[str, int] | None = None
    training: TrainedOn
    metrics: dict[str, float | int | None]

    @model_validator(mode="before")
    @classmethod
    def _read_schema_1(cls, given: object) -> object:
        if not isinstance(given, dict) or given.get("schema") != 1:
            return given
        if "formats" in given:
            raise ValueError("schema 1 has no formats")
        document = {**given, "formats": [given.get("format", "savedmodel")]}
        document.pop("format", None)
        return document

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.formats)) < len(self.formats):
            raise ValueError(f"formats: {self.formats} has one twice")
        if "savedmodel" in self.formats and (self.signature is None or not self.indexed):
            raise ValueError("signature, row_len and table_rows: a SavedModel needs all three")
        if bool(self.row_len) != bool(self.table_rows):
            raise ValueError("row_len and table_rows: one of them is 0")
        return self

    @property
    def indexed(self) -> bool:
        """Whether rows are indices that the version's recipe encodes."""
        return self.row_len > 0

    def dump(self) -> bytes:
        """Encode as JSON, in today's schema; keys that the version does not need are left out."""
        document = self.model_dump(by_alias=True) | {"schema": 2}
        for key in ("row_len", "table_rows", "signature"):
            if not document[key]:
                del document[key]
        if self.objects is None:
            del document["objects"]
        return json.dumps(document, indent=2, allow_nan=False).encode() + b"\n"


def read_manifest(version_dir: Path) -> Manifest:
    """Read and check a version's manifest.

    Raises
    ------
    VersionError
        It is absent, unreadable or of no schema that this code knows.
    """
    path = version_dir / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as e:
        raise VersionError(
            f"cannot be read: {e.strerror or e}", where=str(path), remedy="name a version: <store>/<model>/<version>"
        ) from e
    except ValidationError as e:
        faults = "; ".join(": ".join([*map(str, f["loc"]), f["msg"].removeprefix("Value error, ")]) for f in e.errors())
        raise VersionError(faults, where=str(path), remedy=_REMEDY) from e


def read_recipe(version_dir: Path) -> Recipe:
    """Read a version's own recipe.

    Raises
    ------
    VersionError
        The directory is not a model version.
    RecipeError
        The recipe has faults.
    """
    if not (version_dir / RECIPE).is_file():
        remedy = "name one that exists, <store>/<model>/<version>"
        if (version_dir / MANIFEST).is_file() and not read_manifest(version_dir).indexed:
            raise VersionError(
                "has no recipe: its rows are columns, which no file of examples has",
                where=str(version_dir),
                remedy="score columns with bin/bidder score",
            )
        raise VersionError("is no model version: it has no recipe", where=str(version_dir), remedy=remedy)
    return load_recipe(version_dir / RECIPE)


def objects_of(version_dir: Path) -> Path:
    """Return where the parameters of a version's plan are: <store>/objects."""
    return version_dir.absolute().parent.parent / OBJECTS


def hash_files(version_dir: Path) -> dict[str, str]:
    """Return the sha256 of every file below, but the manifest's, by its slash-separated path."""
    found: dict[str, str] = {}
    for path in sorted(p for p in version_dir.rglob("*") if p.is_file()):
        name = path.relative_to(version_dir).as_posix()
        if name != MANIFEST:
            with path.open("rb") as f:
                found[name] = hashlib.file_digest(f, "sha256").hexdigest()
    return found


def check_files(version_dir: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest's sums.

    Raises
    ------
    VersionError
        Names every file that is missing, changed or not listed.
    """
    found = hash_files(version_dir)
    faults = [f"{name} is missing" for name in sorted(manifest.files.keys() - found.keys())]
    faults += [f"{name} is not in the manifest" for name in sorted(found.keys() - manifest.files.keys())]
    faults += [
        f"{name} is damaged"
        for name in sorted(manifest.files)
        if found.get(name, manifest.files[name]) != manifest.files[name]
    ]
    if faults:
        raise VersionError("; ".join(faults), where=str(version_dir), remedy=_REMEDY)


def json_position(pos: object) -> object:
    """Write a stream position as JSON: bytes as {"base64": …}, other values unchanged."""
    match pos:
        case bytes():
            return {"base64": base64.b64encode(pos).decode()}
        case dict():
            return {str(k): json_position(v) for k, v in pos.items()}
        case list() | tuple():
            return [json_position(v) for v in pos]
        case None | bool() | int() | float() | str():
            return pos
    return str(pos)


def golden_rows(space: IndexSpace, *, seed: int) -> Int32s:
    """Choose the rows (n ≥ 16, F) that pin a version's answers.

    All missing; each column's first index; each column's last (*other* for a vocabulary); alternating edges; each
    column alone missing, for up to 16 columns; then random rows, a fifth of their values missing.
    """
    low = np.array([c.low for c in space.columns], np.int32)
    last = np.array([c.high - 1 for c in space.columns], np.int32)
    even = np.arange(space.row_len) % 2 == 0
    rows = [np.zeros_like(low), low, last, np.where(even, low, last), np.where(even, last, low)]
    rows += [np.where(np.arange(space.row_len) == i, 0, low) for i in range(min(space.row_len, 16))]
    rng = np.random.default_rng(seed)
    random = rng.integers(low, last, size=(_RANDOM_GOLDEN_ROWS, space.row_len), endpoint=True)
    random[rng.random(random.shape) < 0.2] = 0
    return np.concatenate([np.stack(rows), random]).astype(np.int32)


def pack_golden(x: Int32s, p: Float32s) -> bytes:
    """Encode golden rows x (n, F) with probabilities p (n,)."""
    n, f = x.shape
    return bytes(msgpack.packb({"n": n, "f": f, "x": x.astype("<i4").tobytes(), "p": p.astype("<f4").tobytes()}))


def read_golden(version_dir: Path) -> tuple[Int32s, Float32s]:
    """Read a version's golden rows (n, F) and probabilities (n,).

    Raises
    ------
    VersionError
        The file is absent or its sizes do not agree.
    """
    path = version_dir / GOLDEN
    try:
        raw = msgpack.unpackb(path.read_bytes())
        x = np.frombuffer(raw["x"], "<i4").reshape(raw["n"], raw["f"])
        p = np.frombuffer(raw["p"], "<f4").reshape(raw["n"])
    except (OSError, ValueError, KeyError, TypeError, msgpack.UnpackException) as e:
        raise VersionError(f"cannot be read: {e}", where=str(path), remedy=_REMEDY) from e
    return x, p
