"""Surrogate gradients: published values, the smooth functions they are derivatives of, and `smoothed`."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.neurons.surrogate import (
    SURROGATES,
    ScaledSurrogate,
    constant,
    smoothed,
    spike,
    surrogate_key,
    surrogate_of,
)
from throughtime.numerics.flat import Flat
from throughtime.numerics.loops import without_compiled_loops
from throughtime.registry import NEURONS

F64 = torch.float64
NAMES = sorted(SURROGATES)


def h(name: str, *x: float) -> list[float]:
    return SURROGATES[name].h(torch.tensor(x, dtype=F64)).tolist()


def integral(name: str, reach: float) -> float:
    low, high = SURROGATES[name].smooth(torch.tensor([-reach, reach], dtype=F64)).tolist()
    return high - low


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "multi_gaussian",
            {0: 0.731853, 0.1: 0.690580, 0.3: 0.431430, 0.5: 0.159085, 1: -0.025263, 1.1184: -0.026443, 2: -0.017989},
        ),
        ("wide_multi_gaussian", {0: 0.439112, 0.5: 0.258858, 1: 0.043452, 1.864: -0.015866}),
    ],
)
def test_multi_gaussians_have_the_values_of_the_released_code(name, values):
    assert h(name, *values) == pytest.approx([*values.values()], abs=5e-7)
    assert h(name, *(-x for x in values)) == pytest.approx([*values.values()], abs=5e-7)


@pytest.mark.parametrize(("name", "zero"), [("multi_gaussian", 0.7633), ("wide_multi_gaussian", 1.2722)])
def test_multi_gaussians_change_sign_where_the_released_code_does(name, zero):
    inside, outside = h(name, zero - 1e-4, zero + 1e-4)
    assert inside > 0 > outside


def test_the_others_by_hand():
    # γ (1 − |x|) with γ = 0.3;  1/(1 + 25·0.04)² = 1/2²,  1/(1 + 25·0.12)² = 1/4²;  1/(1 + (π x)²) at x = 1/π, 2/π
    assert h("triangle", 0, 0.5, -0.5, 1, 3) == pytest.approx([0.3, 0.15, 0.15, 0, 0])
    assert h("fast_sigmoid", 0, 0.04, -0.12) == pytest.approx([1, 1 / 4, 1 / 16])
    assert h("arctan", 0, 1 / math.pi, -2 / math.pi) == pytest.approx([1, 1 / 2, 1 / 5])
    # exp(−5 |x|);  (1.15 exp(−2 x²) − 0.05 exp(−x²/18)) / √(2π), the densities of standard deviation 1/2 and 3 by 1/2
    assert h("exponential", 0, 0.2, -0.4) == pytest.approx([1, math.exp(-1), math.exp(-2)])
    expected = [(1.15 * math.exp(-2 * x**2) - 0.05 * math.exp(-(x**2) / 18)) / math.sqrt(2 * math.pi) for x in (0, -1)]
    assert h("double_gaussian", 0, -1) == pytest.approx(expected)


def test_slope_and_height_by_hand():
    def scaled(name: str, slope: float | None, height: float | None, *x: float) -> list[float]:
        key = surrogate_key({"name": name, "slope": slope, "height": height})
        return surrogate_of(key).h(torch.tensor(x, dtype=F64)).tolist()

    # A max(0, 1 − k |x|), A / (1 + k |x|)², A exp(−k |x|), A / (1 + (k x)²)
    assert scaled("triangle", 2, 0.5, 0, 0.25, -0.25, 0.5) == pytest.approx([0.5, 0.25, 0.25, 0], abs=1e-15)
    assert scaled("fast_sigmoid", 100, None, 0, 0.01, -0.03) == pytest.approx([1, 1 / 4, 1 / 16])
    assert scaled("exponential", None, 0.4, 0, -0.2) == pytest.approx([0.4, 0.4 * math.exp(-1)])
    assert scaled("arctan", 1, 2, 0, 1, -2) == pytest.approx([2, 1, 0.4])
    # with l = 0.3 in place of 0.5 one sum of Gaussians is the other
    assert scaled("wide_multi_gaussian", 1 / 0.3, 0.731853, 0.1, 0.5, -1) == pytest.approx(
        [0.690580, 0.159085, -0.025263], abs=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_scaled_surrogate_is_the_derivative_of_its_smooth_function(name):
    surrogate = surrogate_of(surrogate_key(ScaledSurrogate(name=name, slope=3.0, height=0.7)))
    x = torch.tensor([-0.7, -0.2, -0.05, 0.05, 0.3, 0.6], dtype=F64)
    differences = (surrogate.smooth(x + 1e-6) - surrogate.smooth(x - 1e-6)) / 2e-6
    torch.testing.assert_close(differences, surrogate.h(x), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("surrogate", "error"),
    [({"name": "triangel"}, "name"), ({"name": "arctan", "slope": 0}, "slope"), ({"slope": 2}, "name")],
)
def test_a_surrogate_that_does_not_exist_is_refused(surrogate, error):
    with pytest.raises(ValidationError, match=f"surrogate.mapping.{error}"):
        NEURONS["lif"].checked({"surrogate": surrogate})


@pytest.mark.parametrize("name", NAMES)
def test_a_surrogate_is_the_derivative_of_its_smooth_function(name):
    x = torch.linspace(-2.5, 2.5, 1000, dtype=F64)  # 0 and ±1, where some have a kink, are not among them
    ε = 1e-5
    smooth = SURROGATES[name].smooth
    differences = (smooth(x + ε) - smooth(x - ε)) / (2 * ε)
    torch.testing.assert_close(differences, SURROGATES[name].h(x), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "expected"),
    # γ (1 + η − 2 η) = 0.5 · 0.85, of any width;  γ · 1, the triangle's area;  2 ∫₀^∞ dx/(1 + 25 x)² = 2/25;
    # [atan(π x)/π] = 1;  2 ∫₀^∞ exp(−5 x) dx = 2/5;  γ (1 + η − 2 η) again
    [
        ("multi_gaussian", 0.425),
        ("wide_multi_gaussian", 0.425),
        ("triangle", 0.3),
        ("fast_sigmoid", 0.08),
        ("arctan", 1.0),
        ("exponential", 0.4),
        ("double_gaussian", 0.425),
    ],
)
def test_integrals(name, expected):
    assert integral(name, 1e6) == pytest.approx(expected, abs=1e-6)
    x = torch.linspace(-15, 15, 300_001, dtype=F64)
    assert float(torch.trapezoid(SURROGATES[name].h(x), x)) == pytest.approx(integral(name, 15), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_spike_is_a_step_with_no_spike_at_zero_and_the_surrogate_as_gradient(name):
    x = torch.tensor([-0.1, 0, 0.1], dtype=F64, requires_grad=True)
    z = spike(x, name)
    assert z.dtype is F64
    assert z.tolist() == [0, 0, 1]
    (2 * z).sum().backward()
    assert x.grad.tolist() == pytest.approx([2 * value for value in h(name, -0.1, 0, 0.1)])


def test_spike_can_be_mapped_over_a_batch():
    x = torch.tensor([-0.1, 0.3], dtype=F64)
    gradient = torch.func.vmap(torch.func.grad(lambda x: spike(x, "triangle")))(x)
    assert gradient.tolist() == pytest.approx([0.27, 0.21])


@pytest.mark.parametrize("name", NAMES)
def test_smoothed_spikes_are_the_smooth_function_in_value_and_gradient(name):
    x = torch.tensor([-0.3, 0.0, 0.7], dtype=F64, requires_grad=True)
    with smoothed():
        z = spike(x, name)
    assert z.tolist() == SURROGATES[name].smooth(x).tolist()
    z.sum().backward()
    assert x.grad.tolist() == pytest.approx(h(name, -0.3, 0.0, 0.7))


def test_stop_gradient_stops_it_but_not_in_smoothed():
    x = torch.ones(2, requires_grad=True)
    assert torch.equal(constant(x), x) and not constant(x).requires_grad
    with smoothed():
        assert constant(x).requires_grad
    assert not constant(x).requires_grad


def test_smoothed_ends_with_an_error_inside_it():
    with pytest.raises(KeyError), smoothed():
        raise KeyError
    assert spike(torch.ones(1), "triangle").tolist() == [1]


@pytest.mark.parametrize("name", NAMES)
def test_loops_are_the_operations_far_away_too(name):
    x = torch.tensor([-math.inf, -1e30, -2.0, -1.0, -0.3, 0.0, 0.4, 1.0, 5.0, 1e30, math.inf, math.nan], dtype=F64)
    fast = SURROGATES[name].h(x)
    with without_compiled_loops():
        plain = SURROGATES[name].h(x)
    torch.testing.assert_close(fast, plain, rtol=1e-14, atol=1e-16, equal_nan=True)
    assert fast[[0, -2]].tolist() == [0, 0]


@pytest.mark.parametrize("one_step", [False, True], ids=["window", "single steps"])
@pytest.mark.parametrize("name", NAMES)
def test_compiled_steps_have_the_gradient_of_the_surrogate(name, one_step):
    """By hand: one neuron with v = (1 − α) w x, x = 1, and an output y = z, so that dy/dw = h(v/θ − 1) (1 − α)/θ."""
    α, θ, w = math.exp(-1 / 2), 0.5, 1.5
    net = Recurrent(1, 1, lambda size: LIF(size, tau=2.0, threshold=θ, surrogate=name), hidden=[1], readout_tau=0.0)
    net.double()
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net.layers[0].inward.weight.fill_(w)
        net.readout.linear.weight.fill_(1.0)
    x, state, weight = torch.ones(1, 1, 1, dtype=F64), net.initial_state(1), net.layers[0].inward.weight
    if one_step:
        taken = net.stepper(state, Flat([*net.parameters()]).places())
        assert taken is not None
        taken.step(x[0])
        taken.gradient(torch.ones(1, 1, dtype=F64))
    else:
        net.unroll(x, state).outputs.sum().backward()
    (expected,) = h(name, (1 - α) * w / θ - 1)
    assert float(weight.grad) == pytest.approx(expected * (1 - α) / θ, rel=1e-6)
