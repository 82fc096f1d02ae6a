"""A bidder's world whose store has the models of fleets, each with a pointer, so that the bidder can discover them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from bench.plans.fleets import BUILD, Fleet
from bench.world import World
from pytrain.recipe import OBJECTS
from pytrain.store import write_pointer


@dataclass(frozen=True)
class PlanWorld(World):
    """A world with fleets besides the model that bids; the configuration names the models in `named`."""

    fleets: tuple[Fleet, ...] = ()
    named: tuple[str, ...] = ()

    @classmethod
    def of(cls, *fleets: Fleet, named: tuple[str, ...] = ()) -> PlanWorld:
        """Return the world of fleets that were made together; they share a store."""
        return cls(BUILD / "world" / fleets[0].directory.parent.name, fleets=fleets, named=named)

    def prepare(self) -> None:
        super().prepare()
        for fleet in self.fleets:
            source = fleet.directory / "store"
            for part in (*(name for name, _ in fleet.models), OBJECTS):
                for file in (source / part).rglob("*"):
                    target = self.store / file.relative_to(source)
                    if file.is_file() and not target.exists():
                        target.parent.mkdir(parents=True, exist_ok=True)
                        os.link(file, target)
            for name, _ in fleet.models:
                write_pointer(self.store / name, stable=1)

    def document(self) -> dict[str, Any]:
        document = super().document()
        document["models"] |= {model: {} for model in self.named}
        return document
