"""Integrators by hand: the outputs of some steps, and gradients."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from throughtime.neurons.integrators import (
    GatedIntegrator,
    Integrator,
    LeakyIntegrator,
    MaxIntegrator,
    SigmoidIntegrator,
    SynapticIntegrator,
    TrainedIntegrator,
)

F64 = torch.float64


def taken(neuron: Integrator, I: Tensor) -> tuple[Tensor, Tensor]:
    """Return z and v of all steps with currents I [steps, neurons] of one sample."""
    state, states = neuron.initial_state(1, I), []
    for I_t in I.unbind(0):
        z, state = neuron(I_t[None], state)
        assert z is state.z
        states.append(state)
    return torch.cat([s.z for s in states]), torch.cat([s.v for s in states])


def test_leaky():
    """κ = 3/4: y = 1, 1.75, 1.3125 for I = 4, 4, 0; without memory y = I. A filter has the same values."""
    I = torch.tensor([[4.0], [4.0], [0.0]], dtype=F64)
    assert taken(LeakyIntegrator(1, decay=0.75), I)[0].flatten().tolist() == [1.0, 1.75, 1.3125]
    assert taken(LeakyIntegrator(1, decay=0.0), I)[0].tolist() == I.tolist()
    x, y = I.expand(3, 2)[:, None], torch.tensor([[0.0, 8.0]], dtype=F64)
    assert LeakyIntegrator(1, decay=0.75).filtered(x, y)[:, 0].T.tolist() == [[1, 1.75, 1.3125], [7, 6.25, 4.6875]]


def test_gated():
    # W_τ = [ln 3 / 3, 1/2], b_τ = 0, κ3 = 1.  I1 = 3, y0 = 0: λ1 = σ(ln 3) = 3/4, y1 = 9/4.
    # I2 = −3: λ2 = σ(−ln 3 + 9/8), y2 = 9/4 + λ2 (−3 − 9/4).  With κ3 = 2: λ1 = σ(ln 9) = 9/10, y1 = 2.7
    neuron = GatedIntegrator(1).double()
    assert float(neuron.slope.detach()) == 1 and not neuron.gate.bias.any()
    with torch.no_grad():
        neuron.gate.weight.copy_(torch.tensor([[math.log(3) / 3, 0.5]], dtype=F64))
    I = torch.tensor([[3.0], [-3.0]], dtype=F64)
    λ2 = 1 / (1 + 3 * math.exp(-9 / 8))
    assert taken(neuron, I)[0].flatten().tolist() == pytest.approx([9 / 4, 9 / 4 - λ2 * 21 / 4])
    with torch.no_grad():
        neuron.slope.fill_(2)
    assert taken(neuron, I)[0][0].item() == pytest.approx(2.7)
    assert dict(GatedIntegrator(1, trained_slope=False).named_parameters()).keys() == {"gate.weight", "gate.bias"}


def test_trained():
    """κ = 1/2 and 1/4, from τ = 1/ln 2 and −1/ln 4: y = κ y + (1 − κ) I."""
    neuron = TrainedIntegrator(2, tau=20.0).double()
    neuron.tau.data = torch.tensor([1 / math.log(2), -1 / math.log(4)], dtype=F64)
    y, _ = taken(neuron, torch.tensor([[4.0, 4.0], [8.0, 8.0], [0.0, 0.0]], dtype=F64))
    assert y.detach().tolist() == [pytest.approx(row) for row in ([2.0, 3.0], [5.0, 6.75], [2.5, 1.6875])]
    # y_1 = (1 − κ) I_1, so dy_1/dκ = −I_1; dκ/dτ = κ / τ² = ln² 2 / 2.
    (gradient,) = torch.autograd.grad(y[0, 0], neuron.tau)
    assert gradient.tolist() == pytest.approx([-4 * math.log(2) ** 2 / 2, 0])


def test_sigmoid():
    """σ(w) = 1/4 for w = −log 3: y = 0.25 I, then y + 0.25 (I − y)."""
    neuron = SigmoidIntegrator(1).double()
    nn.init.constant_(neuron.w, -math.log(3))
    assert taken(neuron, torch.tensor([[8.0], [4.0]], dtype=F64))[0].flatten().tolist() == pytest.approx([2.0, 2.5])


def test_maximum():
    """κ = 1/2: u = 1, 2.5, −0.75, 1.625 for I = 2, 4, −4, 4; the maximum is that of the second step."""
    I = torch.tensor([[2.0], [4.0], [-4.0], [4.0]], dtype=F64, requires_grad=True)
    y, u = taken(MaxIntegrator(1, integrator=partial(LeakyIntegrator, decay=0.5)), I)
    assert u.flatten().tolist() == [1.0, 2.5, -0.75, 1.625]
    assert y.flatten().tolist() == [1.0, 2.5, 2.5, 2.5]
    (gradient,) = torch.autograd.grad(y[-1].sum(), I)
    assert gradient.flatten().tolist() == [0.25, 0.5, 0.0, 0.0], "κ (1 − κ), 1 − κ: no effect after the maximum"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 3, 2.75]),  # 2/2, 1/2 + 5/2, 3/2 + 2.5/2
        ({"gain": "unit"}, [2, 6, 5.5]),
        ({"gain": "unit", "delay": 1}, [0, 2, 6]),  # 0, 0 + 2, 1 + 5
    ],
)
def test_a_synapse_before_the_membrane(options, expected):
    """γ = κ = 1/2: i = 2, 1 + 4 = 5, 2.5 for I = 2, 4, 0."""
    I = torch.tensor([[2.0], [4.0], [0.0]], dtype=F64)
    neuron = SynapticIntegrator(1, leak=0.5, synapse=0.5, **options)
    y, v = taken(neuron, I)
    assert y.flatten().tolist() == v.flatten().tolist() == expected
    maximum = MaxIntegrator(1, integrator=lambda shape: neuron)
    state, result = maximum.initial_state(1, I), []
    for I_t in I:
        z, state = maximum(I_t[None], state)
        result.append(float(z))
    assert result == [expected[0], max(expected[:2]), max(expected)]


def test_a_negative_maximum_is_below_zero():
    y, _ = taken(
        MaxIntegrator(1, integrator=partial(LeakyIntegrator, decay=0.0)), torch.tensor([[-3.0], [-1.0], [-2.0]])
    )
    assert y.flatten().tolist() == [-3.0, -1.0, -1.0]
