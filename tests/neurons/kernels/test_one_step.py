"""Single steps and their gradients equal those of plain steps under autograd, for every option and layer."""

from __future__ import annotations

import copy
from functools import partial
from unittest import mock

import pytest
import torch
from torch import nn

from tests.kernel_twins import IN_LOOPS, before, differing, inputs, network, plain_steps
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.presynaptic_trace import SLTT
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification, Regression
from throughtime.harness.batches import learn_batch
from throughtime.harness.clock import Clock
from throughtime.harness.updater import Updater
from throughtime.networks.encoded import encoded
from throughtime.networks.kernels import one_step
from throughtime.networks.layered.layered import Layered
from throughtime.networks.layered.spec import LayerSpec, ReadoutSpec
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.kernels.one_step import NeuronOneStep
from throughtime.neurons.ltc import LTC
from throughtime.neurons.surrogate import smoothed
from throughtime.numerics.flat import Flat, flatten
from throughtime.numerics.loops import without_compiled_loops
from throughtime.numerics.precision import in_precision
from throughtime.registry import NEURONS
from throughtime.spec import Training

OF_NEURON = {
    "lif": {"tau": 3.0, "surrogate": "wide_multi_gaussian"},
    "alif": {"tau": 3.0, "surrogate": "wide_multi_gaussian"},
    "asrnn": {"tau_mean": 3.0, "tau_sd": 1.0},
    "ltc": {"slope": "trained"},
    "lstm": {},
    "rnn": {},
}
"""Under which something reaches all layers."""
NETWORKS = [
    {},
    {"readout_tau": 0.0, "recurrent_bias": True},
    {"readout": "membrane", "readout_leak": "gated"},
    {"hidden": [7, 5, 6]},
    {"hidden": [7, 5], "norm_steps": 4, "recurrent_bias": True, "readout_leak": "gated"},
    {"norm_steps": 50, "readout": "membrane"},
]


def words(value):
    return (
        " ".join(f"{name}={option}" for name, option in value.items()) or "plain" if isinstance(value, dict) else None
    )


def steps_of(net, one_step, steps=6, batch=4):
    """Outputs, and gradients after each step, of a random sum of outputs; by `one_step` or by plain steps."""
    net = copy.deepcopy(net)
    learnt = {name: p for name, p in net.named_parameters() if p.requires_grad}
    state, result = before(net, batch), {}
    taken = net.stepper(state, Flat([*learnt.values()]).places()) if one_step else None
    assert (taken is not None) == one_step
    generator = torch.Generator().manual_seed(7)
    for t, x in enumerate(inputs(steps, batch)):
        if taken is not None:
            y = taken.step(x)
        else:
            with plain_steps(net):
                window = net.unroll(x[None], state)
            y, state = window.outputs[0], torch.utils._pytree.tree_map_only(torch.Tensor, torch.detach, window.state)
        δy = torch.randn(y.shape, dtype=y.dtype, generator=generator)
        if taken is not None:
            taken.gradient(δy)
        else:
            y.backward(δy)
        result[f"output {t}"] = y.detach()
        for name, p in learnt.items():
            result[f"{name} {t}"] = torch.zeros_like(p) if p.grad is None else p.grad.clone()
            p.grad = None
    return result | {name: buffer.clone() for name, buffer in net.named_buffers()}


def assert_same(net, batch=4):
    expected = steps_of(net, False, batch=batch)
    assert differing(steps_of(net, True, batch=batch), expected) == []


@pytest.mark.parametrize(("neuron", "options"), IN_LOOPS, ids=words)
def test_every_option(neuron, options):
    assert_same(network(neuron, options, readout="membrane"))
    assert_same(network(neuron, options))


@pytest.mark.parametrize("options", NETWORKS, ids=words)
@pytest.mark.parametrize("neuron", OF_NEURON)
def test_every_network(neuron, options):
    net = network(neuron, OF_NEURON[neuron], **options)
    assert_same(net)
    result = steps_of(net, True)
    assert all(result[f"layers.{l}.recurrent.weight 5"].any() for l in range(len(net.layers)))
    assert_same(net.eval())


READOUTS = {
    "spikes": ReadoutSpec(leak="sigmoid", dropout=0.3),
    "membranes": ReadoutSpec(of="membrane", leak="constant"),
    "membranes of a layer that others read": ReadoutSpec(reads="both", of="membrane", leak="constant"),
}


def branched(readout="spikes"):
    """Layers that read parts of the image of three channels, and each other with branches; dropout in two places."""
    torch.manual_seed(1)
    layers = [
        LayerSpec(name="on", dense=5, reads=["input"], channels=[0, 1]),
        LayerSpec(name="off", dense=4, reads=["input"], channels=[1, 3]),
        LayerSpec(name="both", dense=6, reads=["off", "on"], recurrent=True, dropout=0.3),
        LayerSpec(name="last", dense=5, reads=["input", "both", "on"]),
    ]
    neuron = partial(NEURONS["ltc"].factory, slope="trained")
    return Layered((3, 1, 1), 6, neuron, layers=layers, readouts=[READOUTS[readout]]).double()


@pytest.mark.parametrize("readout", READOUTS)
def test_branches_views_of_the_input_and_dropout(readout):
    net = branched(readout)
    assert_same(net)
    result = steps_of(net, True)
    names = [name for name, _ in net.named_parameters() if "weight" in name]
    assert all(result[f"{name} 5"].any() for name in names if readout != "membranes of a layer that others read")
    assert_same(net.eval())


def test_a_layer_that_reads_a_later_one_or_an_image_or_has_another_map_has_no_single_steps():
    net = branched()
    state = net.initial_state(4)
    assert net.stepper(state, {}) is not None
    later = [LayerSpec(name="a", dense=5, reads=["input", "b"]), LayerSpec(name="b", dense=5, reads=["a"])]
    image = [LayerSpec(name="a", conv=2, reads=["input"]), LayerSpec(name="b", dense=5, reads=["a"])]
    for layers in (later, image):
        net = Layered((3, 2, 2), 6, NEURONS["ltc"].factory, layers=layers)
        assert net.stepper(net.initial_state(4), {}) is None
    gains = encoded(6, 6, NEURONS["ltc"].factory, hidden=[5])
    assert gains.stepper(gains.initial_state(4), {}) is None


@pytest.mark.parametrize(
    "frozen", ["layers.0.inward", "layers.0.neuron.membrane_gate", "readout", "layers.0.recurrent"]
)
def test_what_is_not_learnt_gets_no_gradient(frozen):
    net = network("ltc", {"slope": "trained"})
    for name, p in net.named_parameters():
        p.requires_grad_(not name.startswith(frozen))
    assert_same(net)
    steps_of(net, True)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("neuron", OF_NEURON)
def test_many_samples_and_neurons(neuron):
    """More than loops take in one part."""
    net = network(neuron, OF_NEURON[neuron], hidden=[150], norm_steps=3, readout_leak="gated")
    assert_same(net, batch=131)


# --- faults


class StaysInItsSlot(NeuronOneStep):
    def step(self, now):
        super().step(0)


class GoesBackThroughTheStepBefore(NeuronOneStep):
    def gradient(self, now):
        super().gradient(1 - now)


class ForgetsWhatReadsMembranes(NeuronOneStep):
    def gradient(self, now):
        self.δv.zero_()
        super().gradient(now)


class HandsOnTwice(NeuronOneStep):
    def gradient(self, now):
        super().gradient(now)
        if self.adjoint.gates:  # not in the readout
            self.δI *= 2


class LearnsAnothersSurrogate(NeuronOneStep):
    def __init__(self, neuron, *more):
        neuron.surrogate = "arctan"
        super().__init__(neuron, *more)


@pytest.mark.parametrize(
    ("broken", "noticed", "not_found"),
    [
        (StaysInItsSlot, "output 1", "output 0"),
        (GoesBackThroughTheStepBefore, "layers.0.inward.weight 1", "output 1"),
        (ForgetsWhatReadsMembranes, "layers.0.inward.weight 0", "readout.linear.weight 0"),
        (HandsOnTwice, "layers.0.inward.weight 0", "layers.0.neuron.membrane_gate.weight 0"),
        (LearnsAnothersSurrogate, "layers.0.neuron.membrane_gate.weight 0", "output 5"),
    ],
)
def test_a_fault_of_the_neuron_is_found(broken, noticed, not_found):
    net = network("ltc", readout="membrane")
    expected = steps_of(net, False)
    with mock.patch("throughtime.neurons.kernels.one_step.NeuronOneStep", broken):
        differs = differing(steps_of(net, True), expected)
    assert noticed in differs and not_found not in differs


class StepIsNotCounted(one_step.RecurrentStepper):
    def step(self, x):
        y = super().step(x)
        self.t -= 1
        return y


class MaskIsLost(one_step._Synapse):
    def gradient(self):
        if self.dropout is not None:
            self.m = torch.ones_like(self.m)
        super().gradient()


class EachReaderWrites(one_step._Synapse):
    is_first = property(lambda self: True, lambda self, value: None)


class NoReaderWrites(one_step._Synapse):
    is_first = property(lambda self: False, lambda self, value: None)


@pytest.mark.parametrize("broken", [MaskIsLost, EachReaderWrites, NoReaderWrites])
def test_a_fault_of_a_branch_is_found(broken, monkeypatch):
    expected = steps_of(branched(), False)
    monkeypatch.setattr(one_step, "_Synapse", broken)
    differs = differing(steps_of(branched(), True), expected)
    assert "output 5" not in differs and any(name.startswith("layers.0.from_input.weight") for name in differs)


class LayersInTheOrderOfTheStep(one_step.RecurrentStepper):
    def gradient(self, δy):
        *layers, readout = self.layers
        self.layers = [*reversed(layers), readout]
        super().gradient(δy)
        self.layers = [*layers, readout]


@pytest.mark.parametrize(
    ("broken", "options", "noticed"),
    [
        (StepIsNotCounted, {"norm_steps": 9}, "layers.0.inward_norm.running_mean"),
        (LayersInTheOrderOfTheStep, {"hidden": [7, 5]}, "layers.0.recurrent.weight 0"),
    ],
)
def test_a_fault_of_the_network_is_found(broken, options, noticed, monkeypatch):
    net = network("ltc", **options)
    expected = steps_of(net, False)
    monkeypatch.setattr(one_step, "RecurrentStepper", broken)
    assert noticed in differing(steps_of(net, True), expected)


# --- where it is used, and where not


def trained(net, rule, task, windows, monkeypatch, batches=2):
    """Weights after some batches, by single steps or by windows; and which it was."""
    net, steps = copy.deepcopy(net), 6
    flatten([*net.parameters()])
    used = []
    taken = Recurrent.stepper

    def watched(*arguments):
        used.append(None if windows else taken(*arguments))
        return used[-1]

    monkeypatch.setattr(Recurrent, "stepper", watched)
    rule.start(net, task, steps)
    update = Updater([*net.parameters()], Training(optimiser="sgd", learning_rate=0.1, clip=0.5), Clock())
    generator = torch.Generator().manual_seed(5)
    classes = isinstance(task, Classification)
    for n in range(batches):
        shape = ((steps, 8) if task.per_step else (8,)) + (() if classes else (6,))
        target = torch.randint(6, shape, generator=generator) if classes else torch.rand(shape, dtype=torch.float64)
        learn_batch(rule, Batch(inputs(steps, 8) + n, target, task.per_step), update)
    rule.end_epoch()
    monkeypatch.undo()
    return dict(net.named_parameters()), [gradient is not None for gradient in used]


@pytest.mark.parametrize(
    ("rule", "options", "task"),
    [
        (FPTT, {"auxiliary": "authors"}, Classification(6)),
        (FPTT, {"auxiliary": "authors", "auxiliary_uniform_epochs": 1}, Classification(6)),
        (FPTT, {"form": "none"}, Classification(6, per_step=True)),
        (FPTT, {"beta": 0.3, "rho": 0.1, "parts": 6}, Regression(chance=1.0)),
        (TruncatedBPTT, {"window": 1, "weights": "ramp"}, Classification(6)),
        (TruncatedBPTT, {"window": 1, "loss_at": "every"}, Regression(chance=1.0)),
    ],
)
def test_a_rule_learns_the_same_by_single_steps_and_by_windows(rule, options, task, monkeypatch):
    net = network("ltc", {"slope": "trained"}, norm_steps=6, readout_leak="gated", readout_tau=None)
    torch.manual_seed(1)
    steps, used = trained(net, rule(**options), task, False, monkeypatch)
    torch.manual_seed(1)
    windows, not_used = trained(net, rule(**options), task, True, monkeypatch)
    assert used == [True, True] and not_used == [False, False]
    for name, p in windows.items():
        torch.testing.assert_close(steps[name], p, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "rule",
    [FPTT(parts=3), FPTT(last_part=False), FPTT(form="paper"), TruncatedBPTT(window=2), SLTT(update_every=1)],
    ids=["parts", "last", "paper", "window", "leak of the readout"],
)
def test_longer_windows_and_those_gone_through_twice_are_windows(rule, monkeypatch):
    assert trained(network("ltc"), rule, Classification(6), False, monkeypatch)[1] == []


@pytest.mark.parametrize("neuron", ["lif", "ltc"])
@pytest.mark.parametrize("per_step", [False, True])
def test_sltt_with_an_update_at_each_step_learns_the_same_by_single_steps_and_by_blocks(neuron, per_step, monkeypatch):
    net, task = network(neuron, hidden=[7, 5], readout_tau=0.0), Classification(6, per_step=per_step)
    steps, used = trained(net, SLTT(update_every=1), task, False, monkeypatch)
    blocks, not_used = trained(net, SLTT(update_every=1), task, True, monkeypatch)
    assert used == [True, True] and not_used == [False, False]
    for name, p in blocks.items():
        torch.testing.assert_close(steps[name], p, rtol=1e-9, atol=1e-12)


class UpdatesAtTheEnd(TruncatedBPTT):
    """One update, with the sum of the gradients of all steps and of a penalty on the readout's bias."""

    def learn(self, x, target, t):
        c = self.network.readout.linear.bias
        _, loss = self.window_gradient(x, lambda y: self.loss_of(y, target, "end") + (c + 1).square().sum())
        if t + 1 == self.steps:
            self.update()
        return loss


@pytest.mark.parametrize(
    ("rule", "options", "network_options"),
    [
        (UpdatesAtTheEnd, {"window": 1}, {}),
        (FPTT, {}, {"density": 0.5}),
        (TruncatedBPTT, {"window": 1}, {"density": 0.5}),
    ],
)
def test_steps_add_to_the_gradient_and_synapses_may_be_absent(rule, options, network_options, monkeypatch):
    net = network("ltc", **network_options)
    steps, used = trained(net, rule(**options), Classification(6), False, monkeypatch)
    windows, not_used = trained(net, rule(**options), Classification(6), True, monkeypatch)
    assert used == [True, True] and not_used == [False, False]
    for name, p in windows.items():
        torch.testing.assert_close(steps[name], p, rtol=1e-9, atol=1e-12)
        assert not torch.equal(p, net.get_parameter(name))
    if (exists := net.layers[0].recurrent_exists) is not None:
        assert not steps["layers.0.recurrent.weight"][~exists].any()


def test_a_parameter_that_no_step_reads_has_no_gradient():
    net = network("ltc", {"adaptation": "unused"}).requires_grad_()
    places = {p: torch.full_like(p, torch.nan) for p in net.parameters()}
    steps = net.stepper(net.initial_state(4), places)
    steps.gradient(steps.step(inputs(1)[0]))
    without = {name for name, p in net.named_parameters() if p.grad is None}
    assert without == {f"layers.0.neuron.adaptation_gate.{name}" for name in ("weight", "bias")}
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_a_step_of_an_image_is_one_of_its_pixels():
    net, x = Recurrent((2, 3), 6, LTC, hidden=[7]), torch.rand(4, 2, 3)
    step, _ = net(x, net.initial_state(4))
    torch.testing.assert_close(taken(net).step(x), step.output)


class OtherLTC(LTC):
    """Another step, which is not compiled."""

    def forward(self, current, state):
        return super().forward(2 * current, state)


class ReadsTwice(Recurrent):
    def forward(self, x, state):
        return super().forward(2 * x, state)


def taken(net, batch=4):
    return net.stepper(net.initial_state(batch), Flat([*net.parameters()]).places())


def test_where_its_loops_cannot_run_there_are_no_single_steps():
    assert taken(network("ltc")) is not None
    assert taken(network("lstm")) is not None
    assert taken(Recurrent(3, 6, OtherLTC, hidden=[7])) is None
    assert taken(ReadsTwice(3, 6, LTC, hidden=[7])) is None
    tied = network("ltc")
    tied.layers[0].neuron.adaptation_gate.weight = tied.layers[0].neuron.membrane_gate.weight
    assert taken(tied) is None
    scaled = network("ltc")
    nn.utils.parametrizations.weight_norm(scaled.layers[0].recurrent)
    assert taken(scaled) is None
    assert taken(in_precision(network("ltc").float(), "bfloat16")) is None
    assert taken(network("ltc").half()) is None
    with without_compiled_loops():
        assert taken(network("ltc")) is None
    with smoothed():
        assert taken(network("ltc")) is None
    normed = network("ltc", norm_steps=5)
    assert taken(normed) is not None and taken(normed, batch=1) is None
    assert taken(normed.eval(), batch=1) is not None


def test_an_output_stays_what_it_was():
    steps = taken(network("ltc"))
    outputs = [steps.step(x) for x in inputs(5)]
    copies = [y.clone() for y in outputs]
    for x in inputs(5):
        steps.step(x)
    assert all(map(torch.equal, outputs, copies)) and not torch.equal(outputs[0], outputs[2])


def test_the_state_that_it_began_with_is_left_alone():
    net = network("ltc")
    state, same = before(net), before(net)
    steps = net.stepper(state, Flat([*net.parameters()]).places())
    for x in inputs(3):
        steps.step(x)
    assert torch.equal(state.y, same.y) and all(map(torch.equal, state.layers[0], same.layers[0]))
