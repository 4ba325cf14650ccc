"""Datasets, networks and rules by their registered names, for one's own code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pydantic

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.base import Dataset
from throughtime.errors import UsageError, suggestion
from throughtime.networks.base import Network
from throughtime.neurons.base import Neuron
from throughtime.numerics.flat import flatten
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS, Registry


def build_rule(name: str, **options: Any) -> LearningRule:
    """A learning rule by its registered name; `options` are those that a suite may give it.

    Raises:
        UsageError: there is no rule or option of that name, or a value is wrong.
    """
    return ALGORITHMS[name].factory(**_checked(ALGORITHMS, name, options))


def build_dataset(name: str, **options: Any) -> Dataset:
    """A dataset by its registered name. It reads or makes its data when they are first needed.

    Raises:
        UsageError: as in `build_rule`.
    """
    return DATASETS[name].factory(**_checked(DATASETS, name, options))


def neuron_type(name: str, **options: Any) -> Callable[..., Neuron]:
    """What makes layers of a registered neuron with these options: the argument `neuron` of `build_network`.

    Raises:
        UsageError: as in `build_rule`.
    """
    return partial(NEURONS[name].factory, **_checked(NEURONS, name, options))


def build_network(
    name: str, inputs: int, outputs: int, neuron: str | Callable[..., Neuron] = "lif", **options: Any
) -> Network:
    """A network by its registered name, its weights drawn from torch's global random numbers.

    The weights lie next to each other in memory, so that an update of all of them is one operation.

    Args:
        name: of the network, such as `recurrent`.
        inputs: numbers a time step.
        outputs: width of the readout.
        neuron: the name of a neuron, or what `neuron_type` returns for a neuron with other options.
        **options: those that a suite may give the network.

    Raises:
        UsageError: as in `build_rule`.
    """
    make = neuron_type(neuron) if isinstance(neuron, str) else neuron
    network = NETWORKS[name].factory(inputs, outputs, make, **_checked(NETWORKS, name, options))
    flatten([p for p in network.parameters() if p.requires_grad])
    return network


def _checked(registry: Registry, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a component with its defaults, checked as those of a suite are."""
    component = registry[name]
    try:
        return component.checked(options)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            hint = suggestion(option, component.options.model_fields)
            raise UsageError(f'{name} has no option "{option}"', hint=hint) from error
        raise UsageError(f"{name}: {option}: {first['msg']}") from error
