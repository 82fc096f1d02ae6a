"""Shared results: one text to all models, with what they have in common computed once, against a call of each."""

from __future__ import annotations

from bench.plans import sides
from bench.plans.fleets import Fleet
from bench.plans.keys import Found
from bench.report import median, say


def run(made: dict[str, Fleet], found: Found, *, rounds: int) -> None:
    """Join the models of each fleet. Tables of two sets have no row in common, so that adult alone is joined."""
    joined = {
        "text": made["text"].file,
        "tabular": made["tabular"].variant("adult", models=[m for m in made["tabular"].models if m[1] == "adult"]),
    }
    for name, file in joined.items():
        with sides.gavel("joined", file) as side:
            answers = [side.ask(rows=40, seed=seed) for seed in range(rounds + 1)][1:]
        found.raw[f"shared {name}"] = answers
        alone, together = (median([a[key] for a in answers]) for key in ("alone_us", "together_us"))
        gain, models = median([a["ratio"] for a in answers]), answers[0]["models"]
        say(f"{name}: {models} models on one row: {alone:.2f} µs a model alone, {together:.2f} together, {gain:.2f} ×")
        if any(a["outputs_differ"] for a in answers):
            found.none("outputs differ between joined models and models alone", "shared_text_gain")
        elif name == "text":
            found.values["shared_text_gain"] = gain
