"""Examples in the docstrings of what a user calls: they run, are short, and each rule and neuron names its source."""

from __future__ import annotations

import doctest
import inspect
import re

import pytest
import torch

import throughtime as tt
from throughtime.datasets.task import Classification
from throughtime.registry import ALGORITHMS, NEURONS

MOST_LINES = 8
COMPONENTS = {name: registry[name].factory for registry in (ALGORITHMS, NEURONS) for name in registry.names()}


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_example_of_a_component_runs(name):
    run(name, COMPONENTS[name], {"tt": tt, "torch": torch, "Classification": Classification})


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_links_its_source(name):
    section = inspect.cleandoc(COMPONENTS[name].__doc__).partition("\nReferences:\n")[2]
    assert section and all(re.fullmatch(r"    \S.*: https://\S+", line) for line in section.splitlines())


def run(name, thing, names):
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(thing), dict(names), name, None, None)
    statements = [line for example in test.examples for line in example.source.splitlines()]
    assert 0 < len(statements) <= MOST_LINES
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append)
    assert not told, "".join(told)
