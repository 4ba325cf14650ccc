"""Three steps of a neuron with its defaults, and one gradient, worked by hand.

A reset whose gradient leaks in every form alike (steps, partial derivatives, kernels) satisfies each identity between
these forms; only numbers from the equations find it.
"""

from __future__ import annotations

import math

import pytest
import torch

from throughtime.neurons.alif import ALIF, ALIFState
from throughtime.neurons.lif import LIF, LIFState

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
