"""Evaluation of the facts of registered components."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from throughtime.checks.contract import datasets, networks, neurons, rules
from throughtime.checks.fact import CheckResult, Fact, Observed, evaluate
from throughtime.checks.full import facts as full_facts
from throughtime.checks.own import harness, identities, reference
from throughtime.checks.tiny import with_every_structure
from throughtime.collector import gc_frozen
from throughtime.display import Display
from throughtime.errors import UsageError, suggestion
from throughtime.harness.batches import learn_batch
from throughtime.registry import REGISTRIES, Component, load_plugin

FACTS: dict[str, Callable[[Component], tuple[Fact, ...]]] = {
    "rules": lambda component: rules.facts(component, identities.facts(component)),
    "neurons": neurons.facts,
    "networks": networks.facts,
    "datasets": datasets.facts,
    "harness": harness.facts,
}
HARNESS = Component("harness", "harness", learn_batch, "throughtime", Display("harness"))
"""The training loop, which has facts but is not a component of a registry."""


def components(names: Sequence[str]) -> list[Component]:
    """Return the components with these names, of every kind; all registered components if there are no names.

    Raises:
        UsageError: no kind has a component of a name.
    """
    everything = [*(registry[name] for registry in REGISTRIES.values() for name in registry.names()), HARNESS]
    known = {component.name for component in everything}
    for name in names:
        if name not in known:
            raise UsageError(f'nothing is registered as "{name}"', hint=suggestion(name, known))
    return [component for component in everything if not names or component.name in names]


def check(
    names: Sequence[str] = (),
    full: bool = False,
    only: str = "",
    tell: Callable[[Component, int, int], None] = lambda *_: None,
) -> Iterator[CheckResult]:
    """Evaluate every fact of the named components, or of all, on one thread; yield each result when it is ready.

    Args:
        names: names of components; all if empty.
        full: evaluate the facts of `full.py` too, which takes minutes a component.
        only: text that the name of a fact contains; all facts if empty.
        tell: is called before each fact with the component, the number of its facts that are done, and that of all.
    """
    chosen = components(names)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with gc_frozen():  # facts on memory collect garbage often
            for component in chosen:
                facts = [fact for fact in _facts(component, full) if only in fact.name]
                for done, fact in enumerate(facts):
                    tell(component, done, len(facts))
                    with with_every_structure(full):
                        result = evaluate(fact, component)
                    yield result
    finally:
        torch.set_num_threads(threads)


def _facts(component: Component, full: bool) -> tuple[Fact, ...]:
    def not_to_be_had(reason: Exception) -> Fact:
        def find(_: Component) -> Observed:
            raise reason

        return Fact("can be built with its defaults", 0, find)

    try:
        return FACTS[component.kind](component) + reference.facts(component) + (full_facts(component) if full else ())
    except Exception as error:  # it cannot be built at all
        return (not_to_be_had(error),)


def assert_sound(*names: str, plugins: Sequence[str | Path] = ()) -> None:
    """Assert that every fact of the named components holds.

    Raises:
        AssertionError: a fact does not hold; the message has one line for each.
        UsageError: a name is not registered, or a plugin cannot be loaded.
    """
    for plugin in plugins:
        load_plugin(plugin)
    failed = [finding for finding in check(names) if finding.verdict == "fails"]
    if failed:
        raise AssertionError("\n".join(as_text(finding) for finding in failed))


def as_text(finding: CheckResult) -> str:
    """Return a finding as one line."""
    value = "error" if finding.value is None else f"{finding.value:.3g}"
    return f"{finding.component}: {finding.fact}: {value} (bound {finding.bound}) {finding.note}".rstrip()
