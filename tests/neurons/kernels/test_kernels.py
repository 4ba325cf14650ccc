"""A neuron's kernel and its plain steps agree to rounding, forward and gradient, and every fault of one is found."""

from __future__ import annotations

from functools import partial
from unittest import mock

import pytest
import torch

from tests.kernel_twins import (
    IN_LOOPS,
    NEURON_NAMES,
    OPTIONS,
    assert_same,
    before,
    differing,
    inputs,
    network,
    plain_steps,
    shown,
)
from throughtime.networks.kernels.norm_window import NormWindow
from throughtime.networks.layer import INPUT
from throughtime.networks.trajectory import trajectory
from throughtime.neurons.alif import ALIF
from throughtime.neurons.asrnn import ASRNN
from throughtime.neurons.kernels.gate_products import GateProducts
from throughtime.neurons.kernels.kernel import Kernel, loops_of
from throughtime.neurons.lif import LIF
from throughtime.neurons.ltc import LTC
from throughtime.numerics.loops import without_compiled_loops
from throughtime.numerics.reductions import PART
from throughtime.numerics.spike_product import add_weight_gradient

QUICK = {"lif": {"tau": 3.0}, "alif": {"tau": 3.0}, "asrnn": {"tau_mean": 3.0, "tau_sd": 1.0}}
"""Options under which one sample spikes in its first step."""
READOUTS = {
    "spikes": {},
    "spikes, no leak": {"readout_tau": 0.0},
    "spikes, gated": {"readout_leak": "gated"},
    "membrane": {"readout": "membrane"},
    "membrane, no leak": {"readout": "membrane", "readout_tau": 0.0},
    "membrane, gated": {"readout": "membrane", "readout_leak": "gated"},
}
NETWORKS = {
    **READOUTS,
    "two layers": {"hidden": [7, 5], "readout": "membrane"},
    "three layers": {"hidden": [7, 5, 6], "recurrent_bias": True},
    "norms": {"hidden": [7, 5], "norm_steps": 50, "recurrent_bias": True},
    "few norms": {"norm_steps": 8, "readout": "membrane", "readout_leak": "gated"},
}


def words(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={option}" for name, option in value.items())
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_every_network(neuron, network_name):
    net = network(neuron, **NETWORKS[network_name])
    x = inputs(40 if net.mixes_samples else 12)
    assert_same(net, x, before(net))
    if net.mixes_samples:
        net.eval()
        assert_same(net, x, before(net))


@pytest.mark.parametrize(("neuron", "options"), IN_LOOPS, ids=words)
def test_every_option(neuron, options):
    net = network(neuron, options, readout="membrane")
    torch.manual_seed(5)
    initial = options.get("initial") == "random"
    assert_same(net, inputs(), net.initial_state(4) if initial else before(net))


@pytest.mark.parametrize("neuron", ["plif", "asrnn"])  # a number that all neurons share; values of each neuron
def test_several_parts_of_samples_and_blocks_of_neurons(neuron):
    net = network(neuron, QUICK.get(neuron), hidden=[150], readout="membrane")
    assert_same(net, inputs(3, PART + 7), before(net, PART + 7))


@pytest.mark.parametrize(("steps", "batch"), [(1, 4), (2, 4), (1, 1), (2, 1), (40, 1)])
@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_few_steps_and_one_sample(neuron, steps, batch):
    for options in ({"hidden": [7, 5]}, {"readout": "membrane"}, *([{"norm_steps": 1}] if batch > 1 else ())):
        net = network(neuron, QUICK.get(neuron), **options)
        assert_same(net, inputs(steps, batch), before(net, batch))


@pytest.mark.parametrize("options", [{"hidden": [7, 5]}, {"readout": "membrane"}, {"norm_steps": 7}], ids=words)
@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_windows_one_after_the_other(neuron, options):
    net = network(neuron, **options)
    x, state = inputs(), before(net)
    for cuts in ((5,), (1, 2, 9)):
        assert_same(net, x, state, cuts)
    net.eval()
    whole, cut = shown(net, x, state), shown(net, x, state, (5,))
    assert differing(cut, whole) == []


@pytest.mark.parametrize(
    ("neuron", "options", "frozen"),
    [
        ("lif", {"hidden": [7, 5]}, "layers.0."),
        ("lif", {"hidden": [7, 5]}, "layers.1."),
        ("alif", {}, "layers.0.recurrent.weight"),
        ("alif", {"recurrent_bias": True}, "layers.0.inward"),
        ("asrnn", {}, "layers.0.neuron.tau_adaptation"),
        ("asrnn", {"norm_steps": 12}, "layers.0.inward_norm.weight"),
        ("ltc", {}, "layers.0.neuron.membrane_gate"),
        ("ltc", {}, "layers.0.neuron.adaptation_gate.weight"),
        ("ltc", {}, "readout"),
    ],
)
def test_frozen_parameters(neuron, options, frozen):
    net = network(neuron, **options)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    assert_same(net, inputs(), before(net))


# --- faults: differences that must be found, and those that must not


class OnTensors(Kernel):
    def begin(self, state, Z):
        super().begin(state, Z)
        self.compiled = False


class TurnsTheReset(OnTensors):
    def step(self, t, I, z_before, z):
        super().step(t, I, -z_before, z)


class SpikesAStepLate(Kernel):
    def begin(self, state, Z):
        super().begin(state, Z)
        self.late = state.z

    def step(self, t, I, z_before, z):
        super().step(t, I, z_before, z)
        self.late, now = z.clone(), self.late
        z.copy_(now)


class ShowsOlderMembranes(Kernel):
    def membranes(self):
        return super().membranes().roll(1, 0)


class EndsAStepEarly(Kernel):
    def step(self, t, I, z_before, z):
        self.older = self.fields["a"][(t - 1) % 2].clone()
        super().step(t, I, z_before, z)

    def end(self, z):
        return super().end(z)._replace(a=self.older)


class ForgetsWhatAdaptationLeads(Kernel):
    def back(self, t, δz, δv):
        super().back(t, δz, δv)
        self.carried["a"].zero_()


class ForgetsTheLastAdaptation(Kernel):
    def begin_back(self, δ, *more):
        super().begin_back(δ._replace(a=None), *more)


class ForgetsWhatReadsMembranes(Kernel):
    def back(self, t, δz, δv):
        super().back(t, δz, None)


class ForgetsTheFirst(Kernel):
    field = "v"

    def state_gradient(self):
        δ = super().state_gradient()
        return δ._replace(**{self.field: torch.zeros_like(δ.v)})


class ForgetsTheFirstSpikes(ForgetsTheFirst):
    field = "z"


class AlwaysLearnsFromTheReset(Kernel):
    def begin_back(self, *given):
        self.neuron.reset_gradient = True
        self.loops = loops_of(self.neuron)
        super().begin_back(*given)


class ForgetsTheTimeConstant(Kernel):
    def parameter_gradients(self):
        return {"tau": super().parameter_gradients()["tau"]}


class ForgetsTheSlope(Kernel):
    def parameter_gradients(self):
        return super().parameter_gradients() | {"membrane_slope": None}


class ForgetsTheLastIfTheFirstIsConstant(Kernel):
    def begin_back(self, δ, z, to_state, *more):
        super().begin_back(δ if to_state else δ._replace(b=None), z, to_state, *more)


def states_a_step_late(gate, δG, I, s_first, s, *places, weight_gradients=GateProducts.weight_gradients):
    weight_gradients(gate, δG, I, s_first, s.roll(-1, 0), *places)


def gate_held_constant_by_the_past(gate, δg, δI, δs, back=GateProducts.back):
    back(gate, δg, δI, None)


def stale_output_of_a_gate(gate, t, I, s, step=GateProducts.step):
    step(gate, t, I, s)
    if t:
        gate.g[t].copy_(gate.g[t - 1])


def spikes_a_step_late(total, δ, z, products):
    return add_weight_gradient(total, δ, z.roll(1, 0), products)


def norm_that_forgets_its_bias(norm, t, back=NormWindow.back):
    back(norm, t)
    norm.δc.zero_()


def norm_that_starts_again(norm, t, first, step=NormWindow.step):
    step(norm, t, 0)


WINDOW = "throughtime.networks.kernels.window"
LINEAR = "throughtime.networks.kernels.linear_window"
GATES = "throughtime.neurons.kernels.gate_products.GateProducts"
FAULTS = [
    (LIF, TurnsTheReset, {}, ["outputs", "spikes 0", "last v 0", "last y", "outputs by x"], []),
    (LIF, SpikesAStepLate, {}, ["spikes 0", "last z 0"], []),
    (LIF, ShowsOlderMembranes, {"readout": "membrane"}, ["outputs", "last y"], ["spikes 0", "last v 0"]),
    (ALIF, EndsAStepEarly, {}, ["last a 0"], ["outputs", "last v 0", "all by x"]),
    (ALIF, ForgetsWhatAdaptationLeads, {}, ["outputs by x", "all by first a 0"], ["outputs", "last a 0"]),
    (ALIF, ForgetsTheLastAdaptation, {}, ["last a 0 by x", "all by x"], ["outputs by x", "spikes 0 by x"]),
    (ALIF, ForgetsWhatReadsMembranes, {"readout": "membrane"}, ["outputs by x", "last v 0 by x"], ["spikes 0 by x"]),
    (ALIF, ForgetsTheFirst, {}, ["spikes 0 by first v 0"], ["all by first a 0", "all by first z 0", "all by x"]),
    (ALIF, ForgetsTheFirstSpikes, {}, ["all by first z 0"], ["all by first a 0", "all by first v 0", "all by x"]),
    (ASRNN, AlwaysLearnsFromTheReset, {"neuron_options": {"reset_gradient": False}}, ["outputs by x"], ["outputs"]),
    (
        ASRNN,
        ForgetsTheTimeConstant,
        {},
        ["all by layers.0.neuron.tau_adaptation"],
        ["all by layers.0.neuron.tau", "all by x"],
    ),
    (
        LTC,
        ForgetsTheSlope,
        {"neuron_options": {"slope": "trained"}},
        ["all by layers.0.neuron.membrane_slope"],
        ["all by layers.0.neuron.adaptation_slope"],
    ),
    (LTC, ForgetsTheLastIfTheFirstIsConstant, {"constant": True}, ["all by layers.0.inward.weight"], ["outputs"]),
    (
        f"{GATES}.weight_gradients",
        states_a_step_late,
        {"neuron": "ltc"},
        ["all by layers.0.neuron.membrane_gate.weight", "all by layers.0.neuron.adaptation_gate.weight"],
        ["all by layers.0.neuron.membrane_gate.bias", "all by x"],
    ),
    (f"{GATES}.back", gate_held_constant_by_the_past, {"neuron": "ltc"}, ["all by x"], ["outputs"]),
    (f"{GATES}.step", stale_output_of_a_gate, {"neuron": "ltc"}, ["outputs", "last v 0"], []),
    (
        f"{WINDOW}.add_weight_gradient",
        spikes_a_step_late,
        {"hidden": [7, 5]},
        ["all by layers.0.recurrent.weight"],
        ["all by layers.0.inward.weight", "all by layers.1.inward.bias"],
    ),
    (
        f"{LINEAR}.add_weight_gradient",
        spikes_a_step_late,
        {"hidden": [7, 5]},
        ["all by layers.1.inward.weight"],
        ["all by layers.0.recurrent.weight", "all by layers.1.inward.bias"],
    ),
    (
        f"{WINDOW}.NormWindow.back",
        norm_that_forgets_its_bias,
        {"norm_steps": 12},
        ["all by layers.0.inward_norm.bias", "all by layers.0.recurrent_norm.bias", "all by readout.norm.bias"],
        ["all by layers.0.inward_norm.weight", "all by readout.norm.weight"],
    ),
    (
        f"{WINDOW}.NormWindow.step",
        norm_that_starts_again,
        {"norm_steps": 12, "neuron": "alif", "cuts": (7,)},
        ["layers.0.inward_norm.running_mean", "layers.0.recurrent_norm.running_var", "readout.norm.running_mean"],
        [],
    ),
]


def kernel_with(broken, neuron, *more, **options):
    return (broken if neuron.spiking else Kernel)(neuron, *more, **options)


@pytest.mark.parametrize(
    ("whose", "broken", "options", "noticed", "not_found"), FAULTS, ids=[fault[1].__name__ for fault in FAULTS]
)
def test_a_fault_is_found(whose, broken, options, noticed, not_found):
    options = {"neuron": "lif" if isinstance(whose, str) else whose.__name__.lower(), **options}
    how = {name: options.pop(name) for name in ("cuts", "constant") if name in options}
    net = network(**options)
    x, state = inputs(), before(net)
    with plain_steps(net):
        plain = shown(net, x, state, **how)
    sound = shown(net, x, state, **how)
    place, fault = whose, broken
    if not isinstance(whose, str):  # a fault of the layers' neurons, not of the readout's
        place = "throughtime.neurons.kernels.kernel.Kernel"
        fault = partial(kernel_with, broken)
    with mock.patch(place, fault):
        differs = differing(shown(net, x, state, **how), plain)
    assert differing(sound, plain) == []
    assert {*noticed} <= {*differs}
    assert not {*not_found} & {*differs}


@pytest.mark.parametrize(("neuron", "options"), OPTIONS, ids=words)
def test_the_operations_where_no_loop_runs(neuron, options):
    with without_compiled_loops():
        test_every_option(neuron, options)


@pytest.mark.parametrize("neuron", NEURON_NAMES)
@pytest.mark.parametrize("recurrent_bias", [False, True])
@pytest.mark.parametrize("steps", [1, 12])
def test_a_trajectory_by_the_kernel_is_that_of_plain_steps(neuron, recurrent_bias, steps):
    net = network(neuron, recurrent_bias=recurrent_bias)
    layer, state = net.layers[0], before(net).layers[0]
    fast = trajectory(layer, {INPUT: inputs(steps)}, state)
    with plain_steps(net):
        plain = trajectory(layer, {INPUT: inputs(steps)}, state)
    torch.testing.assert_close(fast, plain)
    assert not net.spiking or 0 < fast.states.z[1:].mean() < 1
