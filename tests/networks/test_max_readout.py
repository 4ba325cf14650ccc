"""The maximum over time of a readout: by hand, in windows and steps, and the gradient from the step of the maximum."""

from __future__ import annotations

import pytest
import torch

from throughtime.checks.tiny import CLASSES, INPUTS, learn, recurrent, sequence
from throughtime.checks.window import by_layers
from throughtime.datasets.task import Classification
from throughtime.networks.readout import MaxReadout
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.registry import ALGORITHMS


def lif(size: int) -> LIF:
    return LIF(size, tau=2.0)


def test_by_hand():
    """κ = 1/2: u = 1, 2.5, −0.75, 1.625 for d = 2, 4, −4, 4; the maximum is that of the second step."""
    readout = MaxReadout(1, 1, "z", 0.5, layer="layer1").double()
    d = torch.tensor([2.0, 4.0, -4.0, 4.0], dtype=torch.float64, requires_grad=True)
    states = readout.unroll(d.view(4, 1, 1), readout.initial_state(1).double())
    assert states.shape == (4, 1, 2, 1)
    assert states[:, 0, 1, 0].tolist() == [1.0, 2.5, -0.75, 1.625]
    assert readout.output(states).flatten().tolist() == [1.0, 2.5, 2.5, 2.5]
    (gradient,) = torch.autograd.grad(readout.output(states)[-1].sum(), d)
    assert gradient.tolist() == [0.25, 0.5, 0.0, 0.0], "κ (1 − κ) and 1 − κ: what follows the maximum has no effect"


def test_a_negative_maximum_is_below_zero():
    readout = MaxReadout(1, 1, "z", 0.0, layer="layer1")
    states = readout.unroll(torch.tensor([-3.0, -1.0, -2.0]).view(3, 1, 1), readout.initial_state(1))
    assert readout.output(states).flatten().tolist() == [-3.0, -1.0, -1.0]


def test_windows_steps_and_layers_agree():
    network = recurrent(lif, readout_max=True, readout="membrane")
    x, state = sequence()[0], network.initial_state(5)
    window = network.unroll(x, state)
    plain = recurrent(lif, readout="membrane").unroll(x, state._replace(y=state.y[:, 1])).outputs
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
    found = learn(ALGORITHMS[rule].factory(), recurrent(lif, readout_max=True), (x, target)).total()
    assert any(g.any() for g in found)
    if rule == "rtrl":
        exact = learn(ALGORITHMS["bptt"].factory(), recurrent(lif, readout_max=True), (x, target)).total()
        for a, b in zip(found, exact, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_rules_with_traces_decline_it():
    network = Recurrent(INPUTS, CLASSES, lif, hidden=[4], readout_max=True)
    reason = ALGORITHMS["eprop"].factory().supports(network, Classification(CLASSES), 5)
    assert reason is not None and "no leaky integrator with a constant leak" in reason


def test_it_needs_a_constant_leak():
    with pytest.raises(ValueError, match="readout_max would do nothing without readout_leak: constant"):
        Recurrent(INPUTS, CLASSES, lif, readout_leak="gated", readout_max=True)
