"""The readout of 2021 of the network of the electrocardiograms: its equations by hand, and what it shares."""

from __future__ import annotations

import math

import pytest
import torch

from throughtime.networks.ecg_spiking_readout import ecg_spiking_readout
from throughtime.networks.presets import ecg_rnn
from throughtime.neurons.asrnn import ASRNN


def test_outputs_are_membranes_of_adaptive_neurons():
    """Membranes in plain numbers from the hidden spikes; W_o, c_o, τ and τ_a are not those of the start."""
    torch.manual_seed(0)
    network = ecg_spiking_readout(3, 2, ASRNN, hidden=[5]).double()
    _, output = network.layers
    output.inward.weight.data = 3 * torch.rand(2, 5, dtype=torch.float64)
    output.inward.bias.data = torch.tensor([0.3, -0.1], dtype=torch.float64)
    output.neuron.tau.data = torch.tensor([2.0, 5.0], dtype=torch.float64)
    output.neuron.tau_adaptation.data = torch.tensor([4.0, 30.0], dtype=torch.float64)
    x = 3 * torch.rand(40, 1, 3, dtype=torch.float64)
    window = network.unroll(x, network.initial_state(1))
    spikes, ys = window.spikes[0], window.outputs[:, 0].tolist()
    fired = 0
    for k, (τ, τ_a, c) in enumerate(((2.0, 4.0, 0.3), (5.0, 30.0, -0.1))):
        α, ρ, y, b, z = math.exp(-1 / τ), math.exp(-1 / τ_a), 0.0, 0.0, 0
        for t, z_h in enumerate(spikes[:, 0]):
            d = sum(w * z_j for w, z_j in zip(output.inward.weight[k].tolist(), z_h.tolist(), strict=True)) + c
            b = ρ * b + (1 - ρ) * z
            θ = 0.1 + 1.8 * b
            y = α * y + (1 - α) * d - θ * z
            z = int(y > θ)
            fired += z
            assert ys[t][k] == pytest.approx(y, abs=1e-12)
    assert 0 < fired < 80


@pytest.mark.usefixtures("tensor_operations")
def test_only_the_readout_differs_from_ecg_rnn():
    networks = []
    for build in (ecg_rnn, ecg_spiking_readout):
        torch.manual_seed(3)
        networks.append(build(4, 6, ASRNN))
    leaky, spiking = networks
    assert all(map(torch.equal, leaky.layers[0].parameters(), spiking.layers[0].parameters()))
    assert torch.equal(leaky.readout.linear.weight, spiking.layers[1].inward.weight)
    x = torch.rand(30, 2, 4)
    windows = [network.unroll(x, network.initial_state(2)) for network in networks]
    assert torch.equal(windows[0].spikes[0], windows[1].spikes[0])
    assert windows[0].spikes[0].any()
    assert not torch.allclose(windows[0].outputs, windows[1].outputs)


@pytest.mark.usefixtures("tensor_operations")
def test_what_is_held_stays():
    torch.manual_seed(3)  # outputs that spike: without spikes τ_a has no gradient
    network = ecg_spiking_readout(4, 6, ASRNN)
    held = {name for name, p in network.named_parameters() if not p.requires_grad}
    maps = ("layers.0.inward.bias", "layers.1.recurrent.weight", "readout.linear.weight", "readout.linear.bias")
    assert held == set(maps)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 1746
    x = torch.rand(30, 2, 4)
    network.unroll(x, network.initial_state(2)).outputs.square().mean().backward()
    learnt = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.any() for grad in learnt.values()), learnt
