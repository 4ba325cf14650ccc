"""The firing-rate regularisation of BPTT: its gradient, its loss, and the networks that it declines."""

from __future__ import annotations

import pytest
import torch

import throughtime as tt
from throughtime.algorithms.bptt import BPTT
from throughtime.checks.tiny import (
    BATCH,
    CLASSES,
    backprop,
    error,
    gradient,
    learn,
    recurrent,
    seeded,
    sequence,
    train_batch,
)
from throughtime.datasets.task import Classification
from throughtime.neurons.alif import ALIF
from throughtime.neurons.lif import LIF
from throughtime.neurons.rnn import RNN

TASK = Classification(CLASSES)


@pytest.mark.parametrize("kind", [LIF, ALIF])
@pytest.mark.parametrize("loss_at", ["end", "every"])
def test_the_gradient_is_that_of_loss_and_rate_cost(kind, loss_at):
    """Two layers, step by step: c Σ_j (f̄_j − f*)² over the neurons of both."""
    network = recurrent(lambda size: kind(size, tau=2.0), hidden=[5, 4])
    x, target = sequence()
    result = learn(BPTT(loss_at=loss_at, rate_cost=3.0, rate_target=0.2), network, (x, target)).total()
    with seeded(11):
        state, spikes = network.initial_state(BATCH), []
    for x_t in x:
        step, state = network(x_t, state)
        spikes.append(torch.cat(step.spikes, 1))
    rate = torch.stack(spikes).mean((0, 1))
    assert 0.05 < float(rate.detach().mean()) < 0.95
    added = gradient(3.0 * (rate - 0.2).square().sum(), network)
    expected = [a + b for a, b in zip(backprop(network, x, target, TASK, loss_at), added, strict=True)]
    assert error(result, expected) < 1e-12
    assert error(result, backprop(network, x, target, TASK, loss_at)) > 1e-3


def test_the_reported_loss_has_no_rate_cost():
    losses = []
    for rule in (BPTT(rate_cost=3.0), BPTT()):
        rule.start(recurrent(LIF), TASK, len(sequence()[0]))
        losses += train_batch(rule, *sequence(), lambda: None)
    assert losses[0] == losses[1]


def test_the_mean_rate_cost_of_an_epoch_is_reported_as_its_penalty():
    """Without weights no neuron spikes: c · size · f*² = 3 · 8 · 0.2² in each of two batches."""
    rule, network = tt.build_rule("bptt", rate_cost=3.0, rate_target=0.2), recurrent(LIF, hidden=[8])
    for parameter in network.parameters():
        parameter.detach().zero_()
    rule.start(network, TASK, len(sequence()[0]))
    for _ in range(2):
        train_batch(rule, *sequence(), lambda: None)
    assert rule.end_epoch()["penalty"].value == pytest.approx(0.96)
    assert rule.end_epoch() == {}, "an epoch without batches has none"


def test_it_needs_spikes_and_a_cost():
    network = recurrent(RNN)
    assert BPTT().supports(network, TASK, 5) is None
    assert "no spikes" in (BPTT(rate_cost=1.0).supports(network, TASK, 5) or "")
    with pytest.raises(ValueError, match="rate_target would do nothing without rate_cost"):
        BPTT(rate_target=0.1)
