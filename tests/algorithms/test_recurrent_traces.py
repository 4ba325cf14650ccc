"""Rule recurrent_traces: recurrent weights have traces, as in e-prop or with a leak; others learn within a step."""

from __future__ import annotations

import pytest
import torch

import throughtime as tt
from throughtime.checks.tiny import CLASSES, error, learn, recurrent, sequence
from throughtime.datasets import Classification
from throughtime.neurons.lif import LIF
from throughtime.neurons.ltc import LTC
from throughtime.numerics.trees import detached

TASK = Classification(CLASSES)


def lif(size):
    return LIF(size, tau=2.0, reset="zero")


def gradients(rule, network, batch, **options):
    """By parameter."""
    learnt = learn(tt.build_rule(rule, **options), network, batch).total()
    return dict(zip([name for name, _ in network.named_parameters()], learnt, strict=True))


@pytest.mark.parametrize("steps", [12, 40])
def test_recurrent_weights_learn_as_under_eprop_and_others_do_not(steps):
    network, batch = recurrent(lif), sequence(steps)
    ours, eprop = (gradients(rule, network, batch, loss_at="every") for rule in ("recurrent_traces", "eprop"))
    different = {name for name in ours if error([ours[name]], [eprop[name]]) > 1e-12}
    assert different == {"layers.0.inward.weight", "layers.0.inward.bias"}


@pytest.mark.parametrize("decay", [None, 0.6])
def test_by_hand(decay):
    """One layer with a readout without a leak: recursions in plain loops."""
    network, (x, target) = recurrent(lif, readout_tau=0.0), sequence(40)
    layer, W_out, batch = network.layers[0], network.readouts[0].linear.weight.detach(), x.shape[1]
    state, â = network.initial_state(batch), x.new_zeros(batch, 5, 5)
    expected = {"recurrent": x.new_zeros(5, 5), "inward": x.new_zeros(5, 3)}
    α = float(layer.neuron.alpha.flatten()[0])
    for x_t in x:
        z = state.layers[0].z
        leak = (α * (1 - z))[:, :, None] if decay is None else decay
        step, after = network(x_t, state)
        y = step.output.detach().requires_grad_()
        (δ,) = torch.autograd.grad(TASK.loss(y, target) / len(x), y)
        v = after.layers[0].v.detach()
        ψ = (v / 0.1 - 1).abs().neg().add(1).clamp(min=0) * 0.3 / 0.1
        â = leak * â + (1 - α) * z.detach()[:, None, :]
        L = (δ @ W_out) * ψ
        expected["recurrent"] += torch.einsum("bj,bji->ji", L, â)
        expected["inward"] += (1 - α) * L.t() @ x_t
        state = detached(after)
    ours = gradients("recurrent_traces", network, (x, target), decay=decay)
    for name, gradient in expected.items():
        assert error([ours[f"layers.0.{name}.weight"]], [gradient.detach()]) < 1e-9


def test_without_recurrent_weights_and_leak_of_the_readout_it_is_sltt():
    network, batch = recurrent(lif, hidden=[5, 4], recurrent_weights=False, readout_tau=0.0), sequence()
    ours, sltt = (gradients(rule, network, batch) for rule in ("recurrent_traces", "sltt"))
    assert max(error([ours[name]], [sltt[name]]) for name in ours) < 1e-12


def test_neurons_with_trained_parameters_are_refused():
    reason = tt.build_rule("recurrent_traces").supports(recurrent(LTC), TASK, 12)
    assert "parameters of neurons" in reason
