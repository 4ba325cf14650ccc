"""A readout with a trained leak: in windows and steps, and its gradient under exact rules; networks of papers."""

from __future__ import annotations

import pytest
import torch

import throughtime as tt
from throughtime.algorithms.base import LearningRule
from throughtime.checks.tiny import CLASSES, INPUTS, learn, recurrent, sequence
from throughtime.checks.window import differences, stepped, two_windows
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import ALGORITHMS, NETWORKS, NEURONS


def lif(size: int) -> LIF:
    return LIF(size, tau=2.0)


def test_windows_of_any_length_are_their_steps():
    network = recurrent(lif, readout_leak="trained", readout_tau=5.0)
    x = sequence(9)[0]
    for steps in (1, 2, 7, 8):
        state = network.initial_state(x.shape[1])
        result = differences(two_windows(network, x, state, steps), stepped(network, x, state), [*network.parameters()])
        assert max(difference for _, difference in result) < 1e-12


def gradients(rule: LearningRule) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return learn(rule, recurrent(lif, readout_leak="trained"), sequence()).total()


def test_exact_rules_have_one_gradient():
    exact, forward = (gradients(ALGORITHMS[name].factory()) for name in ("bptt", "rtrl"))
    assert all(g.any() for g in exact), "τ among them"
    for a, b in zip(forward, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_rules_with_traces_decline_it():
    network = Recurrent(INPUTS, CLASSES, lif, hidden=[4], readout_leak="trained")
    reason = ALGORITHMS["eprop"].factory().supports(network, Classification(CLASSES), 5)
    assert reason is not None and "no leaky integrator with a constant leak" in reason


def test_options():
    with pytest.raises(ValueError, match="needs a readout_tau above 0"):
        Recurrent(INPUTS, CLASSES, lif, readout_leak="trained", readout_tau=0.0)
    with pytest.raises(ValueError, match="readout_max would do nothing without readout_leak: constant"):
        Recurrent(INPUTS, CLASSES, lif, readout_leak="trained", readout_max=True)


@pytest.mark.parametrize(
    "name, neuron, inputs, outputs, trained", [("jsb_rnn", "ssnu", 88, 88, 49_138), ("ecg_rnn", "brf", 4, 6, 1734)]
)
def test_networks_of_papers_have_their_number_of_parameters(name, neuron, inputs, outputs, trained):
    network = NETWORKS[name].factory(inputs, outputs, NEURONS[neuron].factory)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == trained
    assert not any(p.any() for p in network.parameters() if not p.requires_grad)


@pytest.mark.parametrize("name", ["jsb_rnn", "ecg_rnn"])
def test_every_readout_has_the_published_initial_weights(name):
    network = tt.build_network(name, 40, {"a": 60, "b": 60}, hidden=[90, 90])
    for readout in network.readouts:
        largest = float(readout.linear.weight.detach().abs().max())
        assert largest == pytest.approx((6 / 150) ** 0.5, rel=0.01)
        assert not readout.linear.bias.any() and readout.linear.bias.requires_grad == (name == "jsb_rnn")


@pytest.mark.parametrize("neuron, currents", [("lif", 1), ("lstm", 4)])
def test_the_weights_of_ecg_rnn_are_drawn_as_one_map(neuron, currents):
    """Glorot's bound of the map of 40 inputs and 80 outputs of the layer to the currents of its 80 units."""
    layer = tt.build_network("ecg_rnn", 40, 6, neuron=neuron, hidden=[80]).layers[0]
    bound = (6 / (40 + 80 + 80 * currents)) ** 0.5
    for weight in (layer.inward.weight, layer.recurrent.weight):
        assert 0.99 * bound < float(weight.detach().abs().max()) <= bound * (1 + 1e-6)
