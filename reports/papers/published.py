"""Tables of published numbers, of which results/published/SOURCES.md has the sources."""

from __future__ import annotations

from importlib import resources

import pandas as pd


def published_table(name: str) -> pd.DataFrame:
    """Return a table of the package by the name of its CSV file without the suffix."""
    with resources.files("throughtime.published").joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
