"""Neurons without a kernel: the gradient of recurrent weights in few products equals autograd's over single steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.kernel_twins import NEURON_NAMES, before, by_steps, differing, inputs, network, plain_steps, shown
from throughtime.networks.kernels.plain_window import CHUNK, with_recurrent_gradient
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron
from throughtime.neurons.lif import LIFState
from throughtime.neurons.lstm import LSTM
from throughtime.neurons.surrogate import spike

STEPS = CHUNK + 5


class Own(Neuron):
    """A neuron of a user's, with a parameter of its own, that learns from its reset too."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, size))

    def initial_state(self, batch, like):
        return LIFState(like.new_zeros(batch, *self.shape), like.new_zeros(batch, self.size))

    def forward(self, current, state):
        v = 0.8 * state.v + self.gain * current - 0.3 * state.z
        z = spike(v - 1, "arctan")
        return z, LIFState(v, z)


class OwnLSTM(LSTM):
    """LSTM with a step that is not compiled."""

    def forward(self, current, state):
        return super().forward(current.clamp(-9, 9), state)


def net_of(neuron, options) -> Recurrent:
    torch.manual_seed(1)
    return Recurrent(3, 6, neuron, **{"hidden": [7], **options}).double()


@pytest.mark.parametrize(
    ("neuron", "options"),
    [
        *((neuron, options) for neuron in (OwnLSTM, Own) for options in ({}, {"recurrent_bias": True})),
        (OwnLSTM, {"hidden": [7, 5], "readout": "membrane"}),
        (Own, {"hidden": [7, 5], "norm_steps": STEPS}),
    ],
)
def test_it_is_autograds(neuron, options):
    net = net_of(neuron, options)
    x, state = inputs(STEPS), before(net)
    for learns in (True, False):
        net.layers[0].recurrent.weight.requires_grad_(learns)
        assert differing(shown(net, x, state), by_steps(net, x, state)) == []


@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_a_kernels_plain_twin_is_autograds_too(neuron):
    net = network(neuron, hidden=[7, 5], recurrent_bias=True)
    x, state = inputs(STEPS), before(net)
    with plain_steps(net):
        assert differing(shown(net, x, state), by_steps(net, x, state)) == []


class Late:
    """The sent values, delayed by one step."""

    def __init__(self, sent: list[torch.Tensor]) -> None:
        self.sent = sent

    def __getitem__(self, index):
        return [self.sent[0], *self.sent[:-1]][index]


@pytest.mark.parametrize(
    ("broken", "fields", "not_found"),
    [
        (lambda drive, R, sent: drive, "recurrent.weight", "inward.weight"),
        (lambda drive, R, sent: with_recurrent_gradient(drive.detach(), R, sent), "inward.weight", "recurrent.weight"),
        (lambda drive, R, sent: with_recurrent_gradient(drive, R, Late(sent)), "recurrent.weight", "inward.weight"),
    ],
    ids=["R learns nothing", "W learns nothing", "what is sent comes late"],
)
def test_a_fault_is_found(broken, fields, not_found, monkeypatch):
    net = net_of(Own, {})
    x, state = inputs(), before(net)
    plain = by_steps(net, x, state)
    monkeypatch.setattr("throughtime.networks.kernels.plain_window.with_recurrent_gradient", broken)
    differs = differing(shown(net, x, state), plain)
    assert f"all by layers.0.{fields}" in differs
    assert f"all by layers.0.{not_found}" not in differs
