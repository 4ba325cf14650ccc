"""Facts of networks: the fast window against plain steps, and gradients of all parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from throughtime.checks.fact import DoesNotApplyError, Fact, Observed, worst
from throughtime.checks.smooth import smooth_error
from throughtime.checks.tiny import (
    BATCH,
    CLASSES,
    INPUTS,
    STEPS,
    backprop,
    error,
    largest,
    made,
    representatives,
    seeded,
    sequence,
    units,
)
from throughtime.checks.window import by_layers, differences, one_step_error, stepped
from throughtime.datasets.task import Classification
from throughtime.networks.base import Network
from throughtime.numerics.trees import mapped, tensors
from throughtime.registry import Component

TASK = Classification(CLASSES)


def nets(component: Component, seed: int = 3) -> list[tuple[str, Network]]:
    """Return a small network of each representative neuron, of the network's own sizes if it has no option `hidden`."""
    options = {"hidden": [units()]} if "hidden" in component.options.model_fields else {}
    found = []
    for neuron in representatives():
        with seeded(seed):
            found.append((neuron.name, made(component, INPUTS, CLASSES, neuron.factory, **options).double()))
    return found


def window_is_steps(component: Component) -> Observed:
    return worst(((name, _window_error(net)) for name, net in nets(component)), "no neuron")


def _window_error(network: Network) -> float:
    """Return the error of outputs, spikes, last state and gradients of one window against those of its steps."""
    x, _ = sequence()
    with seeded(11):
        state = network.initial_state(len(sequence()[1]))
    learnt = [p for p in network.parameters() if p.requires_grad]
    found = differences(network.unroll(x, state), stepped(network, x, state), learnt)
    return largest(value for _, value in found)


def one_step_is_step(component: Component) -> Observed:
    """Return the error of the network's own single steps, over every neuron for which it has them."""
    found = []
    for name, network in nets(component):
        with seeded(11):
            error = one_step_error(network, sequence()[0], network.initial_state(len(sequence()[1])))
        if error is not None:
            found.append((name, error))
    if not found:
        raise DoesNotApplyError("it takes them by windows")
    return worst(found, "no neuron")


def layers_are_the_step(component: Component) -> Observed:
    """Return the error of steps computed from `layers` and `readouts` against `forward`, over a sequence."""

    def find(network: Network) -> float:
        if not network.described:
            raise DoesNotApplyError("it does not describe itself by layers and readouts")
        with seeded(11):
            state = network.initial_state(len(sequence()[1]))
        errors = []
        with torch.no_grad():
            for x_t in sequence()[0]:
                expected, after = network(x_t, state)
                found, as_described = by_layers(network, x_t, state)
                errors.append(error(tensors((found, as_described)), tensors((expected, after))))
                state = after
        return largest(errors)

    return worst(((name, find(net)) for name, net in nets(component)), "no neuron")


def two_windows(component: Component) -> Observed:
    def find(network: Network) -> float:
        x, _ = sequence()
        with seeded(11):
            whole = network.unroll(x, network.initial_state(BATCH))
        with seeded(11):
            first = network.unroll(x[:5], network.initial_state(BATCH))
        second = network.unroll(x[5:], first.state)
        return error([torch.cat((first.outputs, second.outputs))], [whole.outputs])

    return worst(((name, find(net)) for name, net in nets(component)), "no neuron")


def weights(network: Network) -> list[Tensor]:
    """Return all tensors that may be drawn at random: parameters and buffers."""
    return [tensor.double() for tensor in network.state_dict().values()]


def same_seed(component: Component) -> Observed:
    pairs = zip(nets(component), nets(component), strict=True)
    return worst(((name, error(weights(one), weights(two))) for (name, one), (_, two) in pairs), "no neuron")


def other_seed(component: Component) -> Observed:
    """Count networks with the same weights for another seed: their replicates would be the same run."""
    pairs = zip(nets(component), nets(component, seed=4), strict=True)
    return worst(
        ((name, float(error(weights(one), weights(two)) == 0)) for (name, one), (_, two) in pairs), "no neuron"
    )


def samples_apart(component: Component) -> Observed:
    """Return the difference between a sample alone and in its batch; in training too, unless the network mixes samples.

    In training the part has two samples, because a norm refuses a single one.
    """

    def find(network: Network) -> float:
        x, _ = sequence()
        with seeded(11):
            state = network.initial_state(BATCH)
        errors = []
        for training, few in ((False, 1),) if network.mixes_samples else ((False, 1), (True, 2)):
            network.train(training)
            with torch.no_grad():
                batch = network.unroll(x, state).outputs[:, :few]
                alone = network.unroll(x[:, :few].contiguous(), mapped(lambda s, few=few: s[:few], state)).outputs
            errors.append(error([alone], [batch]))
        return largest(errors)

    return worst(((name, find(net)) for name, net in nets(component)), "no neuron")


def learns(component: Component) -> Observed:
    """Count parameters that get no gradient in BPTT with any neuron; one silent neuron is no fault, and its own
    parameters do not count."""
    reached: dict[str, bool] = {}
    x, target = sequence(STEPS)
    for _, network in nets(component):
        with torch.no_grad(), seeded(11):
            spikes = network.unroll(x, network.initial_state(len(target))).spikes
        silent = network.spiking and not any(z.any() for z in spikes)
        names = [name for name, p in network.named_parameters() if p.requires_grad]
        for name, g in zip(names, backprop(network, x, target, TASK, "every"), strict=True):
            if not (silent and ".neuron." in name):
                reached[name] = reached.get(name, False) or float(g.abs().max()) > 0
    dead = [name for name, is_reached in reached.items() if not is_reached]
    return Observed(len(dead), ", ".join(dead))


def smooth_gradient(component: Component) -> Observed:
    return worst(((name, smooth_error(net)) for name, net in nets(component)), "no neuron")


def facts(component: Component) -> tuple[Fact, ...]:
    """Return the facts of a network."""
    return (
        Fact("a window = its steps, with gradients", 1e-12, window_is_steps),
        Fact("a single step = its step, with gradients", 1e-12, one_step_is_step),
        Fact("a step by its layers = its step", 1e-12, layers_are_the_step),
        Fact("two windows = one", 1e-12, two_windows),
        Fact("same seed, same weights", 0, same_seed),
        Fact("another seed, other weights", 0, other_seed),
        Fact("samples mix nowhere but where it says so", 1e-12, samples_apart),
        Fact("every parameter gets a gradient", 0, learns),
        Fact("gradient of the smooth net = differences", 1e-6, smooth_gradient),
    )
