"""A window of a network by the kernel of its neurons and by their plain steps: all results and all gradients."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from throughtime.networks.base import Window
from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.layer import RecurrentState
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.surrogate import SURROGATES
from throughtime.numerics.trees import mapped
from throughtime.registry import NEURONS, Component

F64 = torch.float64
INPUTS, OUTPUTS = 3, 6
NEURON_NAMES = ("lif", "alif", "asrnn", "ltc", "lstm", "rnn")
ASRNN = {
    decay: {"decay": decay, "resistance": 1.5, "tau_adaptation_mean": mean}
    for decay, mean in (("exponential", 200.0), ("logistic", 1.0))
}
LTC_OPTIONS = ("gate_input", "adaptation", "slope", "reset_gradient", "initial")
IN_LOOPS: list[tuple[str, dict[str, Any]]] = [
    *((neuron, {"surrogate": surrogate}) for neuron in ("lif", "ltc") for surrogate in SURROGATES),
    *(
        ("lif", {"surrogate": {"name": surrogate, "slope": 3.0, "height": 0.4}})
        for surrogate in ("multi_gaussian", "triangle", "fast_sigmoid", "arctan", "exponential")
    ),
    ("cuba", {"tau": 2.0, "threshold": 0.3, "delay": 1, "input_gain": "unit", "reset": "zero_with_input"}),
    ("lif", {"tau": 2.0, "tau_max": 30.0, "threshold": 0.7}),
    ("lif", {"tau": 0.5, "threshold": 1.5}),
    ("alif", {"tau_adaptation": 3.0, "beta": 0.0}),
    ("alif", {"tau_adaptation": 3.0, "beta": 0.4, "threshold": 0.3}),
    *(("asrnn", {**ASRNN[decay], "reset_gradient": decay == "logistic"}) for decay in ASRNN),
    *(
        ("ltc", dict(zip(LTC_OPTIONS, options, strict=True)))
        for options in (
            ("concatenated", "gated", "trained", True, "random"),
            ("summed", "off", "trained", False, "random"),
            ("summed", "unused", "fixed", True, "random"),
        )
    ),
    ("ltc", {"tau": 2.0, "tau_max": 30.0}),
    ("lstm", {}),
    ("rnn", {}),
]
"""Neurons, and options that change their equations or constants: each value that does at least once."""
OPTIONS = [
    *IN_LOOPS,
    ("alif", {"tau": 2.0, "tau_max": 30.0, "threshold": 0.7}),
    *(("asrnn", {**ASRNN[decay], "reset_gradient": decay != "logistic"}) for decay in ASRNN),
    *(
        ("ltc", dict(zip(LTC_OPTIONS, options, strict=True)))
        for options in (  # with those above each pair of values of two options at least once
            ("concatenated", "off", "fixed", True, "zero"),
            ("concatenated", "unused", "trained", False, "zero"),
            ("summed", "gated", "fixed", False, "zero"),
        )
    ),
]
"""Combinations of options, too. Loops are written from the equations that run on tensors, operation by operation; to
compile those of a combination takes seconds."""


def varied(name: str, options: dict[str, Any]) -> Component:
    """Return a neuron of the registry with other defaults of its options."""
    neuron = NEURONS[name]
    return dataclasses.replace(neuron, factory=partial(neuron.factory, **options))


def network(neuron: str = "lif", neuron_options: dict[str, Any] | None = None, **options: Any) -> Recurrent:
    """A network in float64 whose neurons spike under `inputs`, the same weights at every call."""
    torch.manual_seed(1)
    options = {"hidden": [7], **options}
    net = Recurrent(INPUTS, OUTPUTS, lambda size: NEURONS[neuron].factory(size, **(neuron_options or {})), **options)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("slope"):  # at 1 a factor and its square are the same
                parameter.fill_(1.3)
        for module in net.modules():
            if isinstance(module, StepBatchNorm):
                module.weight.uniform_(2, 4)
                if not net.spiking:  # less, so that rounding does not grow from step to step
                    module.weight *= 0.2
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return net.double()


def inputs(steps: int = 12, batch: int = 4) -> Tensor:
    return 8 * torch.randn(steps, batch, INPUTS, dtype=F64, generator=torch.Generator().manual_seed(2))


def before(net: Recurrent, batch: int = 4) -> RecurrentState:
    """A state in the middle of a sequence: spikes have been sent, and nothing is zero."""
    torch.manual_seed(3)

    def drawn(state: Any) -> Any:
        z = torch.rand_like(state.z).gt(0.5).to(F64)
        return mapped(lambda s: 0.2 * torch.rand_like(s), state)._replace(z=z)

    state = net.initial_state(batch)
    return state._replace(layers=tuple(map(drawn, state.layers)), y=torch.randn_like(state.y))


@contextmanager
def plain_steps(net: Recurrent) -> Iterator[None]:
    """Context in which `unroll` calls `forward` of the neurons and the readout step by step, without kernels."""
    with (
        mock.patch("throughtime.networks.kernels.window.kernel_of", return_value=None),
        mock.patch("throughtime.networks.trajectory.kernel_of", return_value=None),
        mock.patch("throughtime.networks.network.stepper", return_value=None),
    ):
        yield


def shown(
    net: Recurrent, x: Tensor, state: RecurrentState, cuts: tuple[int, ...] = (), constant: bool = False
) -> dict[str, Tensor]:
    """All that windows of the network show, cut at some steps, by name: outputs, spikes, last state and running
    statistics; and `A by B`, the gradient of a random sum of A, and of all of them, by each B that goes in.

    Every gradient but the first runs backward through the same graph again. If the input and the state before are
    `constant`, the gradient of all is the only one.
    """
    net = copy.deepcopy(net)
    x = x.clone().requires_grad_(not constant)
    state = first = mapped(lambda s: s.clone().requires_grad_(not constant), state)
    windows = []
    for part in x.tensor_split(cuts):
        windows.append(net.unroll(part, state))
        state = windows[-1].state
    results = {"outputs": torch.cat([window.outputs for window in windows])}
    results |= {
        f"spikes {l}": torch.cat(parts) for l, parts in enumerate(zip(*(w.spikes for w in windows), strict=True))
    }
    results |= named("last", state)
    generator = torch.Generator().manual_seed(4)
    sums = {
        name: (result * torch.randn(result.shape, dtype=F64, generator=generator)).sum()
        for name, result in results.items()
    }
    all_of_them = {"all": torch.stack([*sums.values()]).sum()}
    leaves = {"x": x} | named("first", first) | dict(net.named_parameters())
    leaves = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    by = {}
    for name, E in (all_of_them if constant else sums | all_of_them).items():
        if E.requires_grad:
            leaf_gradients = torch.autograd.grad(
                E, [*leaves.values()], retain_graph=True, allow_unused=True, materialize_grads=True
            )
        else:
            leaf_gradients = map(torch.zeros_like, leaves.values())
        by |= {f"{name} by {leaf}": gradient for leaf, gradient in zip(leaves, leaf_gradients, strict=True)}
    statistics = {name: buffer for name, buffer in net.named_buffers() if "running" in name}
    return {name: result.detach() for name, result in results.items()} | statistics | by


def by_steps(net: Recurrent, x: Tensor, state: RecurrentState) -> dict[str, Tensor]:
    """Return the results of `shown` where `unroll` calls the network's `forward` at each step, under autograd."""

    def unrolled(net: Recurrent, x: Tensor, state: RecurrentState) -> Window:
        steps = []
        for x_t in x:
            step, state = net(x_t, state)
            steps.append(step)
        spikes = zip(*(step.spikes for step in steps), strict=True)
        return Window(torch.stack([step.output for step in steps]), tuple(map(torch.stack, spikes)), state)

    with mock.patch.object(Recurrent, "unroll", unrolled):
        return shown(net, x, state)


def named(which: str, state: RecurrentState) -> dict[str, Tensor]:
    fields = {f"{which} y": state.y}
    for l, layer in enumerate(state.layers):
        fields |= {f"{which} {name} {l}": s for name, s in layer._asdict().items()}
    return fields


def differing(fast: dict[str, Tensor], plain: dict[str, Tensor]) -> list[str]:
    """Return the names of the results in which two windows differ by more than rounding.

    Rounding is taken relative to the largest number of its own, or, of what cancels out (the gradient of a bias ahead
    of a norm), a thousandth of that to the largest of all.
    """
    assert fast.keys() == plain.keys()
    largest = max(float(tensor.abs().max()) for tensor in plain.values())
    return [
        name
        for name, expected in plain.items()
        if not float((fast[name] - expected).abs().max()) <= 1e-11 * float(expected.abs().max()) + 1e-14 * largest
    ]


def assert_same(net: Recurrent, x: Tensor, state: RecurrentState, cuts: tuple[int, ...] = ()) -> None:
    """Assert that kernel and plain steps have the same results, and that the neurons of each layer spike."""
    for constant in (False, True):
        with plain_steps(net):
            plain = shown(net, x, state, cuts, constant)
        for l in range(len(net.layers) if net.spiking else 0):
            assert 0 < float(plain[f"spikes {l}"].mean()) < 1
        assert differing(shown(net, x, state, cuts, constant), plain) == []
