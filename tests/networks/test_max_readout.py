"""The maximum over time of a readout, in windows and steps, and the rules that train it."""

from __future__ import annotations

import math

import pytest
import torch

from throughtime.checks.tiny import CLASSES, INPUTS, learn, recurrent, sequence
from throughtime.checks.window import by_layers
from throughtime.datasets.task import Classification
from throughtime.networks.layered.layered import Layered
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import ALGORITHMS


def lif(size: int) -> LIF:
    return LIF(size, tau=2.0)


def test_windows_steps_and_layers_agree():
    network = recurrent(lif, readout_max=True, readout="membrane")
    x, state = sequence()[0], network.initial_state(5)
    window = network.unroll(x, state)
    plain = recurrent(lif, readout="membrane").unroll(x, state._replace(y=state.y.v)).outputs
    torch.testing.assert_close(window.outputs, plain.cummax(0).values)
    first = network.unroll(x[:5], state)
    torch.testing.assert_close(network.unroll(x[5:], first.state).outputs, window.outputs[5:])
    for t, x_t in enumerate(x):
        step, after = network(x_t, state)
        described, _ = by_layers(network, x_t, state)
        torch.testing.assert_close(step.output, window.outputs[t])
        torch.testing.assert_close(described.output, window.outputs[t])
        state = after


@pytest.mark.parametrize("rule", ["tbptt", "fptt", "rtrl"])
def test_rules_train_it_and_exact_ones_have_its_gradient(rule):
    x, target = sequence()
    result = learn(ALGORITHMS[rule].factory(), recurrent(lif, readout_max=True), (x, target)).total()
    assert any(g.any() for g in result)
    if rule == "rtrl":
        exact = learn(ALGORITHMS["bptt"].factory(), recurrent(lif, readout_max=True), (x, target)).total()
        for a, b in zip(result, exact, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_rules_with_traces_decline_it():
    network = Recurrent(INPUTS, CLASSES, lif, hidden=[4], readout_max=True)
    reason = ALGORITHMS["eprop"].factory().supports(network, Classification(CLASSES), 5)
    assert reason is not None and "no leaky integrator with a constant leak" in reason


def test_recurrent_and_layered_have_the_same_readout_of_two_stages():
    """The maximum of SpyTorch's readout, out ← β out + flt, flt ← α flt + W z, with τ = 10 and τ_s = 5."""
    synapse = {"tau": 5.0, "delay": 1, "gain": "unit"}
    options = {"recurrent_weights": False, "readout_tau": 10.0, "readout_synapse": synapse, "readout_max": True}
    ours = recurrent(lif, hidden=[6], **options)
    readout = {"tau": 10.0, "synapse": synapse, "max": True}
    layered = Layered(INPUTS, CLASSES, lif, layers=[{"dense": 6}], readouts=[readout]).double()
    layered.load_state_dict({name.replace("inward", "from_input"): p for name, p in ours.state_dict().items()})
    x, state = sequence()[0], ours.initial_state(5)
    window = ours.unroll(x, state)
    assert 0 < float(window.spikes[0].detach().mean()) < 1
    assert torch.equal(layered.unroll(x, layered.initial_state(5)).outputs, window.outputs)
    outs = [torch.zeros(5, CLASSES, dtype=torch.float64)]
    flt = ours.readout.linear(window.spikes[0][0])
    for z in window.spikes[0][1:]:
        outs.append(math.exp(-1 / 10) * outs[-1] + flt)
        flt = math.exp(-1 / 5) * flt + ours.readout.linear(z)
    torch.testing.assert_close(window.outputs, torch.stack(outs).cummax(0).values)


def test_it_needs_a_constant_leak():
    with pytest.raises(ValueError, match="readout_max would do nothing without readout_leak: constant"):
        Recurrent(INPUTS, CLASSES, lif, readout_leak="gated", readout_max=True)
