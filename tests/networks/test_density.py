"""Sparse recurrent weights: which synapses exist, and that the others stay 0 whatever a rule does."""

from __future__ import annotations

import pytest
import torch

from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.snap_n import SnApN
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.checks.tiny import CLASSES, INPUTS, STEPS, seeded, sequence
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification
from throughtime.harness.batches import learn_batch
from throughtime.harness.clock import Clock
from throughtime.harness.updater import Updater
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.neurons.lstm import LSTM
from throughtime.spec import Training


def network(neuron=LIF, **options) -> Recurrent:
    with seeded(3):
        return Recurrent(INPUTS, CLASSES, neuron, **options)


def test_the_fraction_of_synapses_exists_for_all_currents_of_a_neuron():
    R = network(LSTM, hidden=[50], density=0.1).layers[0].recurrent.weight.detach()
    exists = R.unflatten(0, (-1, 50)) != 0
    assert len(exists) == 4 and all(torch.equal(exists[0], other) for other in exists)
    assert abs(float(exists.double().mean()) - 0.1) < 0.02


def test_the_sum_has_the_variance_of_dense_weights():
    dense, sparse = (
        network(hidden=[300], density=d).layers[0].recurrent.weight.detach().square().sum(1).mean() for d in (1, 0.2)
    )
    assert abs(float(sparse / dense) - 1) < 0.05


@pytest.mark.parametrize(
    "rule",
    [TruncatedBPTT(window=3), FPTT(parts=4, form="paper"), FPTT(parts=4), SnApN(n=2)],
    ids=lambda r: type(r).__name__,
)
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_absent_synapses_stay_absent(rule, optimiser):
    net = network(hidden=[8], density=0.3)
    R, exists = net.layers[0].recurrent.weight, net.layers[0].recurrent_exists
    before, x = R.detach().clone(), sequence()[0].float()
    with seeded(11):
        rule.start(net, Classification(CLASSES), STEPS)
    training = Training(optimiser=optimiser, learning_rate=0.05)
    update = Updater([*net.parameters()], training, Clock())
    for _ in range(2):
        learn_batch(rule, Batch(x, sequence()[1]), update)
        rule.end_epoch()
        update.end_epoch()
        assert torch.equal(R.detach()[~exists], torch.zeros(int((~exists).sum())))
    assert not torch.equal(before[exists], R.detach()[exists])


def test_snap_n_carries_fewer_numbers_where_synapses_are_missing():
    sizes = [SnApN(n=2).sizes(network(hidden=[40], density=d), 1, 10) for d in (0.05, 1.0)]
    assert sizes[0]["K"] < 12 and sizes[1]["K"] == 40
    assert sizes[0]["Z"] * 40 == sizes[1]["Z"] * sizes[0]["K"]
