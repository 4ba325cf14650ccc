"""The derivatives of a step of one layer in closed form are those of automatic differentiation, on every neuron."""

from __future__ import annotations

import pytest
import torch

from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.influence.kf_rtrl import KFRTRL
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.algorithms.influence.uoro import UORO
from throughtime.checks.contract.cost import SIZES, fit, measured
from throughtime.checks.tiny import BATCH, CLASSES, STEPS, error, learn, recurrent, seeded, sequence
from throughtime.datasets.task import Classification
from throughtime.neurons.leaky_tanh import LeakyTanh
from throughtime.neurons.lif import LIF
from throughtime.registry import ALGORITHMS, NEURONS

TASK = Classification(CLASSES)
READOUTS = ({}, {"readout": "membrane", "readout_tau": 0.0, "recurrent_bias": True})


@torch.no_grad()
@pytest.mark.parametrize("options", READOUTS, ids=["spikes", "membrane"])
def test_derivatives_of_a_step(options):
    """After some steps of a sequence, so that the state is not 0."""
    names = []
    for name in NEURONS.names():
        network, rule = recurrent(NEURONS[name], **options), KFRTRL()
        if rule.supports(network, TASK, STEPS):
            continue
        rule.start(network, TASK, STEPS)
        rule.begin(BATCH, lambda: None)
        if rule.one_layer.has_closed_form:
            (x, _), state = sequence(), rule.state
            for x_t in x[:6]:
                rule.state, (_, state) = state, network(x_t, state)
                rule.B = torch.randn(rule.B.shape, dtype=rule.B.dtype, generator=torch.Generator().manual_seed(1))
                D, JB = rule._differentiated(x_t)
                S = JB.shape[2] - CLASSES
                result = rule._in_closed_form(x_t, state)
                assert error(result, (D[:, :S], JB[:, :, :S])) < 1e-13, name
                assert error([by[..., -CLASSES:, :] for by in result], (D[:, S:], JB[:, :, S:])) < 1e-13, name
                names.append(name)
    assert {"lif", "alif", "leaky_tanh", "cuba"} <= set(names)


@pytest.mark.parametrize("neuron", [LIF, LeakyTanh])
def test_both_ways_of_uoro_are_equal(neuron):
    class Differentiated(UORO):
        def start(self, network, task, steps):
            super().start(network, task, steps)
            self.one_layer = None

    with seeded(5):
        closed_form = learn(UORO(loss_at="every", draws=2), recurrent(neuron), sequence()).total()
    with seeded(5):
        other = learn(Differentiated(loss_at="every", draws=2), recurrent(neuron), sequence()).total()
    assert error(closed_form, other) < 1e-12


def test_a_readout_that_is_no_leaky_integrator_has_no_closed_form():
    rule = UORO()
    rule.start(recurrent(LIF, readout_max=True), TASK, STEPS)
    assert rule.one_layer is None
    rule.start(recurrent(NEURONS["lstm"]), TASK, STEPS)
    assert rule.one_layer is None


@pytest.mark.usefixtures("tensor_operations")
def test_a_weight_that_two_maps_share_has_the_gradients_of_both():
    network, batch = recurrent(LeakyTanh, hidden=[3]), sequence(inputs=3)
    network.layers[0].recurrent.weight = network.layers[0].inward.weight
    assert "share" in KFRTRL().supports(network, TASK, STEPS)
    assert error(learn(RTRL(), network, batch).total(), learn(BPTT(), network, batch).total()) < 1e-12
    rule = UORO()
    rule.start(network, TASK, STEPS)
    assert rule.one_layer is None


def test_a_draw_of_kf_rtrl_multiplies_its_factors_and_not_the_derivatives_of_the_step():
    """One formula has the bytes of one draw and of eight; S² for each draw has not."""
    runs = [run for draws in (1, 8) for run in measured(ALGORITHMS["kf_rtrl"], SIZES, draws=draws)]
    assert fit(KFRTRL.cost.memory, runs, "memory").value < 0.05
    assert fit("D B S²", runs, "memory").value > 0.1


@pytest.mark.parametrize("rule", [UORO, KFRTRL])
def test_signs_are_1_or_minus_1_with_equal_probability(rule):
    with seeded(0):
        signs = rule().signs(100, 100)
    assert signs.unique().tolist() == [-1, 1]
    assert abs(float(signs.double().mean())) < 0.05, "five standard errors"
