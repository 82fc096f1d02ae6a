"""Training for rankings: data sets in, a classifier a campaign out.

    data sets (docs/datasets.md) ──► examples ──► encoding ──► a trainer ──► fitting ──► classifier files ──► the ranker

`datasets` reads, `encoding` turns texts into columns, `trainers/` holds one file a trainer, `fitting` calibrates a fit
and makes a classifier of it, `files` is the format (docs/classifier-files.md), `manager` retrains what changed.
docs/training-classifiers.md is the page for who changes a recipe.
"""
