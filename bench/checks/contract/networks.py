"""Facts of networks: the fast window against plain steps, and gradients of all parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.checks import tiny
from throughtime.checks.contract.dtypes import in_both, window_tensors
from throughtime.checks.fact import DoesNotApplyError, Fact, Observed, worst, worst_of
from throughtime.checks.smooth import STEPS as SMOOTH_STEPS
from throughtime.checks.smooth import smooth_error
from throughtime.checks.window import by_layers, differences, one_step_error, stepped, two_windows
from throughtime.datasets.task import Classification, Meter, Task
from throughtime.networks.base import Network
from throughtime.networks.setting import Setting, tiny_setting
from throughtime.neurons.base import shape_of
from throughtime.numerics.trees import Tree, mapped, tensors
from throughtime.registry import NEURONS, Component


class Net(NamedTuple):
    """A tiny network, and a batch for it."""

    name: str
    """Name of its neuron."""
    network: Network
    x: Tensor
    """[steps, batch, inputs], the inputs as a vector."""
    target: Tensor
    """Classes, [batch]."""

    def initial_state(self) -> Any:
        """Return the initial state of the batch, the same at every call."""
        with tiny.seeded(11):
            return self.network.initial_state(len(self.target))

    def parameters(self) -> list[nn.Parameter]:
        """Return the trained parameters."""
        return [p for p in self.network.parameters() if p.requires_grad]


class Outputs(Task):
    """Classification by a single output; the mean square of several outputs."""

    classification = Classification(tiny.CLASSES)

    def loss(self, outputs: Tree, target: Tensor) -> Tensor:
        if isinstance(outputs, Tensor):
            return self.classification.loss(outputs, target)
        return torch.stack([y.square().mean() for y in tensors(outputs)]).mean()

    def meter(self) -> Meter:
        return self.classification.meter()


TASK = Outputs()
LONG = 64, 200
"""Steps of long windows."""
BATCHES = 7
"""Batches after which a network must still start anew."""


def nets(component: Component, seed: int = 3, steps: int | None = None, last: bool = False) -> list[Net]:
    """Return a small network of each representative neuron, of the network's own sizes if it has no option `hidden`;
    with `last`, that of the last neuron alone.

    A network that declares a tiny setting is built in this setting with its neuron and, if that is another, with `lif`,
    whose layers have no gates.
    """
    setting, built = tiny_setting(component), []
    if setting is None:
        options = {"hidden": [tiny.units()]} if "hidden" in component.options.model_fields else {}
        setting = Setting(tiny.INPUTS, tiny.CLASSES, "", options=options)
        neurons = [(neuron.name, neuron.factory) for neuron in tiny.representatives()]
    else:
        own = NEURONS[setting.neuron].factory
        neurons = [(setting.neuron, partial(own, **setting.neuron_options))]
        neurons += [("lif", NEURONS["lif"].factory)] if setting.neuron != "lif" else []
    x, target = tiny.sequence(steps, inputs=math.prod(shape_of(setting.inputs)))
    for name, neuron in neurons[-1:] if last else neurons:
        with tiny.seeded(seed):
            network = tiny.build(component, setting.inputs, setting.outputs, neuron, **setting.options).double()
        built.append(Net(name, network, x, target))
    return built


def over_nets(find: Callable[[Net], float], component: Component, steps: int | None = None) -> Observed:
    """Return the largest value over the networks of a component."""
    named_nets = ((net.name, net) for net in nets(component, steps=steps))
    return worst_of(named_nets, lambda name, net: (name, find(net)), "no neuron")


def window_is_steps(component: Component) -> Observed:
    """Return the error of outputs, spikes, last state and gradients of one window against those of its steps."""

    def find(net: Net) -> float:
        network, state = net.network, net.initial_state()
        errors = differences(network.unroll(net.x, state), stepped(network, net.x, state), net.parameters())
        return tiny.largest(value for _, value in errors)

    return over_nets(find, component)


def long_window_is_steps(component: Component) -> Observed:
    """Return the error of `window_is_steps` for long windows with one neuron; of the package's presets, which share
    their windows, for the shorter one."""
    named_errors, is_preset = [], component.origin == "throughtime" and tiny_setting(component) is not None
    for steps in LONG[:1] if is_preset and not tiny.every_structure() else LONG:
        (net,) = nets(component, steps=steps, last=True)
        window, state = net.network.unroll(net.x, net.initial_state()), net.initial_state()
        by_steps = stepped(net.network, net.x, state)
        errors = differences(window, by_steps, net.parameters())
        named_errors += [(f"{net.name}, {steps} steps, {name}", value) for name, value in errors]
    return worst(named_errors, "no neuron")


@torch.no_grad()
def spikes_are_counted(component: Component) -> Observed:
    """Count spikes of windows, from which firing rates and operations are computed, that are neither 0 nor 1 or differ
    from those in the states of the layers. The cells of other layers send any numbers."""

    def find(net: Net) -> float:
        network, state, wrong = net.network, net.initial_state(), 0
        window = network.unroll(net.x, state)
        for t, x_t in enumerate(net.x):
            _, state = network(x_t, state)
            for n, spikes in enumerate(window.spikes):
                if network.spiking:
                    wrong += int(((spikes[t] != 0) & (spikes[t] != 1)).sum())
                if len(layers := getattr(state, "layers", ())) == len(window.spikes):
                    wrong += int(((spikes[t] - layers[n].z).abs() > 1e-12).sum())
        return wrong

    return over_nets(find, component)


@torch.no_grad()
def starts_anew(component: Component) -> Observed:
    """Return the change of a batch's initial state and outputs after other batches; infinity if `train` or `eval`
    leaves a module in another mode."""

    def find(net: Net) -> float:
        network, errors = net.network, []
        for mode in (True, False):
            if any(module.training is not mode for module in network.train(mode).modules()):
                return math.inf
            seen = []
            for k in range(BATCHES):
                state = net.initial_state()
                x = net.x if k % 2 == 0 else net.x.flip(0)
                seen.append([*tensors(state), *tensors(network.unroll(x, state).outputs)])
            errors += [tiny.error(repetition, seen[0]) for repetition in seen[2::2]]
        return tiny.largest(errors)

    return over_nets(find, component)


def one_step_is_step(component: Component) -> Observed:
    """Return the error of the network's own single steps, over every neuron for which it has them."""
    errors = []
    for net in nets(component):
        step_error = one_step_error(net.network, net.x, net.initial_state())
        if step_error is not None:
            errors.append((net.name, step_error))
    if not errors:
        raise DoesNotApplyError("it takes them by windows")
    return worst(errors, "no neuron")


def layers_are_the_step(component: Component) -> Observed:
    """Return the error of steps computed from `layers` and `readouts` against `forward`, over a sequence."""

    def find(net: Net) -> float:
        network, state = net.network, net.initial_state()
        if not network.described:
            raise DoesNotApplyError("it does not describe itself by layers and readouts")
        errors = []
        with torch.no_grad():
            for x_t in net.x:
                expected, after = network(x_t, state)
                output, as_described = by_layers(network, x_t, state)
                errors.append(tiny.error(tensors((output, as_described)), tensors((expected, after))))
                state = after
        return tiny.largest(errors)

    return over_nets(find, component)


def two_windows_are_one(component: Component) -> Observed:
    """Return the error of outputs, spikes, last state, gradients and running statistics of two windows against those of
    one."""

    def find(net: Net) -> float:
        network, cut, state = net.network, copy.deepcopy(net.network), net.initial_state()
        whole = network.unroll(net.x, state)
        with torch.no_grad():
            two_windows(cut, net.x, state, 5)
        statistics = tiny.error(weights(cut), weights(network))
        errors = differences(two_windows(network, net.x, state, 5), whole, net.parameters())
        return tiny.largest([statistics, *(value for _, value in errors)])

    return over_nets(find, component)


def weights(network: Network) -> list[Tensor]:
    """Return all tensors that may be drawn at random: parameters and buffers."""
    return [tensor.double() for tensor in network.state_dict().values()]


def same_seed(component: Component) -> Observed:
    pairs = zip(nets(component), nets(component), strict=True)
    return worst(
        ((first.name, tiny.error(weights(first.network), weights(second.network))) for first, second in pairs),
        "no neuron",
    )


def other_seed(component: Component) -> Observed:
    """Count networks with the same weights for another seed: their replicates would be the same run."""
    if given := getattr(component.factory, "given_weights", ""):
        raise DoesNotApplyError(given)
    pairs = zip(nets(component), nets(component, seed=4), strict=True)
    return worst(
        (
            (first.name, float(tiny.error(weights(first.network), weights(second.network)) == 0))
            for first, second in pairs
        ),
        "no neuron",
    )


def samples_apart(component: Component) -> Observed:
    """Return the difference between a sample alone and in its batch; in training too, unless the network mixes samples.

    In training the part has two samples, because a norm refuses a single one.
    """

    def find(net: Net) -> float:
        network, x, state, errors = net.network, net.x, net.initial_state(), []
        for training, few in ((False, 1),) if network.mixes_samples else ((False, 1), (True, 2)):
            network.train(training)
            with torch.no_grad():
                batch = [y[:, :few] for y in tensors(network.unroll(x, state).outputs)]
                alone = network.unroll(x[:, :few].contiguous(), mapped(lambda s, few=few: s[:few], state)).outputs
            errors.append(tiny.error(tensors(alone), batch))
        return tiny.largest(errors)

    return over_nets(find, component)


def learns(component: Component) -> Observed:
    """Count parameters that get no gradient in BPTT with any neuron; one silent neuron is not a fault, and its own
    parameters do not count."""
    reached: dict[str, bool] = {}
    for net in nets(component, steps=tiny.STEPS):
        network = net.network
        with torch.no_grad():
            spikes = network.unroll(net.x, net.initial_state()).spikes
        silent = network.spiking and not any(z.any() for z in spikes)
        names = [name for name, p in network.named_parameters() if p.requires_grad]
        for name, g in zip(names, tiny.backprop(network, net.x, net.target, TASK, "every"), strict=True):
            if not (silent and ".neuron." in name):
                reached[name] = reached.get(name, False) or float(g.abs().max()) > 0
    dead = [name for name, is_reached in reached.items() if not is_reached]
    return Observed(len(dead), ", ".join(dead))


def smooth_gradient(component: Component) -> Observed:
    def find(net: Net) -> float:
        return smooth_error(net.network, net.x, net.target, TASK)

    return over_nets(find, component, steps=SMOOTH_STEPS)


def gradients_in(component: Component, dtype: torch.dtype) -> Sequence[Tensor]:
    (net,) = nets(component, last=True)
    target = net.target.repeat(len(net.x))
    return window_tensors(net.network, net.x, lambda outputs: TASK.loss(outputs, target), dtype)


def facts(component: Component) -> tuple[Fact, ...]:
    """Return the facts of a network."""
    return (
        Fact("a window = its steps, with gradients", 1e-12, window_is_steps),
        Fact("compiled step = step, with gradients", 1e-12, one_step_is_step),
        Fact("a step computed by its layers = the step", 1e-12, layers_are_the_step),
        Fact("two windows = one, with gradients", 1e-12, two_windows_are_one),
        Fact("same seed, same weights", 0, same_seed),
        Fact("another seed, other weights", 0, other_seed),
        Fact("samples do not mix unless declared", 1e-12, samples_apart),
        Fact("every parameter gets a gradient", 0, learns),
        Fact("smoothed gradient = finite differences", 1e-6, smooth_gradient),
        Fact("64 and 200 steps: a window = its steps, with gradients", 1e-10, long_window_is_steps),
        Fact("spikes are 0 or 1, and those of its layers", 0, spikes_are_counted),
        Fact("each batch starts from the initial state, in training and evaluation", 0, starts_anew),
        in_both(gradients_in),
    )
