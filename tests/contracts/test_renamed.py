"""Modules of the table of renamed ones are gone, and the new ones exist."""

from __future__ import annotations

import importlib.util

from throughtime import renamed


def test_renamed_modules_are_gone_and_the_new_ones_exist():
    for old, new in renamed.AFTER_0_1_0.items():
        assert importlib.util.find_spec(f"throughtime.{new}"), new
        parent = f"throughtime.{old}".rpartition(".")[0]
        result = importlib.util.find_spec(f"throughtime.{old}") if _is_importable(parent) else None
        assert result is None or result.submodule_search_locations, f"{old} is a module again"


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
