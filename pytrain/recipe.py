"""The recipe: one YAML file a model, read by Go and Python alike.

Decoding is strict (`pytrain.strict_yaml`): every fault of a file is reported at once, each with its line.
`Recipe.space` is the index space that the features span (docs/contracts.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, model_validator

from pytrain import strict_yaml
from pytrain.errors import RecipeError
from pytrain.strict_yaml import Strict

if TYPE_CHECKING:
    from pathlib import Path

MAX_RECIPE_BYTES = 64 << 20  # a vocabulary of millions fits
MAX_TABLE_ROWS = 2**31 - 1  # indices are int32
MAX_PLAN_FLOATS = 2**29 - 16  # of one parameter: an object has at most 2^31 bytes, 64 of them a header
NAME = r"^[a-z][a-z0-9_]{0,62}$"
OBJECTS = "objects"  # where a store keeps the parameters of plans; no model has this name

Name = Annotated[str, Field(pattern=NAME)]
Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600)]


def check_model(name: str) -> str:
    """Return a model's name.

    Raises
    ------
    ValueError
        It is no name, or the store needs it.
    """
    if not re.fullmatch(NAME, name) or name == OBJECTS:
        raise ValueError(f"{name!r} is no name; match {NAME}, but not {OBJECTS}")
    return name


ModelName = Annotated[Name, AfterValidator(check_model)]


Format = Literal[
    "savedmodel", "plan"
]  # of a version; of those in a recipe's `export`, the first is the bidder's default


class Architecture(Strict):
    """Which model, and its sizes."""

    kind: Literal["logreg", "fm", "deepfm"]
    embedding_dim: Annotated[int, Field(ge=0, le=1024)] = 0
    hidden: Annotated[tuple[Annotated[int, Field(gt=0, le=8192)], ...], Field(max_length=16, strict=False)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind == "logreg" and self.embedding_dim:
            raise ValueError("embedding_dim: logreg has no embeddings; remove the key or choose fm or deepfm")
        if self.kind != "logreg" and not self.embedding_dim:
            raise ValueError(f"embedding_dim: {self.kind} needs one above 0, such as 8")
        if self.kind != "deepfm" and self.hidden:
            raise ValueError(f"hidden: {self.kind} has no hidden layers; remove the key or choose deepfm")
        if self.kind == "deepfm" and not self.hidden:
            raise ValueError("hidden: deepfm needs hidden layers, such as [128, 64, 32]")
        return self


_ADAM = frozenset({"beta_1", "beta_2", "epsilon"})
_FTRL = frozenset({"beta", "l1", "l2"})


class Optimizer(Strict):
    """The optimizer. `adam` is the dense one, for comparison; settings of another kind are not used.

    If `learning_rate` is not given, it is 0.1 for ftrl.
    """

    kind: Literal["lazy_adam", "adam", "ftrl"] = "lazy_adam"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.001
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-7
    beta: Annotated[float, Field(gt=0, le=1000)] = 1
    l1: Annotated[float, Field(ge=0, lt=1000)] = 0
    l2: Annotated[float, Field(ge=0, lt=1000)] = 1

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("kind") == "ftrl":
            return {"learning_rate": 0.1} | given
        return given

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key in sorted(self.model_fields_set & (_ADAM if self.kind == "ftrl" else _FTRL)):
            raise ValueError(f"{key}: {self.kind} has no such setting; remove the key")
        return self


class Training(Strict):
    """Seed, sizes and cadence. The Go trainer uses the cadence of checkpoints and exports."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    batch_rows: Annotated[int, Field(gt=0, le=1 << 20)] = 256
    base_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    window_rows: Annotated[int, Field(gt=0, le=1 << 24)] = 5000
    checkpoint_every_seconds: Seconds = 15
    export_every_seconds: Seconds = 20
    export_min_rows: Annotated[int, Field(ge=0, lt=2**31)] = 500


class Join(Strict):
    """How long examples wait for their events; the Go trainer uses it."""

    bid_wait_seconds: Seconds = 60
    label_wait_seconds: Seconds = 5


class Feature(Strict):
    """One feature: where its value comes from and how it becomes an index.

    Python checks only the form of the declaration. The Go encoder checks whether the source and transform exist.
    """

    name: Name
    source: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    transform: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    of: Annotated[tuple[Name, ...], Field(min_length=2, strict=False)] | None = None
    slots: Annotated[int, Field(gt=0, le=256)] = 1
    encoder: Literal["hash", "vocabulary"]
    buckets: Annotated[int, Field(gt=0, lt=MAX_TABLE_ROWS)] | None = None
    values: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.transform == "cross":
            if self.of is None:
                raise ValueError("of: a cross names the features it joins, such as [campaign, domain]")
            if self.source is not None:
                raise ValueError("source: a cross takes its values from the features in `of`; remove the key")
        elif self.of is not None:
            raise ValueError("of: only a cross has it; add `transform: cross` or remove the key")
        elif self.source is None:
            raise ValueError("source: every feature but a cross needs one, such as device.os")
        if self.encoder == "hash" and (self.buckets is None or self.values is not None):
            raise ValueError("buckets: a hash encoder needs buckets, and no values")
        if self.encoder == "vocabulary" and (self.values is None or self.buckets is not None):
            raise ValueError("values: a vocabulary needs values, and no buckets")
        if self.values is not None and len(set(self.values)) != len(self.values):
            twice = next(v for i, v in enumerate(self.values) if v in self.values[:i])
            raise ValueError(f"values: {twice!r} stands twice; keep one")
        return self

    @property
    def size(self) -> int:
        """Indices the feature owns."""
        return self.buckets if self.buckets is not None else len(self.values or ()) + 1


@dataclass(frozen=True)
class Column:
    """One position of a row: the feature it belongs to and the indices it may hold besides 0."""

    feature: str
    low: int
    high: int  # exclusive


@dataclass(frozen=True)
class IndexSpace:
    """The index space that the features span; index 0 is "missing" and its weight stays zero."""

    columns: tuple[Column, ...]  # F of them
    table_rows: int  # N: indices are in [0, N)

    @property
    def row_len(self) -> int:
        """F, the indices of a row."""
        return len(self.columns)


class Recipe(Strict):
    """One model, as its file says."""

    model: ModelName
    label: Literal["click", "conversion"]
    architecture: Architecture
    optimizer: Optimizer = Optimizer()
    training: Training = Training()
    join: Join = Join()
    export: Annotated[tuple[Format, ...], Field(min_length=1, strict=False)] = ("savedmodel",)
    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=4096, strict=False)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        seen: set[str] = set()
        for i, feature in enumerate(self.features):
            if feature.name in seen:
                raise ValueError(f"features.{i}.name: {feature.name!r} stands twice; rename one")
            for name in feature.of or ():
                if name not in seen:
                    raise ValueError(f"features.{i}.of: {name!r} is no feature above {feature.name!r}; move or fix it")
            seen.add(feature.name)
        for i, format_ in enumerate(self.export):
            if format_ in self.export[:i]:
                raise ValueError(f"export.{i}: {format_} stands twice; remove one")
        if self.optimizer.kind == "ftrl" and self.architecture.kind != "logreg":
            raise ValueError(f"optimizer.kind: ftrl learns a logreg, not a {self.architecture.kind}; use lazy_adam")
        rows = 1 + sum(f.size for f in self.features)
        if rows > MAX_TABLE_ROWS:
            raise ValueError(f"features: {rows} indices do not fit int32; use fewer buckets")
        if "plan" in self.export and rows * self.table_width > MAX_PLAN_FLOATS:
            raise ValueError(
                f"export: a table of {rows} × {self.table_width} floats is over the 2 GiB of a plan's parameter; "
                "leave plan out, or use fewer buckets or a smaller embedding_dim"
            )
        return self

    @cached_property
    def space(self) -> IndexSpace:
        """Offsets, row length and table rows."""
        columns: list[Column] = []
        offset = 1
        for feature in self.features:
            columns += [Column(feature.name, offset, offset + feature.size)] * feature.slots
            offset += feature.size
        return IndexSpace(columns=tuple(columns), table_rows=offset)

    def dump_yaml(self) -> str:
        """Write the recipe as a file that Go and Python read alike; keys at their defaults are left out."""
        return yaml.dump(
            self.model_dump(mode="json", exclude_defaults=True), Dumper=_Dumper, sort_keys=False, allow_unicode=True
        )

    @property
    def table_width(self) -> int:
        """Floats a table row holds: 1 linear weight and `embedding_dim` more."""
        return 1 + self.architecture.embedding_dim


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises
    ------
    RecipeError
        The file cannot be read, is not YAML, or has faults; all of them are named with their lines.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise RecipeError(
            f"cannot be read: {e.strerror or e}",
            where=str(path),
            remedy="name a recipe that exists, models/<model>/recipe.yaml",
        ) from e
    return parse_recipe(data, where=str(path))


def parse_recipe(data: bytes, *, where: str) -> Recipe:
    """Decode a recipe; `where` names it in errors. See `load_recipe`."""
    if len(data) > MAX_RECIPE_BYTES:
        raise RecipeError(f"is larger than {MAX_RECIPE_BYTES} bytes", where=where, remedy="shorten its vocabularies")
    return strict_yaml.parse(data, where=where, page="docs/contracts.md").checked(Recipe)


class _Dumper(yaml.SafeDumper):
    """Writes every text but keys in double quotes: YAML 1.1 and 1.2 differ in what is a number, a date or a truth."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        for key, _ in node.value:
            key.style = None
        return node


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
