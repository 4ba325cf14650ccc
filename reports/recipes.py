"""Recipes: a folder of `reports/` a paper, with its suite (`suite.yaml`) and its figure (`figures.py`)."""

from __future__ import annotations

import importlib
from importlib import resources

from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn


def recipes() -> list[str]:
    """Names of the recipes; a recipe's suite has the same name."""
    return sorted(f.name for f in resources.files("throughtime.reports").iterdir() if (f / "figures.py").is_file())


def draw_recipe(name: str, results: Results, scale: str) -> Drawn | None:
    """The figure of a recipe from the records of its suite at one scale; None if no run left what it needs."""
    return importlib.import_module(f"throughtime.reports.{name}.figures").draw(results, scale)
