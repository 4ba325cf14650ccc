"""A readout with a trained leak: by hand, in windows and steps, and its gradient under exact rules."""

from __future__ import annotations

import math

import pytest
import torch

from throughtime.algorithms.base import LearningRule
from throughtime.checks.tiny import CLASSES, INPUTS, learn, recurrent, sequence
from throughtime.datasets.task import Classification
from throughtime.networks.readout import TrainedReadout
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import ALGORITHMS, NETWORKS, NEURONS


def lif(size: int) -> LIF:
    return LIF(size, tau=2.0)


def test_by_hand():
    """κ = 1/2 and 1/4, from τ = 1/ln 2 and −1/ln 4: y = κ y + (1 − κ) d."""
    readout = TrainedReadout(1, 2, "z", 20.0, layer="layer1").double()
    readout.tau.data = torch.tensor([1 / math.log(2), -1 / math.log(4)], dtype=torch.float64)
    d = torch.tensor([[4.0, 4.0], [8.0, 8.0], [0.0, 0.0]], dtype=torch.float64).view(3, 1, 2)
    ys = readout.unroll(d, readout.initial_state(1).double())
    assert ys[:, 0].detach().tolist() == [pytest.approx(y) for y in ([2.0, 3.0], [5.0, 6.75], [2.5, 1.6875])]
    # y_1 = (1 − κ) d_1, so dy_1/dκ = −d_1; dκ/dτ = κ / τ² = ln² 2 / 2.
    (gradient,) = torch.autograd.grad(ys[0, 0, 0], readout.tau)
    assert gradient.tolist() == pytest.approx([-4 * math.log(2) ** 2 / 2, 0])


def test_a_window_of_any_length_is_its_steps():
    readout = TrainedReadout(3, 2, "z", 5.0, layer="layer1").double()
    for steps in (1, 2, 7, 8, 9):
        d, y = torch.randn(steps, 4, 2, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
        ys, step_by_step = readout.unroll(d, y), []
        for d_t in d:
            y = readout(d_t, y)
            step_by_step.append(y)
        torch.testing.assert_close(ys, torch.stack(step_by_step), rtol=1e-13, atol=1e-14)


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
