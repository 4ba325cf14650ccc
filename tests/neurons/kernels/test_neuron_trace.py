"""Traces of neurons: by hand, in compiled loops and on tensors, and from block to block."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from throughtime.neurons.kernels.kernel import loops_of
from throughtime.neurons.kernels.neuron_trace import advance_traces
from throughtime.neurons.lif import LIF, LIFState
from throughtime.numerics.loops import without_compiled_loops
from throughtime.registry import NEURONS


def trajectory(neuron, steps, batch):
    """Random currents, and the states of the neuron's own steps."""
    I = torch.randn(steps, batch, neuron.size, dtype=torch.float64)
    states = [neuron.initial_state(batch, I)]
    with torch.no_grad():
        for I_t in I:
            states.append(neuron(I_t, states[-1])[1])
    return I, type(states[0])(*map(torch.stack, zip(*states, strict=True)))


def in_blocks(neuron, I, states, o, *ends):
    """ε_o of all steps, in blocks that end at these steps."""
    ε, rows, first = None, [], 0
    for end in ends:
        block = type(states)(*(s[first : end + 1] for s in states))
        ε_o, ε = advance_traces(neuron, I[first:end], block, ε, 0.7, o)
        rows.append(ε_o)
        first = end
    return torch.cat(rows)


def test_two_steps_of_lif_by_hand():
    neuron = LIF(1, tau=1.0, threshold=1.0).double()
    α, λ = neuron.alpha.item(), 0.7
    v = torch.tensor([0.0, 0.5, 0.9], dtype=torch.float64)[:, None, None]
    states = LIFState(v, torch.zeros_like(v))
    ε_v = [(1 - λ) * (1 - α), (1 - λ) * (1 - α) * (1 + λ * α)]
    ψ = [0.3 * 0.5, 0.3 * 0.9]  # triangle: γ max(0, 1 − |v − θ| / θ), γ = 0.3, θ = 1
    I = torch.zeros(2, 1, 1, dtype=torch.float64)
    assert in_blocks(neuron, I, states, "v", 2).flatten().tolist() == pytest.approx(ε_v)
    assert in_blocks(neuron, I, states, "z", 2).flatten().tolist() == pytest.approx([ψ[0] * ε_v[0], ψ[1] * ε_v[1]])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lif", {"refractory": 2, "tau_max": 30.0}),
        ("alif", {}),
        ("ltc", {"gate_input": "concatenated"}),
        ("ltc", {"gate_input": "summed"}),
        ("plif", {}),
        ("rnn", {}),
    ],
)
@pytest.mark.parametrize("o", ["v", "z"])
def test_compiled_or_on_tensors_in_one_block_or_two(name, options, o):
    torch.manual_seed(3)
    neuron = NEURONS[name].factory(5, **options).double()
    I, states = trajectory(neuron, 7, 4)
    whole = in_blocks(neuron, I, states, o, 7)
    assert whole.abs().max() > 1e-3
    assert torch.allclose(in_blocks(neuron, I, states, o, 3, 7), whole, rtol=1e-12, atol=1e-15)
    with without_compiled_loops():
        assert torch.allclose(in_blocks(neuron, I, states, o, 3, 7), whole, rtol=1e-12, atol=1e-15)


def test_what_is_built_for_a_neuron_ends_with_it():
    neuron = LIF(3)
    I, states = trajectory(neuron.double(), 2, 1)
    in_blocks(neuron, I, states, "v", 2)
    built = weakref.ref(loops_of(neuron))
    assert built() is loops_of(neuron)
    del neuron
    gc.collect()
    assert built() is None
