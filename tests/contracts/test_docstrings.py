"""Examples in the docstrings of what a user calls: they run, are short; rules, neurons and presets name a source."""

from __future__ import annotations

import doctest
import inspect
import re

import pytest
import torch

import throughtime as tt
from throughtime.datasets import task
from throughtime.registry import ALGORITHMS, NETWORKS, NEURONS

MOST_LINES = 8
NAMES = {"tt": tt, "torch": torch, "Classification": task.Classification}
FACE = [name for name in tt.__all__ if name not in ("neuron", "network", "dataset")]
"""Names of the Python interface; the four decorators have one docstring."""
TASKS = ("Classification", "Regression", "Distribution", "MultiLabel")
REGISTRIES = (ALGORITHMS, NEURONS, NETWORKS)
COMPONENTS = {name: registry[name].factory for registry in REGISTRIES for name in registry.names()}


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_example_of_a_component_runs(name, tensor_operations):
    run(name, COMPONENTS[name])


@pytest.mark.parametrize("name", TASKS)
def test_the_example_of_a_task_runs(name):
    run(name, getattr(task, name), **{name: getattr(task, name)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The results of the example of `run`."""
    folder = tmp_path_factory.mktemp("results")
    run("run", tt.run, folder=folder)
    return folder


@pytest.mark.parametrize("name", FACE)
def test_the_example_of_the_interface_runs(name, folder, isolated_registries, monkeypatch, tensor_operations):
    if name == "recommend":  # it measures each rule
        monkeypatch.setattr(ALGORITHMS, "names", lambda: ["bptt", "eprop"])
    run(name, getattr(tt, name), folder=folder)


@pytest.mark.parametrize("name", [name for name in COMPONENTS if name not in ("recurrent", "layered")])
def test_a_component_links_its_source(name):
    section = inspect.cleandoc(COMPONENTS[name].__doc__).partition("\nReferences:\n")[2]
    assert section and all(re.fullmatch(r"    \S.*: https://\S+", line) for line in section.splitlines())


def run(name, thing, **names):
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(thing), NAMES | names, name, None, None)
    statements = [line for example in test.examples for line in example.source.splitlines()]
    assert 0 < len(statements) <= MOST_LINES
    printed: list[str] = []
    doctest.DocTestRunner().run(test, out=printed.append)
    assert not printed, "".join(printed)
