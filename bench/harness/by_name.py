"""Construction of datasets, networks and rules by their registered names, for users' own scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pydantic

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.base import Dataset
from throughtime.errors import UsageError, first_line, suggestion
from throughtime.networks.base import Network
from throughtime.neurons.base import Neuron, Shape
from throughtime.numerics.flat import flatten
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS, Registry


def build_rule(name: str, **options: Any) -> LearningRule:
    """Build a learning rule by its registered name, with the same options as in a suite.

    Raises:
        UsageError: no rule or option has that name, or a value is invalid; or values do not fit one another.

    Example:
        >>> tt.build_rule("tbptt", window=4).windows(10)
        [4, 4, 2]
    """
    return _built(ALGORITHMS, name, options)


def build_dataset(name: str, **options: Any) -> Dataset:
    """Build a dataset by its registered name. It loads or generates its data at their first use.

    Raises:
        UsageError: as in `build_rule`.

    Example:
        >>> dataset = tt.build_dataset("adding", steps=20)
        >>> x, target, _ = next(dataset.batches("train", 16))  # [steps, batch, inputs] and [batch, outputs]
        >>> x.shape, target.shape
        (torch.Size([20, 16, 2]), torch.Size([16, 1]))
    """
    return _built(DATASETS, name, options)


def neuron_type(name: str, **options: Any) -> Callable[..., Neuron]:
    """Return the constructor of a registered neuron with these options: the argument `neuron` of `build_network`.

    Raises:
        UsageError: no neuron or option has that name, or a value is invalid. Values that do not fit one another raise
            ValueError in the constructor.

    Example:
        >>> neuron = tt.neuron_type("lif", tau=10.0)(5)
        >>> neuron.shape
        (5,)
    """
    return partial(NEURONS[name].factory, **_checked(NEURONS, name, options))


def build_network(
    name: str,
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: str | Mapping[str, Any] | Callable[..., Neuron] = "lif",
    **options: Any,
) -> Network:
    """Build a network by its registered name; its weights are drawn from torch's global random generator.

    The weights are contiguous in memory, so that an update of all of them is one operation.

    Args:
        name: the name of the network, such as `recurrent`.
        inputs: number of inputs per time step, or the shape of an image, (channels, rows, columns).
        outputs: width of the readout; or widths by the readouts' names.
        neuron: the name of a neuron; or, for one with options, a mapping as in a suite `{"name": "alif", "beta": 1.8}`,
            or the result of `neuron_type`.
        **options: the network's options, as in a suite.

    Raises:
        UsageError: as in `build_rule`; or a size is not a whole number above 0.

    Example:
        >>> network = tt.build_network("recurrent", 3, 2, neuron="ltc", hidden=[8])
        >>> x = torch.rand(10, 4, 3)  # [steps, batch, inputs]
        >>> window = network.unroll(x, network.initial_state(4))
        >>> window.last().shape  # [batch, outputs]
        torch.Size([4, 2])
    """
    if isinstance(neuron, Mapping):
        given = {name: value for name, value in neuron.items() if name != "label"}  # a suite's tables show it
        if "name" not in given:
            raise UsageError("the neuron has no name", hint='neuron={"name": "lif", ...}')
        neuron = neuron_type(given.pop("name"), **given)
    make = neuron_type(neuron) if isinstance(neuron, str) else neuron
    if not callable(make):
        raise UsageError(f"a neuron is a name, a mapping or a constructor, not {make!r}", hint='neuron="lif"')
    for shape in (inputs, *(outputs.values() if isinstance(outputs, Mapping) and outputs else [outputs])):
        sizes = shape if isinstance(shape, tuple | list) else (shape,)
        if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise UsageError(f"{name}: inputs and outputs are whole numbers above 0, not {shape!r}")
    network: Network = _built(NETWORKS, name, options, inputs, outputs, make)
    flatten([p for p in network.parameters() if p.requires_grad])
    network.inputs = inputs
    return network


def _built(registry: Registry, name: str, options: dict[str, Any], *arguments: Any) -> Any:
    """Return a component with these options."""
    checked = _checked(registry, name, options)
    try:
        return registry[name].factory(*arguments, **checked)
    except ValueError as error:
        raise UsageError(f"{name}: {first_line(error)}") from error


def _checked(registry: Registry, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a component with its defaults, validated as in a suite."""
    component = registry[name]
    try:
        return component.checked(options)
    except TypeError as error:
        raise UsageError(f"{name}: {first_line(error)}") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            hint = suggestion(option, component.options.model_fields)
            raise UsageError(f'{name} has no option "{option}"', hint=hint) from error
        is_single = first["type"] == "list_type" and isinstance(first["input"], int | float | str)
        as_list = f"{option}=[{first['input']!r}]" if is_single else None
        raise UsageError(f"{name}: {option}: {first['msg']}", hint=as_list) from error
