"""The hint for a module that was moved or renamed: the new name exists, and a module that is there has no hint."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from throughtime.renamed import RENAMED, modules_named, replacement


def test_new_names_exist_and_old_ones_are_gone():
    for old, new in RENAMED.items():
        assert find_spec(f"throughtime.{new}"), new
        assert modules_named(old) == [], f"{old} is a module again"


@pytest.mark.parametrize(
    "old, new",
    [
        ("store", "throughtime.records.store"),
        ("algorithms.rtrl", "throughtime.algorithms.influence.rtrl"),
        ("algorithms.fptt", "throughtime.algorithms.fptt.fptt or throughtime.checks.own.fptt"),
        ("networks.compiled", "throughtime.numerics.loops"),
    ],
)
def test_a_module_that_was_moved_is_named(old, new):
    hint = replacement(ImportError(name=f"throughtime.{old}"))
    assert hint == f"throughtime.{old} was moved after version 0.1.0: import {new}"


@pytest.mark.parametrize("name", ["throughtime.spec", "throughtime.nowhere", "numpy.nowhere", None])
def test_no_hint_for_a_module_that_is_there_or_never_was(name):
    assert replacement(ImportError(name=name)) is None
    assert replacement(ValueError()) is None
