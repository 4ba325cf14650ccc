"""Neurons: a few steps worked by hand, and claimed partial derivatives against autograd."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from throughtime.neurons.alif import ALIF
from throughtime.neurons.asrnn import ASRNN
from throughtime.neurons.base import Neuron, Partials
from throughtime.neurons.lif import LIF
from throughtime.neurons.lstm import LSTM, LSTMState
from throughtime.neurons.ltc import LTC, LTCState
from throughtime.neurons.rnn import RNN
from throughtime.neurons.surrogate import smoothed
from throughtime.registry import NEURONS

F64 = torch.float64
SPIKING = [name for name in NEURONS.names() if NEURONS[name].factory(1).spiking]


def number(value: float) -> Tensor:
    return torch.tensor([[value]], dtype=F64)


@torch.no_grad()
def run(neuron, currents, state=None):
    """Feed one neuron a list of currents; return the states after each step."""
    state = neuron.initial_state(1, torch.zeros(1, dtype=F64)) if state is None else state
    states = []
    for current in currents:
        _, state = neuron(torch.as_tensor(current, dtype=F64).reshape(1, -1), state)
        states.append(state)
    return states


def test_lif_by_hand():
    # α = 1/2 (τ = 1/ln 2), θ = 1.  v1 = 1.6/2 = 0.8;  v2 = 0.4 + 0.8 = 1.2 -> spike;  v3 = 0.6 + 0.8 − 1 = 0.4;
    # v4 = 0.2 + 0 = 0.2
    states = run(LIF(1, tau=1 / math.log(2), threshold=1.0), [1.6, 1.6, 1.6, 0.0])
    assert [float(s.v) for s in states] == pytest.approx([0.8, 1.2, 0.4, 0.2])
    assert [float(s.z) for s in states] == [0, 1, 0, 0]


def test_alif_by_hand():
    # α = ρ = 1/2, θ = 1, β = 2.   v1 = 2.4/2 = 1.2 -> spike (A = 1);
    # a2 = 0.5, A = 2, v2 = 0.6 + 1.5 − 1 = 1.1: none though v > θ;
    # a3 = 0.25, A = 1.5, v3 = 0.55 + 1 = 1.55 -> spike;  a4 = 0.125 + 0.5 = 0.625, v4 = 0.775 − 1 = −0.225
    half = 1 / math.log(2)
    states = run(ALIF(1, tau=half, tau_adaptation=half, threshold=1.0, beta=2.0), [2.4, 3.0, 2.0, 0.0])
    assert [float(s.v) for s in states] == pytest.approx([1.2, 1.1, 1.55, -0.225])
    assert [float(s.a) for s in states] == pytest.approx([0, 0.5, 0.25, 0.625])
    assert [float(s.z) for s in states] == [1, 0, 1, 0]


@pytest.mark.parametrize("neuron", [LIF, ALIF])
def test_time_constants_can_be_spread_over_the_neurons(neuron):
    # Three neurons, τ = 1, 10, 100: evenly spaced in the logarithm.
    expected = [math.exp(-1), math.exp(-1 / 10), math.exp(-1 / 100)]
    assert neuron(3, tau=1.0, tau_max=100.0).alpha.tolist() == pytest.approx(expected)
    assert neuron(3, tau=10.0).alpha.tolist() == pytest.approx(expected[1:2])


@pytest.mark.parametrize(
    ("decay", "tau", "tau_adaptation"),
    # exp(−ln 2) = σ(0) = 1/2;  exp(−ln 4) = σ(−ln 3) = 1/4
    [("exponential", 1 / math.log(2), 1 / math.log(4)), ("logistic", 0.0, -math.log(3))],
)
def test_asrnn_by_hand(decay, tau, tau_adaptation):
    # α = 1/2, ρ = 1/4, b0 = 0.1, β = 2, R_m = 1.
    # b1 = 0, θ1 = 0.1, v1 = 1/2 -> spike;
    # b2 = 3/4, θ2 = 1.6, v2 = 0.25 + 0.9 − 1.6 = −0.45: none;
    # b3 = 0.1875, θ3 = 0.475, v3 = −0.225 + 1.5 = 1.275 -> spike;
    # b4 = 0.046875 + 0.75 = 0.796875, θ4 = 1.69375, v4 = 0.6375 − 1.69375 = −1.05625
    options = {"tau_mean": tau, "tau_sd": 0.0, "tau_adaptation_mean": tau_adaptation, "tau_adaptation_sd": 0.0}
    neuron = ASRNN(1, decay=decay, b0=0.1, beta=2.0, **options)
    states = run(neuron, [1.0, 1.8, 3.0, 0.0])
    assert [float(s.v) for s in states] == pytest.approx([0.5, -0.45, 1.275, -1.05625])
    assert [float(s.b) for s in states] == pytest.approx([0, 0.75, 0.1875, 0.796875])
    assert [float(s.z) for s in states] == [1, 0, 1, 0]
    tripled = ASRNN(1, decay=decay, b0=0.1, beta=2.0, resistance=3.0, **options)
    assert [float(s.v) for s in run(tripled, [1 / 3, 0.6, 1.0, 0.0])] == pytest.approx([0.5, -0.45, 1.275, -1.05625])


def test_asrnn_draws_its_time_constants_from_normal_distributions():
    torch.manual_seed(0)
    neuron = ASRNN(10_000)
    for τ, mean, sd in ((neuron.tau, 20, 5), (neuron.tau_adaptation, 200, 25)):
        τ = τ.detach()
        assert τ.shape == (10_000,)
        assert float(τ.mean()) == pytest.approx(mean, abs=sd / 20)
        assert float(τ.std()) == pytest.approx(sd, rel=0.05)
        # One and two standard deviations hold 68.3 and 95.4 % of a normal draw.
        off = ((τ - mean) / sd).abs()
        assert float((off < 1).float().mean()) == pytest.approx(0.683, abs=0.02)
        assert float((off < 2).float().mean()) == pytest.approx(0.954, abs=0.01)


def test_asrnn_reset_passes_the_gradient_through_the_spike_where_it_is_to():
    # α = ρ = 1/2, b0 = 0.1, β = 1.  I1 = 0.4: v1 = 0.2, z1 = 1, dz1/dI1 = h(0.1)/2.  b2 = 0.5, θ2 = 0.6.
    # v2 = v1/2 − θ2 z1:  dv2/dI1 = 1/4 − (θ2 + β (1 − ρ) z1) dz1/dI1, without the reset's θ2 dz1/dI1 if that is cut.
    for reset_gradient, by_spike in ((True, 0.6 + 0.5), (False, 0.5)):
        options = {"tau_mean": 0.0, "tau_sd": 0.0, "tau_adaptation_mean": 0.0, "tau_adaptation_sd": 0.0}
        neuron = ASRNN(
            1, decay="logistic", b0=0.1, beta=1.0, reset_gradient=reset_gradient, surrogate="multi_gaussian", **options
        )
        current = number(0.4).requires_grad_()
        _, state = neuron(current, neuron.initial_state(1, current))
        _, state = neuron(number(0.0), state)
        assert float(state.v.detach()) == pytest.approx(0.1 - 0.6)
        (gradient,) = torch.autograd.grad(state.v.sum(), current)
        assert float(gradient) == pytest.approx(0.25 - by_spike * 0.690580 / 2, abs=1e-6)


def test_asrnn_is_reset_in_the_step_of_its_spike_where_it_is_to():
    # α = ρ = 1/2, b0 = 0.1, β = 1.  I1 = 0.4: ṽ1 = 0.2, θ1 = 0.1, z1 = 1, v1 = 0.1.
    # I2 = 1.5: b2 = 0.5, θ2 = 0.6, ṽ2 = 0.8, z2 = 1, v2 = 0.2.  I3 = 0: b3 = 0.75, ṽ3 = 0.1 < 0.85, z3 = 0, v3 = 0.1.
    options = {"tau_mean": 0.0, "tau_sd": 0.0, "tau_adaptation_mean": 0.0, "tau_adaptation_sd": 0.0}
    neuron = ASRNN(1, decay="logistic", b0=0.1, beta=1.0, reset="same_step", **options)
    state = neuron.initial_state(1, number(0.0))
    for current, v, b, z in ((0.4, 0.1, 0.0, 1.0), (1.5, 0.2, 0.5, 1.0), (0.0, 0.1, 0.75, 0.0)):
        _, state = neuron(number(current), state)
        assert [float(part.detach()) for part in state] == pytest.approx([v, b, z])


def test_asrnn_decays_by_the_magnitude_of_its_time_constants_where_it_is_to():
    both = [ASRNN(1, tau_sd=0.0, tau_mean=τ, decay="exponential_magnitude") for τ in (5.0, -5.0)]
    decays = [float(neuron.decay_of(neuron.tau).detach()) for neuron in both]
    assert decays == pytest.approx([math.exp(-1 / 5)] * 2)


def ltc_with_gates_at_half(**options):
    """All gate weights and biases zero: a = ρ = σ(0) = 1/2."""
    neuron = LTC(1, **options).double()
    for gate in (neuron.membrane_gate, neuron.adaptation_gate):
        if gate is not None:
            nn.init.zeros_(gate.weight)
            nn.init.zeros_(gate.bias)
    return neuron


@pytest.mark.parametrize("gate_input", ["concatenated", "summed"])
@pytest.mark.parametrize("slope", ["fixed", "trained"])
def test_ltc_by_hand(gate_input, slope):
    # a = ρ = 1/2, b0 = 0.1, β = 1.8.  ṽ1 = 0.2, θ1 = 0.1 -> spike, v1 = 0;
    # b2 = 0.5, θ2 = 1.0, ṽ2 = 0.5 (0 + 1) = 0.5: none;
    # b3 = 0.25, θ3 = 0.55, ṽ3 = 0.5 (0.5 + 1) = 0.75 -> spike, v3 = 0
    states = run(ltc_with_gates_at_half(gate_input=gate_input, slope=slope), [0.4, 1.0, 1.0])
    assert [float(s.v) for s in states] == pytest.approx([0, 0.5, 0])
    assert [float(s.b) for s in states] == pytest.approx([0, 0.5, 0.25])
    assert [float(s.z) for s in states] == [1, 0, 1]


def test_ltc_gates_read_current_then_state():
    # W_M = [1, 2], b_M = 0: a2 = σ(I + 2 v1).  v1 = σ(0.3) · 0.3, below b0 = 0.5;  v2 = v1 + σ(0.2 + 2 v1) (0.2 − v1)
    # W_A = [1, 3], from b0 = 1, z0 = 0:  b1 = σ(0.3 + 3);  b2 = σ(0.2 + 3 b1) b1
    neuron = LTC(1, b0=0.5).double()
    with torch.no_grad():
        neuron.membrane_gate.weight.copy_(torch.tensor([[1.0, 2.0]]))
        neuron.adaptation_gate.weight.copy_(torch.tensor([[1.0, 3.0]]))
        neuron.membrane_gate.bias.zero_()
        neuron.adaptation_gate.bias.zero_()
    states = run(neuron, [0.3, 0.2], LTCState(number(0), number(1), number(0)))
    v1 = 0.3 * σ(0.3)
    v2 = v1 + σ(0.2 + 2 * v1) * (0.2 - v1)
    b1 = σ(3.3)
    assert [float(s.v) for s in states] == pytest.approx([v1, v2])
    assert [float(s.b) for s in states] == pytest.approx([b1, σ(0.2 + 3 * b1) * b1])


def test_ltc_with_summed_gates_and_trained_slopes_by_hand():
    # W_M = 2, b_M = 1, κ1 = 3:  a = σ(3 (2 (I + v) + 1));   W_A = −1, b_A = 0, κ2 = 2:  ρ = σ(−2 (I + b)).
    # From v0 = 0.1, b0 = 0.4, z0 = 1 at I = 0.3:  a = σ(5.4), ṽ1 = 0.1 + a · 0.2;  ρ = σ(−1.4), b1 = ρ · 0.4 + (1 − ρ);
    # θ1 = 0.5 + 1.8 b1: no spike
    neuron = LTC(1, gate_input="summed", b0=0.5, slope="trained").double()
    with torch.no_grad():
        neuron.membrane_gate.weight.fill_(2)
        neuron.membrane_gate.bias.fill_(1)
        neuron.membrane_slope.fill_(3)
        neuron.adaptation_gate.weight.fill_(-1)
        neuron.adaptation_gate.bias.fill_(0)
        neuron.adaptation_slope.fill_(2)
    (state,) = run(neuron, [0.3], LTCState(number(0.1), number(0.4), number(1)))
    assert float(state.v) == pytest.approx(0.1 + σ(5.4) * 0.2)
    assert float(state.b) == pytest.approx(σ(-1.4) * 0.4 + 1 - σ(-1.4))


def σ(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_ltc_random_initial_state_by_hand():
    # v0 from U(0, 1), b0 = 0.1, z0 = 0.  One step at I = −1, a = ρ = 1/2:  b1 = 0.05, θ1 = 0.19, ṽ1 = (v0 − 1)/2 < 0
    neuron = ltc_with_gates_at_half(initial="random")
    torch.manual_seed(3)
    v0 = torch.rand(1, 1, dtype=F64)
    torch.manual_seed(3)
    state = neuron.initial_state(1, v0)
    assert [float(part) for part in state] == pytest.approx([float(v0), 0.1, 0])
    (state,) = run(neuron, [-1.0], state)
    assert [float(part) for part in state] == pytest.approx([(float(v0) - 1) / 2, 0.05, 0])


def test_ltc_random_initial_states_fill_the_unit_interval_and_differ():
    neuron = LTC(100, initial="random")
    state = neuron.initial_state(50, torch.zeros(1))
    assert 0 <= float(state.v.min()) < 0.01 and 0.99 < float(state.v.max()) < 1
    assert float(state.v.mean()) == pytest.approx(0.5, abs=0.02)
    assert not torch.equal(state.v, neuron.initial_state(50, torch.zeros(1)).v)


@pytest.mark.parametrize("adaptation", ["off", "unused"])
def test_ltc_without_adaptation_has_a_fixed_threshold(adaptation):
    # a = 1/2, θ = 0.5.  ṽ1 = 0.6 -> spike;  ṽ2 = 0.6 -> spike again, as if none had been
    neuron = ltc_with_gates_at_half(adaptation=adaptation, b0=0.5)
    states = run(neuron, [1.2, 1.2])
    assert [float(s.z) for s in states] == [1, 1]
    assert [float(s.b) for s in states] == [0, 0]


def test_ltc_adaptation_gate_that_is_off_is_not_there_and_one_unused_learns_nothing():
    # W_M: 3 x 6 and 3
    off, unused = LTC(3, adaptation="off", slope="trained"), LTC(3, adaptation="unused", slope="trained")
    assert off.adaptation_gate is off.adaptation_slope is unused.adaptation_slope is None
    assert sum(p.numel() for p in off.parameters()) == 21 + 1
    assert sum(p.numel() for p in unused.parameters()) == 2 * 21 + 1
    assert [p for p in unused.parameters() if not p.requires_grad] == [*unused.adaptation_gate.parameters()]


def test_ltc_reset_passes_the_gradient_through_the_spike_where_it_is_to():
    # v = (1 − z) ṽ, ṽ = I/2 = 0.2, z = 1: dv/dI = (1 − z)/2 − ṽ h(ṽ − θ)/2 = −0.2 · 0.690580 / 2; 0 if that is cut
    for reset_gradient, expected in ((True, -0.2 * 0.690580 / 2), (False, 0.0)):
        neuron = ltc_with_gates_at_half(adaptation="off", reset_gradient=reset_gradient)
        current = number(0.4).requires_grad_()
        _, state = neuron(current, neuron.initial_state(1, current))
        (gradient,) = torch.autograd.grad(state.v.sum(), current)
        assert float(gradient) == pytest.approx(expected, abs=1e-6)


def test_lstm_by_hand():
    # σ(ln 3) = 3/4, σ(0) = 1/2, σ(−ln 3) = 1/4, tanh(ln 2) = 3/5.  Currents in the order I, F, G, O.
    # c1 = 1/2 · ln 4 + 3/4 · tanh 0 = ln 2,                h1 = 1/4 · 3/5 = 0.15
    # c2 = 3/4 · ln 2 + 1/4 · 3/5 = 0.669860...,            h2 = 1/2 · tanh(0.669860...) = 0.292444...
    three = math.log(3)
    start = LSTMState(number(math.log(4)), number(7), number(7))  # h before is no part of the step
    states = run(LSTM(1), [[three, 0, 0, -three], [-three, three, math.log(2), 0]], start)
    assert [float(s.c) for s in states] == pytest.approx([math.log(2), 0.669860385], abs=1e-9)
    assert [float(s.z) for s in states] == pytest.approx([0.15, 0.292444019], abs=1e-9)


def test_rnn_by_hand():
    # tanh(ln 2) = 3/5, tanh(−ln 3) = −4/5; nothing stays from step to step
    states = run(RNN(1), [math.log(2), -math.log(3), 0.0])
    assert [float(s.z) for s in states] == pytest.approx([0.6, -0.8, 0])


@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_is_a_pure_step_with_v_and_z_in_its_state(name):
    neuron = NEURONS[name].factory(5)
    state = neuron.initial_state(2, torch.zeros(1))
    kept = [tensor.clone() for tensor in state]
    current = torch.randn(2, 5 * neuron.currents)
    first, second = neuron(current, state), neuron(current, state)
    assert all(torch.equal(a, b) for a, b in zip(kept, state, strict=True))
    assert torch.equal(first[0], second[0])
    assert first[1].v.shape == first[1].z.shape == first[0].shape == (2, 5)
    assert torch.equal(first[0], first[1].z)
    if neuron.spiking:
        assert set(first[0].unique().tolist()) <= {0.0, 1.0}
    elif name != "ssnu":  # its output is a function of its membrane
        assert torch.equal(first[1].v, first[1].z)


# Claimed partial derivatives, composed into whole ones of a step, against autograd.

SIZE, BATCH = 4, 3

CLAIMS = [
    ("lif", {"threshold": 0.5}),
    ("lif", {"threshold": 0.5, "tau_max": 50.0}),
    ("alif", {"threshold": 0.5}),
    ("alif", {"threshold": 0.5, "tau_max": 50.0}),
    ("asrnn", {}),
    ("asrnn", {"reset_gradient": False}),
    ("asrnn", {"reset": "same_step"}),
    ("asrnn", {"reset": "same_step", "decay": "exponential_magnitude"}),
    ("asrnn", {"reset": "same_step", "reset_gradient": False}),
    (
        "asrnn",
        {"resistance": 3.0, "tau_mean": 2.0, "tau_sd": 0.2, "tau_adaptation_mean": 4.0, "tau_adaptation_sd": 1.0},
    ),
    ("asrnn_adding", {}),
    ("asrnn", {"decay": "logistic", "tau_mean": 0.0, "tau_adaptation_mean": 0.0, "reset_gradient": False}),
    ("ltc", {}),
    ("ltc", {"gate_input": "summed"}),
    ("ltc", {"slope": "trained"}),
    ("ltc", {"gate_input": "summed", "slope": "trained", "reset_gradient": False}),
    ("ltc", {"adaptation": "off"}),
    ("ltc", {"adaptation": "off", "gate_input": "summed", "slope": "trained"}),
    ("ltc", {"adaptation": "off", "reset_gradient": False}),
    ("ltc", {"reset_gradient": False}),
    ("ltc_adding", {}),
    ("ltc_smnist", {}),
]


def labelled(claims: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    return [
        pytest.param(name, options, id=" ".join([name, *(f"{key}={value}" for key, value in options.items())]))
        for name, options in claims
    ]


def example(name: str, **options: Any) -> tuple[Neuron, Tensor, Any]:
    """A layer, currents and a state, of numbers at which spikes come and surrogates are not zero."""
    torch.manual_seed(0)
    neuron = NEURONS[name].factory(SIZE, **options).double()
    with torch.no_grad():
        for part, slope in (("membrane_slope", 2.1), ("adaptation_slope", 0.3)):
            if getattr(neuron, part, None) is not None:
                getattr(neuron, part).fill_(slope)
    state = type(neuron.initial_state(1, torch.zeros(1)))
    fields = {field: torch.rand(BATCH, SIZE, dtype=F64) / 2 for field in state._fields}
    fields["v"] *= 3
    fields["z"] = (fields["z"] > 0.25).double()
    return neuron, 2 * torch.rand(BATCH, SIZE * neuron.currents, dtype=F64) - 0.5, state(**fields)


def maps_of(neuron: Neuron) -> dict[str, nn.Linear]:
    return {name: part for name, part in neuron.named_modules() if isinstance(part, nn.Linear)}


def jacobian(neuron: Neuron, current: Tensor, state: Any) -> tuple[dict[tuple[str, str], Tensor], Any]:
    """By (s, source): d s_j / d source_i [batch, j, i]. A source is a field of the state before, `current`, the output
    of a map, or a parameter, of which each neuron and sample gets a copy. And the state after the step."""
    maps = maps_of(neuron)
    leaves = {field: part.clone().requires_grad_() for field, part in state._asdict().items()}
    before = type(state)(**leaves)
    own = {
        name: p.detach().expand(BATCH, SIZE).clone().requires_grad_()
        for name, p in neuron.named_parameters()
        if name.rpartition(".")[0] not in maps
    }
    shifts = {name: torch.zeros(BATCH, SIZE, dtype=F64, requires_grad=True) for name in maps}
    hooks = [
        module.register_forward_hook(lambda _module, _read, output, shift=shifts[name]: output + shift)
        for name, module in maps.items()
    ]
    leaves["current"] = current.clone().requires_grad_()
    leaves |= own | shifts
    _, after = functional_call(neuron, own, (leaves["current"], before))
    for hook in hooks:
        hook.remove()
    rows: dict[tuple[str, str], list[Tensor]] = {(s, source): [] for s in after._fields for source in leaves}
    for s, value in after._asdict().items():
        for j in range(SIZE):
            gradients = [torch.zeros_like(leaf) for leaf in leaves.values()]
            if value.requires_grad:
                gradients = torch.autograd.grad(
                    value[:, j].sum(),
                    list(leaves.values()),
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
            for source, gradient in zip(leaves, gradients, strict=True):
                rows[s, source].append(gradient)
    detached = type(state)(*(part.detach() for part in after))
    return {key: torch.stack(row, 1) for key, row in rows.items()}, detached


def composed(partials: Partials, fields: tuple[str, ...]) -> dict[tuple[str, str], Tensor]:
    """By (s, source): the claimed whole derivative, each neuron's by its own source [batch, size]."""
    used: set[str] = set()
    for s, q in partials.within_step:
        assert s not in used, f"{s} is used before it is complete"
        used.add(q)
    whole: dict[tuple[str, str], Tensor] = {}
    sources = {r: {s: factor for (s, q), factor in partials.from_previous.items() if q == r} for r in fields}
    sources |= {name: dict(inflow.by_input) for name, inflow in partials.inflows.items()}
    for source, onto in sources.items():
        total = {s: torch.as_tensor(factor, dtype=F64) for s, factor in onto.items()}
        for (s, q), factor in partials.within_step.items():
            if q in total:
                total[s] = total.get(s, torch.zeros((), dtype=F64)) + factor * total[q]
        whole |= {(s, source): derivative.expand(BATCH, SIZE) for s, derivative in total.items()}
    return whole


@pytest.mark.parametrize(("name", "options"), labelled(CLAIMS))
def test_claimed_partials_compose_to_the_diagonal_of_autograds_jacobian(name, options):
    neuron, current, state = example(name, **options)
    expected, after = jacobian(neuron, current, state)
    assert 0 < float(after.z.mean()) < 1
    with torch.no_grad():
        partials = neuron.partials(current, state, after)
    claimed = composed(partials, after._fields)

    learnt = {source for p, _ in neuron.named_parameters() if (source := _source(neuron, p)) is not None}
    assert set(partials.inflows) == {"current", *learnt}
    diagonals = {key: whole.diagonal(dim1=1, dim2=2) for key, whole in expected.items()}
    moved = {key for key, diagonal in diagonals.items() if float(diagonal.abs().max()) > 0}
    for source in partials.inflows:
        assert ("z", source) in moved, f"dz/d{source} compares nothing"
    for (s, source), diagonal in diagonals.items():
        if s == source and not any((s, inflow) in moved for inflow in partials.inflows):
            continue  # nothing flows in, so there is no trace to keep (LTC, adaptation off: b)
        torch.testing.assert_close(
            claimed.get((s, source), torch.zeros_like(diagonal)),
            diagonal,
            rtol=0,
            atol=1e-12,
            msg=lambda text, s=s, source=source: f"d{s}/d{source}: {text}",
        )


def _source(neuron: Neuron, parameter: str) -> str | None:
    """Return the name of a parameter among the inflows; None if it is not trained."""
    if not neuron.get_parameter(parameter).requires_grad:
        return None
    owner = parameter.rpartition(".")[0]
    return owner if owner in maps_of(neuron) else parameter


@pytest.mark.parametrize(("name", "options"), labelled(CLAIMS))
def test_claimed_presynaptic_numbers_are_what_the_maps_read(name, options):
    neuron, current, state = example(name, **options)
    read: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _module, inputs, name=map_name: read.update({name: inputs[0]}))
        for map_name, module in maps_of(neuron).items()
    ]
    with torch.no_grad():
        _, after = neuron(current, state)
        for hook in hooks:
            hook.remove()
        inflows = neuron.partials(current, state, after).inflows
    for source, inflow in inflows.items():
        if source in maps_of(neuron):
            assert torch.equal(inflow.presynaptic, read[source])
        else:
            assert inflow.presynaptic is None


@pytest.mark.parametrize("name", NEURONS.names())
def test_elementwise_is_what_the_off_diagonal_of_autograds_jacobian_says(name):
    neuron, current, state = example(name)
    expected, _ = jacobian(neuron, current, state)
    off = 1 - torch.eye(SIZE, dtype=F64)
    mixes = {
        key
        for key, whole in expected.items()
        for block in whole.split(SIZE, 2)  # one for each current
        if float((block * off).abs().max()) > 0
    }
    assert neuron.elementwise == (not mixes)


def test_partials_of_rnn_and_lstm_by_hand():
    neuron, current, state = example("rnn")
    h, after = neuron(current, state)
    partials = neuron.partials(current, state, after)
    assert not partials.from_previous and not partials.within_step
    torch.testing.assert_close(partials.inflows["current"].by_input, dict.fromkeys("vz", 1 - h * h))

    neuron, current, state = example("lstm")
    _, after = neuron(current, state)
    partials = neuron.partials(current, state, after)
    I, F, G, O = current.chunk(4, 1)
    i, f, g, o, tanh_c = I.sigmoid(), F.sigmoid(), G.tanh(), O.sigmoid(), after.c.tanh()
    zero, by_c = torch.zeros_like(I), o * (1 - tanh_c**2)
    by_current = (i * (1 - i) * g, f * (1 - f) * state.c, i * (1 - g**2), zero)
    torch.testing.assert_close(dict(partials.from_previous), {("c", "c"): f})
    torch.testing.assert_close(dict(partials.within_step), {("v", "c"): by_c, ("z", "c"): by_c})
    by_input = partials.inflows["current"].by_input
    torch.testing.assert_close(by_input["c"], torch.stack(by_current, 1))
    torch.testing.assert_close(by_input["z"], torch.stack((zero, zero, zero, o * (1 - o) * tanh_c), 1))


# In `smoothed()` gradients are true ones.

SMOOTH = [*((name, {}) for name in SPIKING), *(claim for claim in CLAIMS if claim[1])]


def three_steps(neuron: Neuron, currents: Tensor, start: Any, parameters: dict[str, Tensor]) -> Tensor:
    """Return a weighted sum of v and z over three steps, each number with a weight of its own."""
    seen, state = [], start
    for current in currents:
        _, state = functional_call(neuron, parameters, (current, state))
        seen += [state.v, state.z]
    seen = torch.stack(seen)
    return (seen * torch.linspace(-1, 1, seen.numel(), dtype=F64).view_as(seen)).sum()


@pytest.mark.parametrize(("name", "options"), labelled(SMOOTH))
def test_central_differences_agree_with_autograd_where_spikes_are_smooth(name, options):
    neuron, current, start = example(name, **options)
    currents = torch.stack((current, 1 - current, current.flip(0)))
    learnt = {name: p for name, p in neuron.named_parameters() if p.requires_grad}
    point = [currents, *(part for part in start), *(p.detach() for p in learnt.values())]

    def value(*numbers: Tensor) -> Tensor:
        state = type(start)(*numbers[1 : 1 + len(start)])
        return three_steps(neuron, numbers[0], state, dict(zip(learnt, numbers[1 + len(start) :], strict=True)))

    with smoothed():
        compare(value, point)
    with pytest.raises(AssertionError):  # steps have no differences to agree with
        compare(value, point)


def compare(value: Any, point: list[Tensor]) -> None:
    """Autograd's derivative of a number in a random direction, one for each argument, and a central difference."""
    torch.manual_seed(1)
    ε = 1e-5
    for k, tensor in enumerate(point):
        direction = torch.randn_like(tensor)
        leaves = [part.clone().requires_grad_() for part in point]
        (gradient,) = torch.autograd.grad(value(*leaves), leaves[k], allow_unused=True, materialize_grads=True)
        up, down = ([*point[:k], tensor + sign * ε * direction, *point[k + 1 :]] for sign in (1, -1))
        with torch.no_grad():
            difference = (value(*up) - value(*down)) / (2 * ε)
        torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-6, atol=1e-8)
