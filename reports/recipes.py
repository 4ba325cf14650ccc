"""Recipes: for each reproduced paper a folder of `reports/` with its suite (`suite.yaml`) and figure (`figures.py`)."""

from __future__ import annotations

import importlib
from importlib import resources

from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn


def recipes() -> list[str]:
    """Return the names of the recipes; a recipe's suite has the same name."""
    return sorted(f.name for f in resources.files("throughtime.reports").iterdir() if (f / "figures.py").is_file())


def draw_recipe(name: str, results: Results, scale: str) -> Drawn | None:
    """Draw the figure of a recipe from the records of its suite at one scale; None without the necessary data."""
    return importlib.import_module(f"throughtime.reports.{name}.figures").draw(results, scale)
