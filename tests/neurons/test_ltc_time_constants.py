"""Membrane time constants that LTC starts from."""

from __future__ import annotations

import math

import pytest
import torch

from throughtime.neurons.ltc import LTC


@pytest.mark.parametrize(
    ("options", "taus"), [({"tau": 10.0}, [10.0] * 3), ({"tau": 1.0, "tau_max": 100.0}, [1, 10, 100])]
)
def test_without_the_gates_weights_the_membrane_decays_with_tau(options, taus):
    neuron = LTC(3, b0=100.0, **options).double()
    neuron.membrane_gate.weight.data.zero_()
    state = neuron.initial_state(1, torch.zeros(1, dtype=torch.float64))._replace(
        v=torch.ones(1, 3, dtype=torch.float64)
    )
    _, after = neuron(torch.zeros(1, 3, dtype=torch.float64), state)
    assert after.v[0].tolist() == pytest.approx([math.exp(-1 / τ) for τ in taus], rel=1e-6)


def test_weights_are_drawn_as_without_and_training_moves_the_bias():
    torch.manual_seed(1)
    plain = LTC(4)
    torch.manual_seed(1)
    spread = LTC(4, tau=5.0)
    assert torch.equal(plain.membrane_gate.weight, spread.membrane_gate.weight)
    assert torch.equal(plain.adaptation_gate.bias, spread.adaptation_gate.bias)
    assert not torch.equal(plain.membrane_gate.bias, spread.membrane_gate.bias)
    assert spread.membrane_gate.bias.requires_grad


def test_tau_max_alone_is_refused():
    with pytest.raises(ValueError, match="tau_max"):
        LTC(4, tau_max=100.0)
