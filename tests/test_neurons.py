"""Neurons: a few steps worked by hand, surrogates' values, and claimed partial derivatives against autograd."""

from __future__ import annotations

import math

import pytest
import torch

from throughtime.neurons.alif import ALIF
from throughtime.neurons.lif import LIF
from throughtime.neurons.ltc import LTC
from throughtime.neurons.surrogate import multi_gaussian, spike, triangle
from throughtime.registry import NEURONS

F64 = torch.float64


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=F64).unsqueeze(1)


@torch.no_grad()
def run(neuron, currents):
    """Feed one neuron a list of currents; return the states after each step."""
    state = neuron.initial_state(1, torch.zeros(1, dtype=F64))
    states = []
    for current in currents:
        _, state = neuron(torch.tensor([[current]], dtype=F64), state)
        states.append(state)
    return states


@pytest.mark.parametrize(
    ("x", "h"),
    [(0, 0.731853), (0.1, 0.690580), (-0.3, 0.431430), (0.5, 0.159085), (-1, -0.025263), (2, -0.017989)],
)
def test_multi_gaussian_has_the_published_values(x, h):
    assert float(multi_gaussian(column(x))) == pytest.approx(h, abs=5e-7)


def test_multi_gaussian_integrates_to_gamma_times_one_minus_height():
    x = torch.linspace(-15, 15, 300_001, dtype=F64)
    assert float(torch.trapezoid(multi_gaussian(x), x)) == pytest.approx(0.425, abs=1e-6)


def test_triangle_values():
    assert triangle(column(0, 0.5, -0.5, 1, 3)).flatten().tolist() == pytest.approx([0.3, 0.15, 0.15, 0, 0])


def test_spike_is_a_step_with_no_spike_at_zero_and_the_surrogate_as_gradient():
    x = column(-0.1, 0, 0.1).requires_grad_()
    z = spike(x, "triangle")
    assert z.flatten().tolist() == [0, 0, 1]
    z.sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([0.27, 0.3, 0.27])


def test_lif_by_hand():
    # α = 1/2 (τ = 1/ln 2), ϑ = 1.  v1 = 1.6/2 = 0.8;  v2 = 0.4 + 0.8 = 1.2 -> spike;  v3 = 0.6 + 0.8 − 1 = 0.4;
    # v4 = 0.2 + 0 = 0.2
    states = run(LIF(1, tau=1 / math.log(2), threshold=1.0), [1.6, 1.6, 1.6, 0.0])
    assert [float(s.v) for s in states] == pytest.approx([0.8, 1.2, 0.4, 0.2])
    assert [float(s.z) for s in states] == [0, 1, 0, 0]


def test_alif_by_hand():
    # α = ρ = 1/2, ϑ = 1, β = 2.   v1 = 2.4/2 = 1.2 -> spike (A = 1);
    # a2 = 0.5, A = 2, v2 = 0.6 + 1.5 − 1 = 1.1: none though v > ϑ;
    # a3 = 0.25, A = 1.5, v3 = 0.55 + 1 = 1.55 -> spike;  a4 = 0.125 + 0.5 = 0.625, v4 = 0.775 − 1 = −0.225
    half = 1 / math.log(2)
    states = run(ALIF(1, tau=half, tau_adaptation=half, threshold=1.0, beta=2.0), [2.4, 3.0, 2.0, 0.0])
    assert [float(s.v) for s in states] == pytest.approx([1.2, 1.1, 1.55, -0.225])
    assert [float(s.a) for s in states] == pytest.approx([0, 0.5, 0.25, 0.625])
    assert [float(s.z) for s in states] == [1, 0, 1, 0]


def ltc_with_gates_at_half(**options):
    """All gate weights and biases zero: a = ρ = σ(0) = 1/2."""
    neuron = LTC(1, **options).double()
    for parameter in neuron.parameters():
        torch.nn.init.zeros_(parameter)
    return neuron


def test_ltc_by_hand():
    # a = ρ = 1/2, b0 = 0.1, β = 1.8.  ṽ1 = 0.2, θ1 = 0.1 -> spike, v1 = 0;
    # b2 = 0.5, θ2 = 1.0, ṽ2 = 0.5 (0 + 1) = 0.5: none;
    # b3 = 0.25, θ3 = 0.55, ṽ3 = 0.5 (0.5 + 1) = 0.75 -> spike, v3 = 0
    states = run(ltc_with_gates_at_half(b0=0.1, beta=1.8), [0.4, 1.0, 1.0])
    assert [float(s.v) for s in states] == pytest.approx([0, 0.5, 0])
    assert [float(s.b) for s in states] == pytest.approx([0, 0.5, 0.25])
    assert [float(s.z) for s in states] == [1, 0, 1]


def test_ltc_gates_read_current_then_state():
    # W_M = [1, 2], b_M = 0: a2 = σ(I + 2 v1).  v1 = σ(0.3) · 0.3, below b0 = 0.5;  v2 = v1 + σ(0.2 + 2 v1) (0.2 − v1)
    neuron = LTC(1, b0=0.5, beta=0.0).double()
    with torch.no_grad():
        neuron.membrane_gate.weight.copy_(torch.tensor([[1.0, 2.0]]))
        neuron.membrane_gate.bias.zero_()
    states = run(neuron, [0.3, 0.2])
    v1 = 0.3 / (1 + math.exp(-0.3))
    v2 = v1 + (0.2 - v1) / (1 + math.exp(-0.2 - 2 * v1))
    assert [float(s.v) for s in states] == pytest.approx([v1, v2])


def test_ltc_without_adaptation_has_a_fixed_threshold_and_no_adaptation_gate():
    neuron = LTC(3, b0=0.5, beta=0.0)
    assert neuron.adaptation_gate is None
    assert sum(p.numel() for p in neuron.parameters()) == 3 * 6 + 3


def test_ltc_reset_passes_the_gradient_through_the_spike():
    neuron = ltc_with_gates_at_half(b0=0.1, beta=0.0)
    current = torch.tensor([[0.4]], dtype=F64, requires_grad=True)
    _, state = neuron(current, neuron.initial_state(1, current))
    (gradient,) = torch.autograd.grad(state.v.sum(), current)
    # v = (1 − z) ṽ, ṽ = I/2 = 0.2, z = 1: dv/dI = (1 − z)/2 − ṽ h(ṽ − θ)/2 = −0.2 · 0.690580 / 2
    assert float(gradient) == pytest.approx(-0.2 * 0.690580 / 2, abs=1e-6)


def test_time_constants_can_be_spread_over_the_neurons():
    # Three neurons, τ = 1, 10, 100: evenly spaced in the logarithm.
    expected = [math.exp(-1), math.exp(-1 / 10), math.exp(-1 / 100)]
    assert LIF(3, tau=1.0, tau_max=100.0).alpha.tolist() == pytest.approx(expected)
    assert LIF(3, tau=10.0).alpha.tolist() == pytest.approx(expected[1:2])


@pytest.mark.parametrize("name", ["lif", "alif"])
@pytest.mark.parametrize("tau_max", [None, 50.0])
def test_claimed_partials_are_autograds(name, tau_max):
    """Each claimed ∂s_t/∂r_{t−1}, ∂s_t/∂I_t, ∂z_t/∂s_t against autograd, and no other one is hidden."""
    torch.manual_seed(0)
    neuron = NEURONS[name].factory(4, threshold=0.5, tau_max=tau_max).double()
    fields = [f for f in neuron.initial_state(1, torch.zeros(1)).__class__._fields if f != "z"]
    before = {f: torch.rand(3, 4, dtype=F64).requires_grad_() for f in fields}
    current = torch.rand(3, 4, dtype=F64).requires_grad_()
    z_before = spike_of(neuron, before)
    state = type(neuron.initial_state(1, torch.zeros(1)))(**before, z=z_before)
    _, after = neuron(current, state)
    partials = neuron.partials(state, after)
    for s in fields:
        for r in fields:
            expected = torch.autograd.grad(
                getattr(after, s).sum(),
                before[r],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )[0]
            claimed = torch.as_tensor(partials.state.get((s, r), 0.0), dtype=F64).expand_as(expected)
            torch.testing.assert_close(claimed, expected, rtol=0, atol=1e-12)
        (expected,) = torch.autograd.grad(
            getattr(after, s).sum(), current, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        claimed = torch.as_tensor(partials.current.get(s, 0.0), dtype=F64).expand_as(expected)
        torch.testing.assert_close(claimed, expected, rtol=0, atol=1e-12)
    last = {f: getattr(after, f).detach().requires_grad_() for f in fields}
    expected = torch.autograd.grad(spike_of(neuron, last).sum(), list(last.values()))
    for s, gradient in zip(last, expected, strict=True):
        assert float(gradient.abs().max()) > 0
        torch.testing.assert_close(partials.spikes[s], gradient, rtol=0, atol=1e-12)


def spike_of(neuron, state):
    """z as the neuron makes it from the rest of its state."""
    ϑ = neuron.threshold
    A = ϑ + getattr(neuron, "beta", 0.0) * state.get("a", torch.zeros(()))
    return spike((state["v"] - A) / ϑ, neuron.surrogate)


@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_is_a_pure_step_with_v_and_z_in_its_state(name):
    neuron = NEURONS[name].factory(5)
    state = neuron.initial_state(2, torch.zeros(1))
    kept = [tensor.clone() for tensor in state]
    current = torch.randn(2, 5)
    first, second = neuron(current, state), neuron(current, state)
    assert all(torch.equal(a, b) for a, b in zip(kept, state, strict=True))
    assert torch.equal(first[0], second[0])
    assert first[1].v.shape == first[1].z.shape == first[0].shape == (2, 5)
    assert torch.equal(first[0], first[1].z)
    assert set(first[0].unique().tolist()) <= {0.0, 1.0}
