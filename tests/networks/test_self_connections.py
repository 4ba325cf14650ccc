"""Without self-connections R's diagonal is 0 and stays 0 under every rule; all other weights learn as before."""

from __future__ import annotations

import pytest
import torch

from throughtime.checks.tiny import Recorder, learn, recurrent, sequence
from throughtime.networks.recurrent import Recurrent, to_themselves
from throughtime.neurons.lif import LIF
from throughtime.neurons.lstm import LSTM
from throughtime.registry import ALGORITHMS

RULES = {name: {} for name in ALGORITHMS.names()} | {
    "tbptt": {"window": 1},  # by single steps
    "fptt": {"parts": 12},
    "penalised": {"rule": "eprop", "spike_penalties": [{"strength": 0.1}]},
    "fptt in the form of the papers": {"parts": 3, "form": "paper"},
}


def trained(case: str, self_connections: bool) -> tuple[Recurrent, Recorder]:
    """A network after two batches, and what the updates of the second one recorded."""
    network = recurrent(lambda size: LIF(size, tau=2.0), self_connections=self_connections)
    rule = ALGORITHMS[case.split()[0]].factory(**RULES[case])
    learn(rule, network, sequence(), rate=0.3)
    update = learn(rule, network, sequence(seed=9), rate=0.3)
    rule.end_epoch()
    return network, update


@pytest.mark.parametrize("case", RULES)
def test_the_diagonal_stays_zero_and_the_rest_learns(case):
    network, update = trained(case, self_connections=False)
    R = network.layers[0].recurrent.weight.detach()
    assert not to_themselves(R).any()
    index = [p is network.layers[0].recurrent.weight for p in update.parameters].index(True)
    for gradients in update.gradients:
        assert not to_themselves(gradients[index]).any()
    assert sum(gradients[index].any() for gradients in update.gradients) > 0
    free, _ = trained(case, self_connections=True)
    assert to_themselves(free.layers[0].recurrent.weight.detach()).all()


def test_each_current_of_a_cell_has_no_self_connection():
    torch.manual_seed(0)
    network = Recurrent(3, 2, LSTM, hidden=[4, 5], self_connections=False)
    for layer, size in zip(network.layers, (4, 5), strict=True):
        R = layer.recurrent.weight.detach()
        assert to_themselves(R).shape == (4, size)
        assert int((R == 0).sum()) == 4 * size, "one weight of each current and cell"
        for current in R.chunk(4):
            assert not current.diagonal().any()
