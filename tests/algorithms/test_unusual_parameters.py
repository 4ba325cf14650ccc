"""Parameters that are frozen, shared or absent: their gradient is right, or the rule refuses the network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import throughtime as tt
from tests.own_loop import sequences
from throughtime.datasets.task import Classification
from throughtime.errors import UsageError
from throughtime.networks.base import Network

TRACES = ["eprop", "rflo", "decolle", "snap1", "otpe"]
"""Rules whose traces follow the gates of LTC."""


def built(neuron: str = "lif") -> Network:
    torch.manual_seed(0)
    return tt.build_network("recurrent", 2, 2, neuron=neuron, hidden=[5])


def gradients(rule: str, network: Network) -> dict[str, torch.Tensor]:
    """Return the gradient of one batch by each trained parameter, by name, as steps of SGD at rate 1."""
    before = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
    torch.manual_seed(1)  # of random feedback
    learner = tt.Learner(network, tt.build_rule(rule), Classification(2), steps=6)
    learner.learn(*sequences(), torch.optim.SGD(learner.parameters(), lr=1.0))
    return {name: w - network.get_parameter(name).detach() for name, w in before.items()}


@pytest.mark.parametrize("rule", TRACES)
def test_a_frozen_gate_leaves_the_gradients_of_the_others(rule):
    trained, network = built("ltc"), built("ltc")
    network.layers[0].neuron.membrane_gate.requires_grad_(False)
    expected, found = gradients(rule, trained), gradients(rule, network)
    assert len(found) == len(expected) - 2 and any(g.any() for g in found.values())
    assert all(torch.equal(g, expected[name]) for name, g in found.items())


@pytest.mark.parametrize("rule", ["eprop", "decolle", "otpe", "diagonal_rtrl"])
def test_a_parameter_of_shape_1_has_the_sum_of_the_neurons_gradients(rule):
    each, one = built("asrnn"), built("asrnn")
    each.layers[0].neuron.tau = nn.Parameter(torch.full((5,), 20.0))
    one.layers[0].neuron.tau = nn.Parameter(torch.full((1,), 20.0))
    (name,) = (name for name in dict(one.named_parameters()) if name.endswith(".tau"))
    expected, found = gradients(rule, each)[name], gradients(rule, one)[name]
    assert found.shape == (1,) and expected.any()
    torch.testing.assert_close(found[0], expected.sum())


@pytest.mark.parametrize("rule", ["eprop", "decolle", "otpe", "diagonal_rtrl"])
def test_a_parameter_of_two_names_has_the_sum_of_their_gradients(rule):
    separate, shared = built("asrnn"), built("asrnn")
    for network in (separate, shared):
        network.layers[0].neuron.tau = nn.Parameter(torch.full((5,), 20.0))
    separate.layers[0].neuron.tau_adaptation = nn.Parameter(torch.full((5,), 20.0))
    shared.layers[0].neuron.tau_adaptation = shared.layers[0].neuron.tau
    (path,) = (name for name in dict(shared.named_parameters()) if name.endswith(".tau"))
    expected, found = gradients(rule, separate), gradients(rule, shared)[path]
    torch.testing.assert_close(found, expected[path] + expected[f"{path}_adaptation"])


@pytest.mark.parametrize("rule", ["eprop", "ottt", "presynaptic_trace", "recurrent_traces", "decolle"])
def test_a_readout_without_a_bias_has_the_gradients_of_one_with_a_bias_of_0(rule):
    with_bias, without = built(), built()
    torch.nn.init.zeros_(with_bias.readout.linear.bias)
    without.readout.linear.bias = None
    expected, found = gradients(rule, with_bias), gradients(rule, without)
    assert len(found) == len(expected) - 1 and any(g.any() for g in found.values())
    assert all(torch.equal(g, expected[name]) for name, g in found.items())


@pytest.mark.parametrize("rule", ["rtrl", "uoro", "kf_rtrl"])
def test_rules_of_the_whole_state_refuse_a_module_of_two_names(rule):
    """torch.func.functional_call replaces the parameters of such a module twice, and restores the wrong ones."""
    network = built()
    network.a_second_name = network.readout.linear
    with pytest.raises(UsageError, match="a_second_name is a second name of a module"):
        tt.Learner(network, tt.build_rule(rule), Classification(2), steps=6)
