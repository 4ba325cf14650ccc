"""Networks: a step by hand, the fast window against the plain steps, and the draw of the weights."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from throughtime.networks.base import detached
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import NEURONS

F64 = torch.float64


def network(neuron: str = "lif", **options) -> Recurrent:
    torch.manual_seed(1)
    return Recurrent(3, 2, NEURONS[neuron].factory, **options).double()


def test_one_step_by_hand():
    # One neuron, W = 3, c = 0, R = 2, ϑ = 1, α = 1/2; readout W = 2, c = 1, κ = 1/2.
    # t=1: I = 3 -> v = 3/2, z = 1, y = (2 + 1)/2 = 1.5.
    # t=2: I = 0 + R·1 = 2 -> v = 0.75 + 1 − 1 = 0.75, z = 0, y = 1.5/2 + 1/2 = 1.25
    half = 1 / math.log(2)
    net = Recurrent(1, 1, partial(LIF, tau=half, threshold=1.0), hidden=[1], readout_tau=half).double()
    with torch.no_grad():
        for parameter, value in (
            (net.layers[0].inward.weight, 3),
            (net.layers[0].inward.bias, 0),
            (net.layers[0].recurrent.weight, 2),
            (net.readout.linear.weight, 2),
            (net.readout.linear.bias, 1),
        ):
            parameter.fill_(value)
    x = torch.tensor([[[1.0]], [[0.0]]], dtype=F64)
    window = net.unroll(x, net.initial_state(1))
    assert window.spikes[0].flatten().tolist() == [1, 0]
    assert window.outputs.flatten().tolist() == pytest.approx([1.5, 1.25])


@pytest.mark.parametrize("neuron", ["lif", "alif", "ltc"])
@pytest.mark.parametrize("readout", [{"readout": "spikes"}, {"readout": "membrane", "readout_tau": 0.0}])
@pytest.mark.parametrize("hidden", [[5], [5, 4]])
def test_a_window_equals_its_steps_forward_and_gradient(neuron, readout, hidden):
    net = network(neuron, hidden=hidden, **readout)
    x = torch.randn(40, 4, 3, dtype=F64) * 8

    window = net.unroll(x, net.initial_state(4))
    state, outputs, spikes = net.initial_state(4), [], []
    for x_t in x:
        step, state = net(x_t, state)
        outputs.append(step.output)
        spikes.append(step.spikes[-1])

    torch.testing.assert_close(window.outputs, torch.stack(outputs), rtol=0, atol=1e-12)
    assert torch.equal(window.spikes[-1], torch.stack(spikes))
    assert 0 < float(window.spikes[-1].detach().mean()) < 1, "a silent net would compare nothing"
    fast = torch.autograd.grad(window.outputs.square().sum(), list(net.parameters()))
    plain = torch.autograd.grad(torch.stack(outputs).square().sum(), list(net.parameters()))
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_two_windows_equal_one():
    net = network("alif", hidden=[6])
    x = torch.randn(8, 2, 3, dtype=F64) * 2
    whole = net.unroll(x, net.initial_state(2))
    first = net.unroll(x[:3], net.initial_state(2))
    second = net.unroll(x[3:], first.state)
    torch.testing.assert_close(torch.cat((first.outputs, second.outputs)), whole.outputs, rtol=0, atol=1e-12)


def test_detached_keeps_shape_and_values_and_cuts_the_graph():
    net = network("ltc", hidden=[4])
    state = net.unroll(torch.randn(2, 3, 3, dtype=F64), net.initial_state(3)).state
    cut = detached(state)
    assert type(cut) is type(state) and type(cut.layers[0]) is type(state.layers[0])
    assert torch.equal(cut.y, state.y) and state.y.requires_grad and not cut.y.requires_grad
    assert not cut.layers[0].v.requires_grad


def test_joint_weights_stay_inside_the_bound_of_one_map_on_x_and_z():
    net = network(hidden=[61], weights="joint")
    bound = 1 / math.sqrt(3 + 61)
    for parameter in (net.layers[0].inward.weight, net.layers[0].inward.bias, net.layers[0].recurrent.weight):
        assert float(parameter.detach().abs().max()) <= bound
    assert float(net.layers[0].recurrent.weight.detach().abs().max()) > 0.95 * bound


def test_nets_of_all_neurons_start_from_the_same_synapses():
    nets = [network(neuron, hidden=[5, 4]) for neuron in ("lif", "alif", "ltc")]
    shared = [n for n, _ in nets[0].named_parameters()]
    assert len(shared) == 8
    for net in nets[1:]:
        for name in shared:
            assert torch.equal(net.get_parameter(name), nets[0].get_parameter(name))
