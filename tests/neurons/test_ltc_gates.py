"""Inputs of the time constants of LTC: current and state, one of them, or none; by hand, and in every form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from tests.kernel_twins import varied
from throughtime.checks.contract import neurons
from throughtime.neurons.kernels.kernel import kernel_of
from throughtime.neurons.ltc import LTC, LTCState

INPUTS = ("concatenated", "current", "state", "none")
ADAPTATIONS = ("gated", "gated_by_current", "gated_by_state", "constant")
CURRENTS = (0.3, 0.2)


def σ(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def number(value: float) -> torch.Tensor:
    return torch.full((1, 1), value, dtype=torch.float64)


def gate_of(which: int, I: float, s: float, by_current: float, by_state: float, bias: float) -> float:
    """σ of what the map computes that reads both (0), I (1) or s (2), or of a constant (3), which is the bias."""
    return σ(by_current * I * (which in (0, 1)) + by_state * s * (which in (0, 2)) + bias)


def set_time_constant(neuron: LTC, name: str, by_current: float, by_state: float, bias: float) -> None:
    how = {"membrane": neuron.gates.get("a"), "adaptation": neuron.gates.get("ρ")}[name]
    if how is None:
        getattr(neuron, f"{name}_constant").fill_(bias)
        return
    weights = [by_current] * how.current + [by_state] * (how.reads is not None)
    map = getattr(neuron, f"{name}_gate")
    map.weight.copy_(torch.tensor([weights], dtype=torch.float64))
    map.bias.fill_(bias)


@pytest.mark.parametrize(("m", "a"), [*itertools.product(range(4), range(4))])
def test_two_steps_by_hand(m, a):
    """From v = 0, b = 1, z = 0, below the threshold: v and b follow their own time constants.

    Membrane: 2 for the current, −1 for v, 0.4. Adaptation: 3 for the current, 1 for b, −0.7.
    """
    neuron = LTC(1, b0=0.5, gate_input=INPUTS[m], adaptation=ADAPTATIONS[a]).double()
    with torch.no_grad():
        set_time_constant(neuron, "membrane", 2.0, -1.0, 0.4)
        set_time_constant(neuron, "adaptation", 3.0, 1.0, -0.7)
    state, v, b = LTCState(number(0), number(1), number(0)), 0.0, 1.0
    for I in CURRENTS:
        _, state = neuron(number(I), state)
        v, b = v + gate_of(m, I, v, 2.0, -1.0, 0.4) * (I - v), gate_of(a, I, b, 3.0, 1.0, -0.7) * b
        assert [float(part.detach()) for part in state] == pytest.approx([v, b, 0])


OPTIONS = [
    {"gate_input": "current", "adaptation": "gated_by_state"},
    {"gate_input": "state", "adaptation": "constant", "slope": "trained"},  # no gate reads the current
    {"gate_input": "state", "adaptation": "off"},
    {"gate_input": "none", "adaptation": "off"},  # no gates
]


def words(options: dict) -> str:
    return " ".join(map(str, options.values()))


@pytest.mark.parametrize("options", OPTIONS, ids=words)
def test_windows_and_partials_are_autograd(options, tensor_operations):
    neuron = varied("ltc", options)
    assert kernel_of(neuron.factory(4)) is not None
    for fact in (neurons.kernel_is_steps, neurons.partials_are_derivatives):
        assert fact(neuron).value < 1e-12
    assert neurons.learns(neuron).value == 0


@pytest.mark.parametrize("options", OPTIONS[1::2], ids=words)
def test_windows_and_single_steps_in_loops_are_autograd(options):
    for fact in (neurons.kernel_is_steps, neurons.one_step_is_step):
        assert fact(varied("ltc", options)).value < 1e-12


def test_a_map_has_a_column_for_each_thing_that_it_reads():
    """Three neurons: 3 x 6 + 3, 3 x 3 + 3 or 3 numbers for a time constant."""
    numbers = (21, 12, 12, 3)
    for (gate_input, n), (adaptation, m) in itertools.product(
        zip(INPUTS, numbers, strict=True), zip(ADAPTATIONS, numbers, strict=True)
    ):
        assert sum(p.numel() for p in LTC(3, gate_input=gate_input, adaptation=adaptation).parameters()) == n + m


def test_a_constant_starts_from_tau_or_from_one_half():
    assert LTC(3, gate_input="none").membrane_constant.tolist() == [0, 0, 0]
    a = torch.sigmoid(LTC(3, gate_input="none", tau=1.0, tau_max=100.0).membrane_constant)
    assert a.tolist() == pytest.approx([1 - math.exp(-1 / τ) for τ in (1, 10, 100)], rel=1e-4)


def test_the_slope_of_no_gate_is_refused():
    with pytest.raises(ValueError, match="slope would do nothing without a gate"):
        LTC(3, gate_input="none", adaptation="off", slope="trained")


def test_a_constant_has_no_slope():
    neuron = LTC(3, gate_input="state", adaptation="constant", slope="trained")
    assert neuron.membrane_slope is not None and neuron.adaptation_slope is None
