"""Construction of dataset, network and rule from the spec of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.base import Dataset
from throughtime.errors import UsageError, first_line
from throughtime.harness.device import on_device, require
from throughtime.harness.seeds import stream
from throughtime.harness.tensor_file import DamagedError, unpacked
from throughtime.networks.base import Network
from throughtime.neurons.base import Shape
from throughtime.numerics.flat import flatten
from throughtime.numerics.precision import in_precision
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS
from throughtime.spec import InitialWeights, RunSpec


class Built(NamedTuple):
    """Components of a run."""

    dataset: Dataset
    network: Network
    rule: LearningRule


def build(spec: RunSpec) -> Built:
    """Build dataset, network and rule of a run on its device.

    Weights are drawn on the CPU and then moved, so that a run starts from the same weights on every device. They are
    contiguous in memory. The initial weights of the spec, if it has some, then replace them.

    Raises:
        UsageError: this machine does not have the device of the spec, or the initial weights cannot be loaded.
    """
    require(spec.device)
    dataset = DATASETS[spec.dataset.name].factory(**spec.dataset.options)
    network = build_network(spec, dataset.layout or dataset.inputs, dataset.outputs)
    network = in_precision(network.to(spec.device), spec.training.precision)
    flatten([p for p in network.parameters() if p.requires_grad])
    if spec.initial_weights is not None:
        load_initial_weights(network, spec.initial_weights)
    rule = ALGORITHMS[spec.rule.name].factory(**spec.rule.options)
    return Built(on_device(dataset, spec.device), network, rule)


def build_network(spec: RunSpec, inputs: Shape, outputs: Shape | Mapping[str, Shape]) -> Network:
    """Build the network of a run on the CPU, in float32; its weights come from the replicate's `weights` stream."""
    torch.default_generator.manual_seed(stream(spec.seed, "weights", spec.replicate))  # that of the CPU alone
    return NETWORKS[spec.network.name].factory(
        inputs,
        outputs,
        partial(NEURONS[spec.neuron.name].factory, **spec.neuron.options),
        **spec.network.options,
    )


def load_initial_weights(network: Network, weights: InitialWeights) -> None:
    """Set the weights of a network to those of a file: a state dict, or a `weights.pt`, of which it reads `final`.

    Raises:
        UsageError: the file is missing, has changed since the run was planned, or does not fit the network.
    """
    try:
        content = Path(weights.file).read_bytes()
    except OSError as error:
        raise UsageError(f"the initial weights cannot be read: {error.strerror}", weights.file) from error
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise UsageError("the initial weights changed since the run was planned", weights.file)
    try:
        state = unpacked(content)
        network.load_state_dict(state.get("final", state))
    except DamagedError as error:
        raise UsageError(f"the initial weights cannot be loaded: {error}", weights.file) from error
    except Exception as error:  # a file from elsewhere may raise any exception
        raise UsageError(f"the initial weights do not fit the network: {first_line(error)}", weights.file) from error
