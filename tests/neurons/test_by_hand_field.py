"""Three steps of the field's neurons with their defaults, from their equations in dual numbers.

The equations are written out once more, on numbers with a derivative by the first current, in another order than in the
neurons; a spike has its surrogate's derivative where the gradient flows, and none where it is cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.adlif import AdLIF
from throughtime.neurons.base import Neuron
from throughtime.neurons.brf import BRF
from throughtime.neurons.cuba import Cuba
from throughtime.neurons.elstm import ELSTM
from throughtime.neurons.glif import GLIF
from throughtime.neurons.gru import GRU
from throughtime.neurons.izhikevich import Izhikevich
from throughtime.neurons.leaky_tanh import LeakyTanh
from throughtime.neurons.lru import LRU
from throughtime.neurons.plif import PLIF
from throughtime.neurons.rf import RF
from throughtime.neurons.ssnu import SSNU


class D(NamedTuple):
    """A number x and its derivative d by the first current."""

    x: float
    d: float = 0.0

    def __add__(self, other):
        return D(self.x + field_of(other).x, self.d + field_of(other).d)

    def __mul__(self, other):
        return D(self.x * field_of(other).x, self.d * field_of(other).x + self.x * field_of(other).d)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return -1.0 * self

    def __sub__(self, other):
        return self + -field_of(other)

    def __rsub__(self, other):
        return field_of(other) - self

    def fixed(self):
        return D(self.x)

    def through(self, f, slope):
        return D(f(self.x), slope(self.x) * self.d)


def field_of(x):
    return x if isinstance(x, D) else D(float(x))


def spike(x: D, h: Callable[[float], float]) -> D:
    return x.through(lambda a: float(a > 0), h)


def arctan(x: float) -> float:
    return 1 / (1 + (math.pi * x) ** 2)


def fast_sigmoid(x: float) -> float:
    return 1 / (1 + 25 * abs(x)) ** 2


def double_gaussian(x: float) -> float:
    return (1.15 * math.exp(-2 * x * x) - 0.05 * math.exp(-x * x / 18)) / math.sqrt(2 * math.pi)


def σ(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def expected_of(step, state: dict[str, D], currents: tuple[float, ...]) -> list[dict[str, D]]:
    """States after each step; the first current is the variable."""
    states = []
    for t, I in enumerate(currents):
        state = {name: field_of(value) for name, value in step(D(I, float(t == 0)), **state).items()}
        states.append(state)
    return states


def assert_steps(neuron: Neuron, step, first: dict[str, float], currents: tuple[float, ...], spikes: list[int]) -> None:
    """Assert that each field after each step, and the gradient of the last v and z, are those of the equations."""
    neuron = neuron.double()
    expected = expected_of(step, {name: D(x) for name, x in first.items()}, currents)
    I = torch.tensor(currents, dtype=torch.float64, requires_grad=True)
    state, result = neuron.initial_state(1, I), []
    assert {name: float(value) for name, value in state._asdict().items()} == pytest.approx(first)
    for t in range(len(currents)):
        current = I[t].reshape(1, 1)
        if neuron.currents == 2:  # the second is −0.3 times the first
            current = torch.cat((current, -0.3 * current), 1)
        z, state = neuron(current, state)
        assert z is state.z
        result.append({name: float(value.detach()) for name, value in state._asdict().items()})
    for values, wanted in zip(result, expected, strict=True):
        assert values == pytest.approx({name: value.x for name, value in wanted.items()}, rel=1e-6, abs=1e-12)
    if neuron.spiking:
        assert [values["z"] for values in result] == spikes
    for field in ("v", "z"):
        (slope,) = torch.autograd.grad(getattr(state, field).sum(), I, retain_graph=True)
        assert float(slope[0]) == pytest.approx(expected[-1][field].d, rel=1e-5, abs=1e-14) and slope[0] != 0


def given(neuron: Neuron, **values: float) -> Neuron:
    """The neuron with these values of its parameters."""
    with torch.no_grad():
        for name, value in values.items():
            getattr(neuron, name).fill_(value)
    return neuron


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_cuba(reset):
    α, γ = math.exp(-1 / 10), math.exp(-1 / 5)

    def step(I, i, v, z):
        i, cut = I + γ * i, z.fixed()
        v = (1 - cut) * v * α + (1 - α) * i if reset == "zero" else α * v + (1 - α) * i - cut
        return {"i": i, "v": v, "z": spike(v - 1, fast_sigmoid)}

    # v₁ = (1 − e^−0.1) 11 = 1.0468 spikes, and i₂ = 11 e^−0.2 − 6 = 3.006
    assert_steps(Cuba(1, reset=reset), step, {"i": 0, "v": 0, "z": 0}, (11.0, -6.0, 10.0), [1, 0, 1])


@pytest.mark.parametrize("gain", ["unit", "leak"])
def test_cuba_that_integrates_the_current_of_the_step_before(gain):
    """SpyTorch's step, mem ← (β mem + syn)(1 − rst), syn ← α syn + I; with (1 − β) syn that of Zenke and Vogels."""
    α, β = math.exp(-1 / 5), math.exp(-1 / 10)

    def step(I, i, v, z):
        v = (β * v + (1 if gain == "unit" else 1 - β) * i) * (1 - z.fixed())
        return {"i": α * i + I, "v": v, "z": spike(v - 1, fast_sigmoid)}

    # v: 0; 11 or 1.0468, a spike; 0, without the current; 12.5 or 1.19, the current alone
    neuron = Cuba(1, delay=1, input_gain=gain, reset="zero_with_input")
    assert_steps(neuron, step, {"i": 0, "v": 0, "z": 0}, (11.0, -6.0, 10.0, 0.1), [0, 1, 0, 1])


@pytest.mark.parametrize("flows", [False, True])
def test_plif(flows):
    def step(I, v, z):
        u = 0.5 * v + 0.5 * I  # 1/τ = σ(0) = 1/2
        z = spike(u - 1, arctan)
        return {"v": u - (z if flows else z.fixed()) * u, "z": z}

    neuron = PLIF(1, reset_gradient=flows)
    assert_steps(neuron, step, {"v": 0, "z": 0}, (1.6, 0.6, 0.9), [0, 0, 0])
    if flows:  # the first step spikes, and v₁ = 0: the gradient passes through the reset alone
        assert_steps(neuron, step, {"v": 0, "z": 0}, (2.6, 0.6, 1.1), [1, 0, 0])
        return
    I = torch.tensor([[2.6]], dtype=torch.float64, requires_grad=True)
    _, state = neuron(I, neuron.initial_state(1, I))
    assert float(state.v.detach()) == 0 and float(torch.autograd.grad(state.v.sum(), I)[0]) == 0


def test_izhikevich():
    def step(I, v, u, z):
        v, u = v - z * (v + 65), u + 8 * z
        for _ in range(2):
            v = v + 0.02 * (v * v) + 2.5 * v + 70 - 0.5 * u + 5 * I
        u = 0.98 * u + 0.004 * v
        return {"v": v, "u": u, "z": spike((v - 30) * (1 / 30), arctan)}

    # v is −65, then v′ = −65 + ½ (169 − 325 + 140 + 13 + 10 I): I = 8 ends above 30 mV after two half-steps
    assert_steps(Izhikevich(1), step, {"v": -65, "u": -13, "z": 0}, (8.0, 0.5, 0.2), [1, 0, 0])


def test_adlif():
    α, ρ = math.exp(-1 / 15), math.exp(-1 / 180)  # the middle of the ranges, a = 1/2, b = 1

    def step(I, v, w, z):
        u = α * v + (1 - α) * (I - w)
        z = spike(u - 1, lambda x: math.exp(-5 * abs(x)))
        v = (1 - z.fixed()) * u
        return {"v": v, "w": ρ * w + (1 - ρ) * 120 * (0.5 * v + z), "z": z}

    neuron = given(AdLIF(1), tau=0, tau_adaptation=0, a=0, b=0)
    assert_steps(neuron, step, {"v": 0, "w": 0, "z": 0}, (9.0, 12.0, 3.0), [0, 1, 0])


def test_rf():
    def step(I, v, w, z):
        v, w = v - 0.02 * v - 0.07 * w + 0.01 * I, w + 0.07 * v - 0.02 * w  # δ = 0.01, ω = −7 and b_0 = 2
        return {"v": v, "w": w, "z": spike(v - 1, double_gaussian)}

    assert_steps(given(RF(1), omega=-7.0, damping=2.0), step, {"v": 0, "w": 0, "z": 0}, (60.0, 70.0, -40.0), [0, 1, 0])


def test_brf():
    p = (math.sqrt(1 - 0.06**2) - 1) / 0.01

    def step(I, v, w, q, z):
        b = p - 1.5 - q  # δ = 0.01, ω = 6 and b_0 = −1.5
        v, w = v + 0.01 * b * v - 0.06 * w + 0.01 * I, w + 0.06 * v + 0.01 * b * w
        z = spike(v - 1 - q, double_gaussian)
        return {"v": v, "w": w, "q": 0.9 * q + z, "z": z}

    neuron = given(BRF(1), omega=6.0, damping=-1.5)
    # the second step is above θ, but below θ + q = 2
    first = {"v": 0, "w": 0, "q": 0, "z": 0}
    assert_steps(neuron, step, first, (120.0, 40.0, 150.0), [1, 0, 1])


def test_brf_without_damping_and_input_keeps_its_modulus():
    neuron = given(BRF(1, omega_max=9.0), omega=9.0, damping=0.0).double()
    state = neuron.initial_state(1, torch.zeros(1, dtype=torch.float64))
    state = state._replace(v=state.v + 0.3, w=state.w - 0.4)
    for _ in range(1000):
        _, state = neuron(torch.zeros(1, 1, dtype=torch.float64), state)
    assert float(torch.hypot(state.v, state.w).detach()) == pytest.approx(0.5, rel=1e-11)


def test_brf_refuses_frequencies_beyond_the_step():
    with pytest.raises(ValueError, match=r"dt · omega_max is 1.2; the square root in p\(ω\) needs less than 1"):
        BRF(1, omega_max=120.0)


@pytest.mark.parametrize("parameters", ["neuron", "layer"])
def test_glif(parameters):
    α, β, γ = σ(0.05), σ(-0.08), σ(0.1)

    def step(I, v, z):
        leaked = (α * 0.25 + (1 - α)) * (1 - γ * z) * v - (1 - α) * 0.0625
        v = leaked + (β * 0.5 + (1 - β)) * I - (1 - γ) * 0.5 * z
        return {"v": v, "z": spike(v - 0.5, arctan)}

    neuron = given(GLIF(1, parameters=parameters), alpha=0.05, beta=-0.08, gamma=0.1)
    assert neuron.alpha.shape == ((1,) if parameters == "neuron" else ())
    assert_steps(neuron, step, {"v": 0, "z": 0}, (0.9, 0.4, 0.7), [1, 0, 1])


def test_ssnu():
    def step(I, v, z):
        v = I + 0.4 * v * (1 - z)
        return {"v": v, "z": (v - 1).through(σ, lambda x: σ(x) * σ(-x))}

    assert_steps(SSNU(1), step, {"v": 0, "z": 0}, (1.3, -0.4, 0.9), [])


def test_leaky_tanh():
    def step(I, v, z):
        h = 0.9 * v + 0.1 * I.through(math.tanh, lambda x: 1 - math.tanh(x) ** 2)
        return {"v": h, "z": h}

    assert_steps(LeakyTanh(1), step, {"v": 0, "z": 0}, (1.3, -0.4, 0.9), [])


def test_lru():
    λ, γ = 0.9 * complex(math.cos(0.5), math.sin(0.5)), 0.7

    def step(I, w, v, z):
        v, w = λ.real * v - λ.imag * w + γ * I, λ.imag * v + λ.real * w - 0.3 * γ * I
        return {"w": w, "v": v, "z": v}

    neuron = given(LRU(1), nu=math.log(-math.log(0.9)), phase=math.log(0.5), gain=math.log(γ))
    assert_steps(neuron, step, {"w": 0, "v": 0, "z": 0}, (1.3, -0.4, 0.9), [])
    # The gradient is that of the complex recurrence: Re(λ² γ (1 − 0.3 i)).
    last = expected_of(step, {"w": D(0), "v": D(0), "z": D(0)}, (1.3, -0.4, 0.9))[-1]
    assert last["v"].d == pytest.approx((λ**2 * γ * (1 - 0.3j)).real)


def test_elstm():
    """w_z = 0.5, w_f = −1.2."""

    def step(I, v, z):
        f = (-0.3 * I - 1.2 * v).through(σ, lambda x: σ(x) * (1 - σ(x)))
        a = (I + 0.5 * v).through(math.tanh, lambda x: 1 - math.tanh(x) ** 2)
        v = f * v + (1 - f) * a
        return {"v": v, "z": v}

    assert_steps(given(ELSTM(1), w_z=0.5, w_f=-1.2), step, {"v": 0, "z": 0}, (1.3, -0.4, 0.9), [])


def test_lru_is_drawn_uniformly_in_a_ring_with_normalised_input():
    torch.manual_seed(0)
    neuron = LRU(20_000, r_min=0.5, r_max=0.9, phase_max=1.0)
    r, φ = torch.exp(-torch.exp(neuron.nu)).detach(), torch.exp(neuron.phase).detach()
    assert 0.5 <= float(r.min()) < 0.505 and 0.895 < float(r.max()) <= 0.9 + 1e-6
    # Uniform in area: r² is uniform over (0.25, 0.81), with mean 0.53.
    assert float((r * r).mean()) == pytest.approx(0.53, abs=0.005)
    assert float(φ.max()) <= 1.0 and float(φ.mean()) == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(torch.exp(neuron.gain).detach(), torch.sqrt(1 - r * r), rtol=1e-4, atol=1e-6)


def test_adlif_draws_are_uniform_over_the_ranges():
    torch.manual_seed(0)
    neuron = AdLIF(20_000)
    for value in (neuron.tau, neuron.tau_adaptation, neuron.a, neuron.b):
        u = torch.sigmoid(value.detach())
        assert float(u.mean()) == pytest.approx(0.5, abs=0.01) and float(u.std()) == pytest.approx(12**-0.5, abs=0.01)


def test_a_layer_of_gru_is_pytorchs():
    """Without the two blocks that torch.nn.GRU lacks; h₀ = 0, and the output is h."""
    torch.manual_seed(0)
    size, inputs = 4, 3
    theirs = torch.nn.GRU(inputs, size).double()
    ours = Recurrent(inputs, 2, GRU, hidden=[size]).double()
    W, R = ours.layers[0].inward, ours.layers[0].recurrent
    W_ih, W_hh, b_ih, b_hh = (p.detach() for p in theirs.parameters())
    none = torch.zeros(size, inputs), torch.zeros(size, size)
    with torch.no_grad():
        W.weight.copy_(torch.cat((W_ih, none[0])))
        R.weight.copy_(torch.cat((W_hh[: 2 * size], none[1], W_hh[2 * size :])))
        W.bias.copy_(torch.cat((b_ih[: 2 * size] + b_hh[: 2 * size], b_ih[2 * size :], b_hh[2 * size :])))
    x = torch.randn(7, 5, inputs, dtype=torch.float64)
    h, _ = theirs(x)
    result = ours.unroll(x, ours.initial_state(5)).spikes[0]
    torch.testing.assert_close(result, h)
    result.square().sum().backward()
    h.square().sum().backward()
    torch.testing.assert_close(W.weight.grad[: 3 * size], theirs.weight_ih_l0.grad)
    torch.testing.assert_close(R.weight.grad[3 * size :], theirs.weight_hh_l0.grad[2 * size :])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (LRU, {"r_min": 0.5, "r_max": 0.4}, r"r_min is 0\.5; it must not exceed r_max, 0\.4"),
        (AdLIF, {"tau_min": 30.0}, "tau_min is 30; it must not exceed tau_max, 25"),
        (RF, {"damping_min": 4.0}, "damping_min is 4; it must not exceed damping_max, 3"),
        (BRF, {"omega_max": 4.0}, "omega_min is 5; it must not exceed omega_max, 4"),
    ],
)
def test_reversed_ranges_are_refused(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(1, **options)
