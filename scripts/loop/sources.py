"""Reading the running processes: Prometheus metrics of the bidder and trainer, the exchange's status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = dict[str, str]


@dataclass(frozen=True)
class Metrics:
    """One scrape: samples by name, each with its labels."""

    samples: dict[str, list[tuple[Labels, float]]] = field(default_factory=dict)

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all samples of `name` that have these labels; 0.0 if there are none."""
        return sum(value for own, value in self._matching(name, labels))

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The samples of `name`, summed by the values of one label."""
        out: dict[str, float] = {}
        for own, value in self._matching(name, labels):
            key = own.get(label, "")
            out[key] = out.get(key, 0.0) + value
        return out

    def _matching(self, name: str, labels: Labels) -> Iterable[tuple[Labels, float]]:
        for own, value in self.samples.get(name, ()):
            if all(own.get(k) == v for k, v in labels.items()):
                yield own, value


def parse(text: str) -> Metrics:
    """Parse the Prometheus text format."""
    samples: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), float(sample.value)))
    return Metrics(samples)


def scrape(url: str) -> Metrics:
    """Fetch and parse `/metrics`.

    Raises
    ------
    httpx.HTTPError
        The process did not answer with 200.
    """
    response = httpx.get(url, timeout=2.0, headers={"Accept": "text/plain; version=0.0.4"})
    response.raise_for_status()
    return parse(response.text)


def exchange_status(url: str) -> dict[str, Any]:
    """The exchange's own figures so far (see `exchange simulate --help`)."""
    response = httpx.get(url, timeout=2.0)
    response.raise_for_status()
    status: dict[str, Any] = response.json()
    return status
