"""Network encoded: the recursion of SpyTorch's fifth tutorial, but for what its page names."""

from __future__ import annotations

import math

import torch

from throughtime.neurons.lif import LIF
from throughtime.registry import NETWORKS, NEURONS
from throughtime.suites.suite import load_suite

STEPS, BATCH = 60, 3


def built(**options):
    (spec, *_) = load_suite("spytorch_braille").expand("paper")
    neuron = NEURONS["cuba"]
    torch.manual_seed(0)
    return NETWORKS["encoded"].factory(
        4,
        5,
        lambda size: neuron.factory(size, **neuron.checked(spec.neuron.options)),
        **{**spec.network.options, "encoders": 6, "hidden": [9], **options},
    )


def test_the_outputs_are_those_of_the_tutorials_steps():
    network, x = built(gain=20.0, recurrent_gain=2.0), 4 * torch.randn(STEPS, BATCH, 4)
    (encoder, layer), gains = network.layers, network.layers[0].gains
    assert type(encoder.neuron) is LIF
    g, c, W, R = (p.detach() for p in (gains.gain, gains.offset, layer.inward.weight, layer.recurrent.weight))
    W_out, α, β = network.readouts[0].linear.weight.detach(), math.exp(-1 / 10), math.exp(-1 / 20)
    enc = z_enc = torch.zeros(BATCH, 24)
    syn = mem = z = torch.zeros(BATCH, 9)
    flt = out = torch.zeros(BATCH, 5)
    outs, spikes = [out], torch.zeros(2)
    for x_t in x:
        enc = β * enc * (1 - z_enc) + (1 - β) * g * (x_t.tile(6) + c)
        z_enc = (enc > 1).float()
        mem, syn = (β * mem + (1 - β) * syn) * (1 - z), α * syn + z_enc @ W.t() + z @ R.t()
        z = (mem > 1).float()
        out, flt = β * out + (1 - β) * flt, α * flt + z @ W_out.t()
        outs.append(out)
        spikes += torch.tensor([float(z_enc.sum()), float(z.sum())])
    assert spikes.min() > 20
    ours = network.unroll(x, network.initial_state(BATCH)).outputs[-1]
    assert torch.allclose(ours, torch.stack(outs).amax(0), atol=1e-5)


def test_gains_and_offsets_learn():
    network, x = built(), 2 * torch.randn(STEPS, BATCH, 4)
    network.unroll(x, network.initial_state(BATCH)).outputs[-1].square().sum().backward()
    gains = network.layers[0].gains
    assert float(gains.gain.grad.abs().max()) > 0 and float(gains.offset.grad.abs().max()) > 0
    assert network.readouts[0].linear.bias.grad is None


def test_without_recurrent_gain_there_are_no_recurrent_weights():
    assert built(recurrent_gain=0.0).layers[1].recurrent_synapse is None
