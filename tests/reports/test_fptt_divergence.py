"""Why BPTT of the adding task can become NaN: states are bounded, gradients through surrogates are not.

One neuron rests at its threshold, θ = I = v = 1/2, with an open gate of a = 1/2 and a recurrent weight w, and never
spikes. Its surrogate derivative there is h(0), so that the gradient grows at each step by

    λ = (1 − a) (1 − θ h(0)) + a w h(0)
"""

from __future__ import annotations

import math

import pytest
import torch

import throughtime as tt
from throughtime.harness.clock import Clock
from throughtime.harness.updater import Updater
from throughtime.reports.fptt.evidence import growth_that_overflows
from throughtime.spec import Training

H_0 = 0.731853
"""h(0) of the authors' multi-Gaussian."""
W = 3.0
GROWTH = 0.5 * (1 - 0.5 * H_0) + 0.5 * W * H_0


def at_threshold(dtype: torch.dtype):
    net = tt.build_network("adding_snn", inputs=2, outputs=1, neuron="ltc_adding", hidden=[1]).to(dtype)
    values = {"layers.0.inward.bias": 0.5, "layers.0.recurrent.weight": W, "readout.linear.weight": 1.0}
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.fill_(values.get(name, 0.0))
    return net


def trained_on(net, T: int) -> tuple[float, float]:
    """Return the output after T steps, and its gradient with respect to the current's bias."""
    x = torch.zeros(T, 1, 2, dtype=net.readout.linear.weight.dtype)
    net.zero_grad()
    window = net.unroll(x, net.initial_state(1))
    window.outputs[-1].sum().backward()
    assert not window.spikes[0].any()
    return float(window.outputs[-1].detach()), float(net.layers[0].inward.bias.grad)


@pytest.mark.usefixtures("tensor_operations")
def test_the_gradient_of_a_silent_neuron_grows_by_its_surrogate():
    net = at_threshold(torch.float64)
    outputs, (before, after) = zip(*(trained_on(net, T) for T in (200, 201)), strict=True)
    assert outputs == (0.5, 0.5) and after / before == pytest.approx(GROWTH, rel=1e-6)


@pytest.mark.usefixtures("tensor_operations")
def test_float32_overflows_at_500_steps_and_not_at_200():
    """1.415 a step is more than 1.194, the growth that overflows in 500 steps, and less than 1.558 of 200."""
    assert growth_that_overflows(500) < GROWTH < growth_that_overflows(200)
    net = at_threshold(torch.float32)
    for T, finite in ((200, True), (500, False)):
        output, gradient = trained_on(net, T)
        assert output == 0.5 and math.isfinite(gradient) == finite
    assert 1e70 < trained_on(at_threshold(torch.float64), 500)[1] < 1e80


@pytest.mark.usefixtures("tensor_operations")
def test_clipping_then_makes_the_weights_nan_and_the_next_loss():
    for T, finite in ((200, True), (500, False)):
        net = at_threshold(torch.float32)
        trained_on(net, T)
        Updater([*net.parameters()], Training(learning_rate=3e-3, clip=1.0), Clock())()
        assert bool(net.layers[0].recurrent.weight.isfinite()) == finite
        with torch.no_grad():
            output = net.unroll(torch.zeros(5, 1, 2), net.initial_state(1)).outputs[-1]
        assert math.isfinite(float(output)) == finite


@torch.no_grad()
def test_states_are_bounded_by_the_current_whatever_the_weights():
    """v_t is a mean of v_{t−1} and I_t, or 0: weights of ordinary size give a finite loss at any length."""
    torch.manual_seed(0)
    net = tt.build_network("adding_snn", inputs=2, outputs=1, neuron="ltc_adding", hidden=[8])
    for p in net.parameters():
        p.mul_(100)
    inward, recurrent = net.layers[0].inward, net.layers[0].recurrent.weight
    largest = (inward.weight.abs().sum(1) + inward.bias.abs() + recurrent.abs().sum(1)).max()
    state = net.initial_state(4)
    for x in torch.rand(300, 1, 4, 2):
        state = net.unroll(x, state).state
        assert state.layers[0].v.abs().max() <= largest
    assert largest > 100 and state.layers[0].v.abs().max() > 1
