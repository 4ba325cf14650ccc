"""LRU without recurrent weights: rules with traces per neuron compute BPTT's gradient; with recurrent weights not."""

from __future__ import annotations

import pytest
import torch

from throughtime.checks.tiny import error, learn, recurrent, sequence
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lru import LRU
from throughtime.registry import ALGORITHMS


def network(connected: bool) -> Recurrent:
    net = recurrent(LRU)
    if not connected:
        with torch.no_grad():
            net.layers[0].recurrent.weight.zero_()
    return net


def gradients(rule: str, connected: bool) -> dict[str, torch.Tensor]:
    """The gradient of all parameters but R, of a batch that follows another one, with a loss at every step."""
    net = network(connected)
    rule_of_name = ALGORITHMS[rule].factory(loss_at="every")
    total = learn(rule_of_name, net, sequence(30), after=sequence(30, 17)).total()
    names = [name for name, p in net.named_parameters() if p.requires_grad]
    return {name: g for name, g in zip(names, total, strict=True) if "recurrent" not in name}


@pytest.mark.parametrize("rule", ["eprop", "diagonal_rtrl"])
def test_traces_are_exact_without_recurrent_weights_alone(rule, tensor_operations):
    result, exact = gradients(rule, connected=False), gradients("bptt", connected=False)
    assert {"layers.0.neuron.nu", "layers.0.neuron.phase", "layers.0.neuron.gain"} <= result.keys()
    for name, g in exact.items():
        assert error([result[name]], [g]) < 1e-11 and g.any(), name
    connected = error([*gradients(rule, connected=True).values()], [*gradients("bptt", connected=True).values()])
    assert connected > 1e-3
