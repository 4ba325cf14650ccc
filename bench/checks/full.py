"""Facts of `throughtime check --full`: larger sizes, evaluation mode, options other than defaults, real data."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch

from throughtime.checks.contract import datasets, networks, neurons, rules
from throughtime.checks.fact import DoesNotApplyError, Fact, Observed
from throughtime.checks.tiny import CLASSES, INPUTS, LARGE, SIZE, build, error, sized
from throughtime.checks.window import stepped
from throughtime.datasets.files.fetch import report
from throughtime.datasets.overlap import hashes, overlap
from throughtime.networks.setting import tiny_setting
from throughtime.neurons.lif import LIF
from throughtime.numerics.trees import tensors
from throughtime.registry import Component

SIZE_CHANGES = {
    "rules": ("claims exact", "claims truncated", "claims approximate: gradient", "reported losses"),
    "neurons": ("compiled window", "compiled step"),
    "networks": ("a window", "compiled step", "a step computed by its layers"),
}
"""Beginnings of the names of the facts that are evaluated at `LARGE` sizes. The quality of an approximation depends on
the size and is not among them."""
OPTIONS_CHANGE = SIZE_CHANGES | {
    "neurons": ("compiled window", "compiled step", "claimed partials", "smoothed gradient"),
    "rules": ("windows", "same seed", "does not", "reports", "the last update", "stopped and resumed"),
}
"""The same for other values of options. Rules are tested against the contract alone: a regulariser or a weight decay is
part of their gradient by design, and identities test it."""
ARGUMENTS: dict[str, tuple[Any, ...]] = {"rules": (), "neurons": (SIZE,), "networks": (INPUTS, CLASSES, LIF)}
"""Positional arguments with which a component of each kind is built."""


def facts(component: Component) -> tuple[Fact, ...]:
    """Return the facts that `--full` adds for a component."""
    if component.kind == "harness":
        return ()
    if component.kind == "datasets":
        return real_data_facts(component)
    facts_of = {"rules": rules.facts, "neurons": neurons.facts, "networks": networks.facts}[component.kind]

    def chosen(which: Component, names: dict[str, tuple[str, ...]]) -> list[Fact]:
        return [fact for fact in facts_of(which) if fact.name.startswith(names[component.kind])]

    added = [at_large(fact) for fact in chosen(component, SIZE_CHANGES)]
    if component.kind == "networks":
        added.append(Fact("evaluation after training: a window = its steps", 1e-12, evaluation_is_steps))
    for name, value in variants(component):
        added += with_option(component, name, value, lambda which: chosen(which, OPTIONS_CHANGE))
    return tuple(added)


def at_large(fact: Fact) -> Fact:
    """Return the fact at `LARGE` sizes."""

    def find(component: Component) -> Observed:
        with sized(LARGE):
            return fact.find(component)

    return Fact(f"{LARGE.units} units, {LARGE.steps} steps, batch {LARGE.batch}: {fact.name}", fact.bound, find)


def with_option(component: Component, name: str, value: Any, chosen: Callable[[Component], list[Fact]]) -> list[Fact]:
    """Return the facts of a component with one option other than its default; none if it refuses the value."""
    varied = dataclasses.replace(component, factory=partial(component.factory, **{name: value}))
    setting = tiny_setting(varied) if component.kind == "networks" else None
    arguments = ARGUMENTS[component.kind] if setting is None else (setting.inputs, setting.outputs, LIF)
    try:
        build(varied, *arguments, **({} if setting is None else setting.options))
    except ValueError:  # an option that needs another
        return []
    varied_facts = chosen(varied)
    # A value may cause cancellation: 1 − σ(20) in asrnn's logistic decay has 8 digits less than its terms.
    return [
        Fact(f"{name} {value}: {fact.name}", fact.bound and max(fact.bound, 1e-9), partial(_on, varied, fact))
        for fact in varied_facts
    ]


def _on(varied: Component, fact: Fact, component: Component) -> Observed:
    return fact.find(varied)


def variants(component: Component) -> Iterator[tuple[str, Any]]:
    """Yield each option that has a few values, with each value other than its default."""
    for name, field in component.options.model_fields.items():
        if not field.is_required():
            yield from ((name, value) for value in choices(field.annotation) if value != field.default)


def choices(annotation: Any) -> tuple[Any, ...]:
    """Return the values of a Literal or bool, also in a union with None; nothing for any other type."""
    if annotation is bool:
        return (False, True)
    if typing.get_origin(annotation) is Literal:
        return typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(value for part in typing.get_args(annotation) for value in choices(part))
    return ()


def evaluation_is_steps(component: Component) -> Observed:
    """Return the error of a window in evaluation mode against its steps, after training has moved the statistics."""

    def find(net: networks.Net) -> float:
        network, state = net.network, net.initial_state()
        with torch.no_grad():
            for order in (torch.randperm(len(net.target), generator=torch.Generator().manual_seed(s)) for s in (8, 9)):
                network.unroll(net.x[:, order].flip(0), state)
            network.eval()
            window, steps = network.unroll(net.x, state), stepped(network, net.x, state)
        return error(*([*tensors(w.outputs), *w.spikes] for w in (window, steps)))

    with sized(LARGE):
        return networks.over_nets(find, component)


# --- datasets with their default data instead of the tiny variants


def real_data_facts(component: Component) -> tuple[Fact, ...]:
    def real(fact: Fact) -> Fact:
        return Fact(f"real data: {fact.name}", fact.bound, lambda component: fact.find(_as_it_is(component)))

    named = {"sequences and targets are well formed", "splits have their stated sizes", "digest of the raw data"}
    return (
        *(real(fact) for fact in datasets.facts(component) if fact.name in named),
        Fact("real data: no sequence is in two splits", 0, real_splits_are_disjoint),
    )


def _as_it_is(component: Component) -> Component:
    """Return the component with its default data in place of the tiny variant.

    Raises:
        DoesNotApplyError: its files are missing, or an option has no default.
    """
    dataset = build(component)
    if dataset.files and not all(presence.path for presence in report(dataset.needed())):
        raise DoesNotApplyError("its files are not here")
    return dataclasses.replace(component, factory=type("Real", (), {"tiny": staticmethod(lambda: dataset)}))


def real_splits_are_disjoint(component: Component) -> Observed:
    shared = overlap(hashes(datasets.tiny(_as_it_is(component))))
    return Observed(sum(shared.values()), ", ".join(f"{n} in {a} and {b}" for (a, b), n in shared.items() if n))
