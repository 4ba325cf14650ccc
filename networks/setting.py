"""Settings in which a network is built: that of a publication, and a tiny one for checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import torch

from throughtime.neurons.base import Shape
from throughtime.registry import NEURONS, Component

F = TypeVar("F", bound=Callable[..., Any])


class Setting(NamedTuple):
    """Arguments of a network."""

    inputs: Shape
    """Shape of the input of a step."""
    outputs: Shape | Mapping[str, Shape]
    """Number of outputs; or such numbers by the readouts' names."""
    neuron: str
    """Name of a registered neuron."""
    neuron_options: Mapping[str, Any] = MappingProxyType({})
    """Options of the neuron other than the defaults."""
    options: Mapping[str, Any] = MappingProxyType({})
    """Options of the network other than the defaults."""


def settings(*, published: Setting | None = None, tiny: Setting | None = None) -> Callable[[F], F]:
    """Decorator of a network, below `@network`: declare settings of it.

    Args:
        published: setting of the publication, whose number of parameters `throughtime ls networks` shows.
        tiny: setting in which `throughtime check` evaluates the facts; None: with a few inputs and outputs, and with
            few neurons if the network has an option `hidden`.
    """

    def declare(factory: F) -> F:
        factory.published, factory.tiny = published, tiny  # type: ignore[attr-defined]
        return factory

    return declare


def published_parameters(network: Component) -> int | None:
    """Return the number of parameters of a network in the setting of its publication, without memory for them; None if
    it declares none."""
    setting = getattr(network.factory, "published", None)
    if setting is None:
        return None
    neuron = partial(NEURONS[setting.neuron].factory, **setting.neuron_options)
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        built = network.factory(setting.inputs, setting.outputs, neuron, **setting.options)
    return sum(parameter.numel() for parameter in built.parameters())


def tiny_setting(network: Component) -> Setting | None:
    """Return the setting of a network for checks; None if it declares none. Options that the component fixes, by
    `functools.partial`, are not in it."""
    factory, fixed = network.factory, set[str]()
    if isinstance(factory, partial):
        fixed = {*factory.keywords}
        factory = factory.func
    setting: Setting | None = getattr(factory, "tiny", None)
    if setting is None:
        return None
    return setting._replace(options={name: value for name, value in setting.options.items() if name not in fixed})
