"""Biases that stay 0 under every rule, while the weights learn; normal initial weights."""

from __future__ import annotations

import pytest
import torch

from throughtime.checks.tiny import learn, recurrent, sequence
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import ALGORITHMS

RULES = {name: {} for name in ALGORITHMS.names()} | {
    "tbptt": {"window": 1},
    "penalised": {"rule": "eprop", "spike_penalties": [{"strength": 0.1}]},
}


@pytest.mark.parametrize("name", RULES)
def test_biases_stay_zero_and_weights_learn(name):
    network = recurrent(lambda size: LIF(size, tau=2.0), biases=False)
    before = network.readouts[0].linear.weight.detach().clone()
    learn(ALGORITHMS[name].factory(**RULES[name]), network, sequence(), rate=0.3)
    for map in (network.layers[0].inward, network.readouts[0].linear):
        assert not map.bias.requires_grad and not map.bias.any()
    assert not torch.equal(network.readouts[0].linear.weight, before)


def test_weights_are_drawn_as_with_biases():
    torch.manual_seed(3)
    without = Recurrent(3, 2, LIF, biases=False).state_dict()
    torch.manual_seed(3)
    with_biases = Recurrent(3, 2, LIF).state_dict()
    assert all(torch.equal(w, with_biases[name]) for name, w in without.items() if not name.endswith("bias"))


def test_normal_weights_have_the_variance_of_one_over_fan_in():
    torch.manual_seed(0)
    layer = Recurrent(100, 2, LIF, hidden=[400], weights="normal").layers[0]
    for map in (layer.inward, layer.recurrent):
        w = map.weight.detach() * map.in_features**0.5
        assert abs(float(w.std()) - 1) < 4 / (2 * w.numel()) ** 0.5 and abs(float(w.mean())) < 4 / w.numel() ** 0.5
        assert w.abs().max() > 3, "no uniform distribution"
    assert not layer.inward.bias.any()
