"""Options of lif, alif and asrnn: refractory period, input gain, reset, decay, adaptive neurons; each in every form."""

from __future__ import annotations

import pytest
import torch

from tests.kernel_twins import varied
from throughtime.checks.contract import neurons
from throughtime.neurons.alif import ALIF
from throughtime.neurons.kernels.kernel import kernel_of
from throughtime.neurons.lif import LIF

OPTIONS = [
    ("lif", {"refractory": 3, "reset": "zero", "tau": 2.0}),
    ("alif", {"refractory": 3, "input_gain": "unit", "tau": 2.0}),
    ("alif", {"adaptive": 0.5, "tau": 2.0}),
    ("asrnn", {"reset": "same_step", "decay": "exponential_magnitude", "tau_mean": 2.0, "tau_sd": 0.5}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=["lif", "alif", "alif, half of them adaptive", "asrnn"])
def test_windows_and_partials_are_autograd(name, options, tensor_operations):
    neuron = varied(name, options)
    assert kernel_of(neuron.factory(4)) is not None
    for fact in (neurons.kernel_is_steps, neurons.partials_are_derivatives):
        assert fact(neuron).value < 1e-12
    assert neurons.smooth_gradient(neuron).value < 1e-6


@pytest.mark.parametrize(("name", "options"), [OPTIONS[0], OPTIONS[3]], ids=["lif", "asrnn"])
def test_windows_and_single_steps_in_loops_are_autograd(name, options):
    """The equations of alif's options are among these, and those of its constants; see `IN_LOOPS`."""
    for fact in (neurons.kernel_is_steps, neurons.one_step_is_step):
        assert fact(varied(name, options)).value < 1e-12


def walked(neuron: torch.nn.Module, currents: list[float]) -> tuple[torch.Tensor, list]:
    """The currents, and the states after each step."""
    I = torch.tensor(currents, dtype=torch.float64, requires_grad=True)
    state, states = neuron.initial_state(1, I), []
    for t in range(len(currents)):
        _, state = neuron(I[t].reshape(1, 1), state)
        states.append(state)
    return I, states


@pytest.mark.parametrize("kind", [LIF, ALIF])
@pytest.mark.parametrize(("period", "expected"), [(0, [1] * 7), (1, [1] * 7), (3, [1, 0, 0, 1, 0, 0, 1])])
def test_no_spikes_in_the_refractory_period(kind, period, expected):
    _, states = walked(kind(1, refractory=period).double(), [1000.0] * 7)
    assert [float(s.z.detach()) for s in states] == expected


def test_a_suppressed_spike_has_no_gradient():
    neuron = LIF(1, refractory=2, surrogate="arctan").double()
    I, (first, second, third) = walked(neuron, [1000.0, 0.1, 0.1])
    assert float(first.r) == 2 and float(second.r) == 1 and float(third.r.detach()) == 2
    assert not torch.autograd.grad(second.z.sum(), I, retain_graph=True)[0].any()
    assert torch.autograd.grad(first.z.sum(), I, retain_graph=True)[0][0] > 0


@pytest.mark.parametrize("kind", [LIF, ALIF])
def test_an_input_gain_of_one(kind):
    """Two subthreshold steps: v₂ = α I₁ + I₂."""
    neuron = kind(1, input_gain="unit", threshold=10.0).double()
    _, (_, state) = walked(neuron, [0.3, 0.2])
    assert float(state.v.detach()) == pytest.approx(float(neuron.alpha) * 0.3 + 0.2)


def test_reset_to_zero():
    """v₁ = 0.2439 is above θ; v₂ = (1 − α) 0.3 then, without a gradient from the first current."""
    I, (_, state) = walked(LIF(1, reset="zero").double(), [5.0, 0.3])
    α = float(LIF(1).alpha)
    assert float(state.v.detach()) == pytest.approx((1 - α) * 0.3)
    assert torch.autograd.grad(state.v.sum(), I)[0].tolist() == pytest.approx([0, 1 - α])


def test_neurons_that_do_not_adapt_are_lif():
    """The last two of five neurons adapt: round(0.4 · 5)."""
    mixed, lif, alif = ALIF(5, adaptive=0.4, tau=2.0), LIF(5, tau=2.0), ALIF(5, tau=2.0)
    assert isinstance(mixed.beta, torch.Tensor) and mixed.beta.tolist() == pytest.approx([0, 0, 0, 1.8, 1.8])
    torch.manual_seed(0)
    current = torch.rand(1, 30, 5) * 0.8
    spikes = []
    for neuron in (mixed, lif, alif):
        state, z = neuron.initial_state(1, current), []
        for I in current.unbind(1):
            _, state = neuron(I, state)
            z.append(state.z)
        spikes.append(torch.cat(z))
    mixed_spikes, lif_spikes, alif_spikes = spikes
    assert torch.equal(mixed_spikes[:, :3], lif_spikes[:, :3]) and torch.equal(mixed_spikes[:, 3:], alif_spikes[:, 3:])
    assert not torch.equal(lif_spikes, alif_spikes) and lif_spikes.any(0).all()
