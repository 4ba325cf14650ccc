"""Three steps of a neuron with its defaults, and one gradient, worked by hand.

A reset whose gradient leaks in every form alike (steps, partial derivatives, kernels) satisfies each identity between
these forms; only numbers from the equations find it.
"""

from __future__ import annotations

import math

import pytest
import torch

from throughtime.neurons.alif import ALIF, ALIFState
from throughtime.neurons.asrnn import ASRNN, ASRNNState
from throughtime.neurons.lif import LIF, LIFState
from throughtime.neurons.lstm import LSTM, LSTMState
from throughtime.neurons.ltc import LTC, LTCState
from throughtime.neurons.rnn import RNN, RNNState

α, ρ, θ, β = math.exp(-1 / 20), math.exp(-1 / 200), 0.1, 1.8
"""The neurons keep decays in float32: numbers agree to 5 digits."""
CURRENTS = (5.0, 0.3, 0.2)


def walked(neuron, state):
    """States after three steps, and the gradient of the last v by the first current."""
    I = torch.tensor(CURRENTS, dtype=torch.float64, requires_grad=True)
    states = []
    for t in range(3):
        _, state = neuron(I[t].reshape(1, 1), state)
        states.append(state)
    (slope,) = torch.autograd.grad(states[-1].v.sum(), I)
    return states, float(slope[0])


def zeros(kind):
    return kind(*torch.zeros(len(kind._fields), 1, 1, dtype=torch.float64))


def test_lif():
    """v₁ = (1 − α) 5 = 0.2439 is above θ = 0.1, and so are v₂ and v₃: each step is reset by θ for the spike before."""
    v1 = (1 - α) * 5
    v2 = α * v1 + (1 - α) * 0.3 - θ
    v3 = α * v2 + (1 - α) * 0.2 - θ
    assert v1 == pytest.approx(0.243853, abs=1e-6) and v2 == pytest.approx(0.146591, abs=1e-6) and v3 < θ
    states, slope = walked(LIF(1).double(), zeros(LIFState))
    assert [float(s.v.detach()) for s in states] == pytest.approx([v1, v2, v3], rel=1e-5)
    assert [float(s.z.detach()) for s in states] == [1, 1, 0]
    assert slope == pytest.approx(α * α * (1 - α), rel=1e-5), "no gradient through the reset"


def test_alif():
    """The first spike raises the threshold to 0.1 + 1.8 (1 − ρ) = 0.109 for the second step."""
    v1 = (1 - α) * 5
    v2 = α * v1 + (1 - α) * 0.3 - θ
    v3 = α * v2 + (1 - α) * 0.2 - θ
    a2 = 1 - ρ
    a3 = ρ * a2 + (1 - ρ)
    assert v2 > θ + β * a2 > v3
    states, slope = walked(ALIF(1).double(), zeros(ALIFState))
    assert [float(s.v.detach()) for s in states] == pytest.approx([v1, v2, v3], rel=1e-5)
    assert [float(s.a.detach()) for s in states] == pytest.approx([0, a2, a3], rel=1e-5)
    assert [float(s.z.detach()) for s in states] == [1, 1, 0]
    assert slope == pytest.approx(α * α * (1 - α), rel=1e-5), "no gradient through the reset"


def σ(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def h(x: float, l: float) -> float:
    """The multi-Gaussian surrogate of width l."""

    def g(μ: float, ς: float) -> float:
        return math.exp(-((x - μ) ** 2) / (2 * ς**2)) / (ς * math.sqrt(2 * math.pi))

    return 0.5 * (1.15 * g(0, l) - 0.15 * (g(l, 6 * l) + g(-l, 6 * l)))


def test_asrnn():
    """The gradient passes through both resets and both thresholds; d is by the first current."""
    v1, dv1 = (1 - α) * 5, 1 - α
    dz1 = h(v1 - 0.01, 0.5) * dv1
    b2, db2 = 1 - ρ, (1 - ρ) * dz1
    θ2 = 0.01 + β * b2
    v2, dv2 = α * v1 + (1 - α) * 0.3 - θ2, α * dv1 - θ2 * dz1 - β * db2
    dz2 = h(v2 - θ2, 0.5) * (dv2 - β * db2)
    b3, db3 = ρ * b2 + (1 - ρ), ρ * db2 + (1 - ρ) * dz2
    θ3 = 0.01 + β * b3
    v3, dv3 = α * v2 + (1 - α) * 0.2 - θ3, α * dv2 - θ3 * dz2 - β * db3
    assert v2 > θ2 and v3 > θ3, "it spikes in each step"
    states, slope = walked(ASRNN(1, tau_sd=0.0, tau_adaptation_sd=0.0).double(), zeros(ASRNNState))
    assert [float(s.v.detach()) for s in states] == pytest.approx([v1, v2, v3], rel=1e-5)
    assert [float(s.b.detach()) for s in states] == pytest.approx([0, b2, b3], rel=1e-5)
    assert [float(s.z.detach()) for s in states] == [1, 1, 1]
    assert slope == pytest.approx(dv3, rel=1e-5)


def test_ltc():
    """W_M = [0.5, −0.3], b_M = 0.1, W_A = [0.2, 0.4], b_A = −0.1: the equations and their derivatives d by the first
    current, line by line. The first step spikes, and its reset passes a gradient on."""
    v = b = z = dv = db = dz = 0.0
    expected = []
    for I, dI in zip(CURRENTS, (1, 0, 0), strict=True):
        a, r = σ(0.5 * I - 0.3 * v + 0.1), σ(0.2 * I + 0.4 * b - 0.1)
        da, dr = a * (1 - a) * (0.5 * dI - 0.3 * dv), r * (1 - r) * (0.2 * dI + 0.4 * db)
        b, db = r * b + (1 - r) * z, dr * (b - z) + r * db + (1 - r) * dz
        ṽ, dṽ = v + a * (I - v), dv + da * (I - v) + a * (dI - dv)
        x, dx = ṽ - (0.1 + β * b), dṽ - β * db
        z, dz = float(x > 0), h(x, 0.3) * dx
        v, dv = (1 - z) * ṽ, (1 - z) * dṽ - ṽ * dz
        expected.append((v, b, z))
    neuron = LTC(1).double()
    with torch.no_grad():
        neuron.membrane_gate.weight.copy_(torch.tensor([[0.5, -0.3]], dtype=torch.float64))
        neuron.membrane_gate.bias.fill_(0.1)
        neuron.adaptation_gate.weight.copy_(torch.tensor([[0.2, 0.4]], dtype=torch.float64))
        neuron.adaptation_gate.bias.fill_(-0.1)
    states, slope = walked(neuron, zeros(LTCState))
    assert [[float(part.detach()) for part in state] for state in states] == [
        pytest.approx(state_values) for state_values in expected
    ]
    assert [z for _, _, z in expected] == [1, 0, 0]
    assert slope == pytest.approx(dv, rel=1e-9) and abs(slope) > 1e-3


def test_lstm():
    """The first cell input G₁ reaches h₃ through the cells alone: c₃ = σ(F₃) (σ(F₂) c₁ + ...), c₁ = σ(I₁) tanh G₁."""
    currents = ((0.3, 9.0, 0.5, 0.1), (-0.2, 0.4, 0.6, 0.7), (0.8, -0.5, -0.3, 0.2))
    c, expected = 0.0, []
    for I, F, G, O in currents:
        c = σ(F) * c + σ(I) * math.tanh(G)
        expected.append((c, σ(O) * math.tanh(c)))
    x = torch.tensor(currents, dtype=torch.float64, requires_grad=True)
    state, states = zeros(LSTMState), []
    for t in range(3):
        z, state = LSTM(1)(x[t].reshape(1, 4), state)
        states.append((float(state.c.detach()), float(z.detach())))
        assert state.v is z and state.z is z
    assert states == [pytest.approx(state_values) for state_values in expected]
    (gradient,) = torch.autograd.grad(state.z.sum(), x)
    dc = σ(-0.5) * σ(0.4) * σ(0.3) * (1 - math.tanh(0.5) ** 2)
    assert float(gradient[0, 2]) == pytest.approx(σ(0.2) * (1 - math.tanh(c) ** 2) * dc)
    assert float(gradient[0, 1]) == 0, "there is no cell before the first step that it could forget"
    assert float(gradient[2, 3]) == pytest.approx(σ(0.2) * σ(-0.2) * math.tanh(c))


def test_rnn():
    """h₃ = tanh I₃: nothing stays within a cell from the steps before."""
    states, slope = walked(RNN(1), zeros(RNNState))
    assert [float(s.z.detach()) for s in states] == pytest.approx([math.tanh(I) for I in CURRENTS])
    assert slope == 0
    I = torch.tensor([[0.2]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(RNN(1)(I, zeros(RNNState))[0].sum(), I)
    assert float(gradient) == pytest.approx(1 - math.tanh(0.2) ** 2)
