"""A rule in one's own loop: the numbers are those of the harness, with any optimiser."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import throughtime as tt
from tests.own_loop import sequences, small, weights
from throughtime.datasets.base import Dataset
from throughtime.datasets.task import Classification, Regression
from throughtime.errors import DivergedError, UsageError
from throughtime.harness.batches import learn_batch, started
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.passes.trainer import Trainer
from throughtime.spec import ComponentSpec, RunSpec, Training

CLIP = 0.05
"""Smaller than the norm of the gradients, so that each update is clipped."""
RULES = {"bptt": {}, "fptt": {"parts": 4}, "eprop": {}}


def spec(rule: str, optimiser: str, batch: int = 32) -> RunSpec:
    def component(name: str, **options) -> ComponentSpec:
        return ComponentSpec(name=name, options=options, label=name)

    return RunSpec(
        suite="own",
        scale="tiny",
        rule=component(rule, **RULES[rule]),
        neuron=component("alif"),
        network=component("recurrent", hidden=[7]),
        dataset=component("digits", steps=8),
        training=Training(optimiser=optimiser, batch=batch, learning_rate=0.01, epochs=2, clip=CLIP),
        passes=["train"],
        replicate=0,
        seed=3,
    )


def batches(dataset):
    return list(dataset.batches("train", 32, torch.Generator().manual_seed(5)))[:6]


def own(rule: str) -> tuple[Dataset, tt.Learner]:
    """The dataset, and the learner with the same network and rule as the run."""
    dataset = tt.build_dataset("digits", steps=8)
    torch.manual_seed(stream(3, "weights", 0))
    network = tt.build_network("recurrent", dataset.inputs, dataset.outputs, neuron="alif", hidden=[7])
    torch.manual_seed(stream(3, "noise", 0))
    return dataset, tt.Learner(network, tt.build_rule(rule, **RULES[rule]), dataset.task, steps=8, clip=CLIP)


def test_a_weight_that_is_nan_is_divergence_although_the_loss_is_finite():
    learner = small()
    next(learner.network.layers[0].parameters()).data.view(-1)[0] = math.nan
    with pytest.raises(DivergedError, match="a weight is infinite or NaN"):
        learner.learn(*sequences(), torch.optim.SGD(learner.parameters(), lr=0.01))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("name", "optimiser"),
    [
        ("sgd", lambda parameters: torch.optim.SGD(parameters, lr=0.01)),
        ("adam", lambda parameters: torch.optim.Adam(parameters, lr=0.01, fused=True)),
    ],
)
def test_weights_and_losses_are_those_of_the_harness_bit_for_bit(rule, name, optimiser):
    built = build(spec(rule, name))
    update = started(spec(rule, name), built, 8, Clock())
    expected = [float(learn_batch(built.rule, batch, update)) for batch in batches(built.dataset)]

    dataset, learner = own(rule)
    made = optimiser(learner.parameters())
    losses = [float(learner.learn(batch.x, batch.target, made)) for batch in batches(dataset)]

    assert losses == expected
    for key, value in built.network.state_dict().items():
        assert torch.equal(learner.network.state_dict()[key], value), key


def test_epochs_of_fptt_are_those_of_a_suite_bit_for_bit(tmp_path):
    """At the end of an epoch FPTT sets the weights to their running mean."""
    run = spec("fptt", "sgd", batch=256)
    trainer = Trainer(run, build(run), tmp_path)
    trainer.train()
    dataset, learner = own("fptt")
    optimiser = torch.optim.SGD(learner.parameters(), lr=0.01)
    order = torch.Generator().manual_seed(stream(3, "data order", 0))
    for _ in range(2):
        for batch in dataset.batches("train", 256, order):
            learner.learn(batch.x, batch.target, optimiser)
        observed = learner.end_epoch()
    assert torch.equal(weights(learner), parameters_to_vector(trainer.built.network.parameters()))
    assert observed == trainer.observations and observed.keys() == {"regulariser_ratio"}


@pytest.mark.parametrize(("rule", "options"), [("fptt", {"parts": 3}), ("eprop", {"feedback": "random"})])
def test_training_that_is_resumed_is_that_without_a_break(rule, options):
    def go_on(learner: tt.Learner, optimiser: torch.optim.Optimizer) -> torch.Tensor:
        for seed in (1, 2):
            learner.learn(*sequences(seed), optimiser)
        learner.end_epoch()
        learner.learn(*sequences(3), optimiser)
        return weights(learner)

    learner, file = small(rule, **options), io.BytesIO()
    optimiser = torch.optim.Adam(learner.parameters(), lr=0.01)
    go_on(learner, optimiser)
    torch.save([learner.state_dict(), optimiser.state_dict()], file)
    file.seek(0)
    learner_state, optimiser_state = torch.load(file, weights_only=True)
    expected = go_on(learner, optimiser)
    for again in (small(rule, **options), learner):
        again.load_state_dict(learner_state)
        optimiser = torch.optim.Adam(again.parameters(), lr=0.01)
        optimiser.load_state_dict(copy.deepcopy(optimiser_state))
        assert torch.equal(go_on(again, optimiser), expected)


OTHERS = {
    "rule": ("bptt", {}, 6, "its class is 'BPTT', not 'FPTT'"),
    "option": ("fptt", {"parts": 2}, 6, "its parts is 2, not 3"),
    "steps": ("fptt", {"parts": 3}, 9, "its steps is 9, not 6"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_the_state_of_another_rule_is_refused_and_nothing_restored(other):
    rule, options, steps, said = OTHERS[other]
    network = tt.build_network("recurrent", 2, 2, hidden=[5])
    state = tt.Learner(network, tt.build_rule(rule, **options), Classification(2), steps).state_dict()
    learner = small("fptt", parts=3)
    before = weights(learner)
    with pytest.raises(UsageError, match=f"the state does not fit this learner: {said}"):
        learner.load_state_dict(state)
    assert torch.equal(weights(learner), before)


@pytest.mark.parametrize("state", [None, {}, {"network": {}, "rule": {}}, "weights.pt"])
def test_what_is_no_state_of_a_learner_is_refused(state):
    with pytest.raises(UsageError, match="the state does not fit this learner"):
        small().load_state_dict(state)


def test_the_state_of_another_network_is_refused():
    network = tt.build_network("recurrent", 2, 2, hidden=[4])
    state = tt.Learner(network, tt.build_rule("bptt"), Classification(2), steps=6).state_dict()
    with pytest.raises(UsageError, match=r"the state does not fit this learner: .*Recurrent"):
        small().load_state_dict(state)


def test_a_rule_in_use_is_refused():
    learner = small()
    with pytest.raises(UsageError, match=r"the rule belongs to another learner\n.*tt.build_rule"):
        tt.Learner(learner.network, learner.rule, Classification(2), steps=6)


def test_an_optimiser_that_trains_nothing_is_refused():
    learner, other = small(), small()
    for foreign in (torch.optim.SGD(other.parameters(), lr=0.1), torch.optim.SGD(other.network.parameters(), lr=0.1)):
        with pytest.raises(UsageError, match=r"no parameter of this learner\n.*learner.parameters\(\)"):
            learner.learn(*sequences(), foreign)
    with pytest.raises(UsageError, match=r"optimiser is 0\.1, no torch\.optim\.Optimizer"):
        learner.learn(*sequences(), 0.1)


def test_a_network_with_other_outputs_than_its_targets_is_refused():
    """Broadcasting would train one output on the mean of the targets."""
    network = tt.build_network("recurrent", 2, 1, hidden=[5])
    with pytest.raises(UsageError, match="the network has 1 outputs; the task has 2 classes"):
        tt.Learner(network, tt.build_rule("bptt"), Classification(2), steps=6)
    two = tt.build_network("recurrent", 2, {"a": 2, "b": 2}, hidden=[5])
    with pytest.raises(UsageError, match="Classification reads one readout; the network has a, b"):
        tt.Learner(two, tt.build_rule("bptt"), Classification(2), steps=6)
    learner = tt.Learner(network, tt.build_rule("bptt"), Regression(chance=1.0), steps=6)
    before = weights(learner)
    with pytest.raises(UsageError, match="the target has 3 numbers; the network has 1 outputs"):
        learner.learn(sequences()[0], torch.ones(8, 3), torch.optim.SGD(learner.parameters(), lr=0.1))
    assert torch.equal(weights(learner), before)


@pytest.mark.parametrize("single_steps", [False, True])
def test_gradients_from_elsewhere_are_not_learnt(single_steps):
    result = []
    for foreign in (False, True):
        torch.manual_seed(0)
        learner = small("tbptt", window=1 if single_steps else 2)
        x, target = sequences()
        if foreign:
            window = learner.network.unroll(x, learner.network.initial_state(8))
            Classification(2).loss(window.outputs[-1], 1 - target).backward()
        learner.learn(x, target, torch.optim.SGD(learner.parameters(), lr=0.5))
        result.append(weights(learner))
    assert torch.equal(*result)


def replace_data(learner: tt.Learner) -> None:
    for p in learner.network.parameters():
        p.data = p.data.clone()


@pytest.mark.parametrize(
    "move",
    [
        copy.deepcopy,
        replace_data,
        lambda learner: learner.network.double().float(),
        lambda learner: learner.network.load_state_dict(copy.deepcopy(learner.network.state_dict()), assign=True),
        lambda learner: vector_to_parameters(weights(learner), learner.network.parameters()),
    ],
)
def test_a_network_whose_parameters_were_moved_or_replaced_is_refused(move):
    learner = small()
    moved = move(learner)
    learner = moved if isinstance(moved, tt.Learner) else learner
    with pytest.raises(UsageError, match=r"(moved or copied|replaced) after .* made\n.*build the Learner anew"):
        learner.learn(*sequences(), torch.optim.SGD(learner.parameters(), lr=0.1))


@pytest.mark.parametrize("kind", [torch.optim.Adafactor, getattr(torch.optim, "Muon", torch.optim.Adafactor)])
def test_an_optimiser_that_sees_shapes_takes_the_parameters_of_the_network(kind):
    learner = small()
    matrices = [p for p in learner.network.parameters() if p.dim() == 2]
    before = [p.detach().clone() for p in matrices]
    learner.learn(*sequences(), kind(matrices, lr=0.1))
    assert all(not torch.equal(*pair) for pair in zip(matrices, before, strict=True))


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_loop_of_ones_own_learns_which_input_is_on(optimiser):
    """Two classes, marked by which of two inputs is on: the loss falls far below log 2 = 0.69."""
    torch.manual_seed(0)
    network = tt.build_network("recurrent", 2, 2, neuron=tt.neuron_type("lif", tau=5.0), hidden=[16])
    learner = tt.Learner(network, tt.build_rule("fptt", parts=2), Classification(2), steps=6)
    own = optimiser(learner.parameters(), lr=0.5 if optimiser is torch.optim.SGD else 0.02)
    target = torch.arange(20) % 2
    x = torch.nn.functional.one_hot(target, 2).float().expand(6, 20, 2)
    losses = [float(learner.learn(x, target, own)) for _ in range(60)]
    assert losses[-1] < 0.3 < losses[0]


def test_a_task_with_a_target_at_each_step_has_its_window_of_targets():
    """One step a window: with labels at the last of three steps alone, the loss of the first two windows is 0."""
    torch.manual_seed(0)
    network = tt.build_network("recurrent", 2, 2, hidden=[4])
    task = Classification(2, per_step=True)
    learner = tt.Learner(network, tt.build_rule("tbptt", window=1), task, steps=3)
    target = torch.tensor([[-1, -1], [-1, -1], [0, 1]])
    x = torch.ones(3, 2, 2)
    last = network.unroll(x, network.initial_state(2)).outputs[-1]
    expected = Classification(2).loss(last, target[-1]) / 3
    loss = learner.learn(x, target, torch.optim.SGD(learner.parameters(), lr=0.0))
    torch.testing.assert_close(loss, expected.detach())


def test_an_optimiser_over_parameters_of_the_network_steps_these_alone():
    """SGD on all but the readout is -0.1 times the gradient there, and nothing on the readout."""
    torch.manual_seed(0)
    network = tt.build_network("recurrent", 2, 2, hidden=[4])
    learner = tt.Learner(network, tt.build_rule("bptt"), Classification(2), steps=3)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    own = torch.optim.SGD([p for name, p in network.named_parameters() if "readout" not in name], lr=0.1)
    x, target = 3 * torch.ones(3, 4, 2), torch.tensor([0, 1, 0, 0])
    learner.learn(x, target, own)
    after = {name: p.detach().clone() for name, p in network.named_parameters()}
    assert all(p.grad is None for p in network.parameters())
    network.load_state_dict(before, strict=False)  # its buffers are as they were
    loss = Classification(2).loss(network.unroll(x, network.initial_state(4)).outputs[-1], target)
    gradients = dict(zip(before, torch.autograd.grad(loss, list(network.parameters())), strict=True))
    assert gradients["layers.0.inward.weight"].abs().sum() > 0
    for name, value in after.items():
        step = 0 if "readout" in name else 0.1
        torch.testing.assert_close(value, before[name] - step * gradients[name])


def test_a_parameter_frozen_or_thawed_under_way_is_named():
    network = tt.build_network("recurrent", 2, 2, hidden=[4])
    learner = tt.Learner(network, tt.build_rule("bptt"), Classification(2), steps=3)
    x, target, own = torch.ones(3, 1, 2), torch.tensor([0]), torch.optim.SGD(learner.parameters(), lr=0.1)
    for bias in (network.readout.linear.bias, network.layers[0].inward.bias):
        bias.requires_grad_(False)
        with pytest.raises(UsageError, match=r"requires_grad of .*bias changed.*\n.*the Learner anew"):
            learner.learn(x, target, own)
        bias.requires_grad_()
    learner.learn(x, target, own)


def test_wrong_use_is_named():
    with pytest.raises(UsageError, match=r'no "fppt" among the rules\n.*did you mean "fptt"'):
        tt.build_rule("fppt")
    with pytest.raises(UsageError, match=r'fptt has no option "prats"\n.*did you mean "parts"'):
        tt.build_rule("fptt", prats=5)
    with pytest.raises(UsageError, match="recurrent: hidden"):
        tt.build_network("recurrent", 2, 2, hidden="64")
    network = tt.build_network("recurrent", 2, 2, hidden=[4], readout_leak="gated")
    with pytest.raises(UsageError, match="leak"):
        tt.Learner(network, tt.build_rule("eprop"), Classification(2), steps=3)
    learner = tt.Learner(network, tt.build_rule("bptt"), Classification(2), steps=3)
    optimiser = torch.optim.SGD(learner.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="x has 4 steps; the learner expects 3"):
        learner.learn(torch.ones(4, 1, 2), torch.tensor([0]), optimiser)
    for clip in (-1.0, 0.0):
        with pytest.raises(UsageError, match=rf"clip must be above 0, not {clip:g}\n"):
            tt.Learner(network, tt.build_rule("bptt"), Classification(2), steps=3, clip=clip)
    with pytest.raises(UsageError, match=r"clip is '1\.0', no number"):
        tt.Learner(network, tt.build_rule("bptt"), Classification(2), steps=3, clip="1.0")
    for dtype in (torch.int32, torch.bool):
        with pytest.raises(UsageError, match=rf"classification has the dtype {str(dtype)[6:]}\n  pass target.long"):
            learner.learn(torch.ones(3, 1, 2), torch.zeros(1, dtype=dtype), optimiser)
    learner = tt.Learner(network, tt.build_rule("bptt"), Regression(chance=1.0), steps=3)
    optimiser = torch.optim.SGD(learner.parameters(), lr=0.1)
    with pytest.raises(UsageError, match=r"regression is \[batch, outputs\], not \[2\]"):
        learner.learn(torch.ones(3, 2, 2), torch.ones(2), optimiser)


@pytest.mark.parametrize(
    "x, said",
    [
        (torch.ones(6, 8, 1), r"input of a step is \[8, 1\] of .*reads \[8, 2\] of torch.float32"),
        (torch.ones(6, 8, 2).double(), r"x has the dtype float64, and no weight has it\n  pass x.float"),
    ],
)
def test_an_input_of_another_width_or_type_is_refused_in_single_steps(x, said):
    learner = small("tbptt", window=1)
    learner.network.inputs = None  # as in a network that `build_network` has not made
    with pytest.raises(UsageError, match=said):
        learner.learn(x, sequences()[1], torch.optim.SGD(learner.parameters(), lr=0.1))


ARGUMENTS = {
    "network": ("recurrent", "network is 'recurrent', no Network\n  pass tt.build_network('recurrent')"),
    "rule": ("bptt", "rule is 'bptt', no LearningRule\n  pass tt.build_rule('bptt')"),
    "task": (
        "classification",
        "task is 'classification', no Task\n  pass Classification(10) of throughtime.datasets.task",
    ),
    "steps": (2.5, "steps is 2.5\n  pass the number of time steps of each sequence"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_of_another_type_is_named_at_construction(name):
    value, said = ARGUMENTS[name]
    network = tt.build_network("recurrent", 2, 2, hidden=[5])
    given = {"network": network, "rule": tt.build_rule("bptt"), "task": Classification(2), "steps": 6, name: value}
    with pytest.raises(UsageError) as caught:
        tt.Learner(**given)
    assert str(caught.value).startswith(said)


def test_a_neuron_may_be_written_as_in_a_suite():
    def drawn(neuron):
        torch.manual_seed(0)
        return tt.build_network("recurrent", 2, 2, neuron=neuron, hidden=[5])

    written = drawn({"name": "lif", "surrogate": "triangle", "label": "mine"})
    assert str(written) == str(drawn(tt.neuron_type("lif", surrogate="triangle")))
    with pytest.raises(UsageError, match=r'lif has no option "surogate"\n  did you mean "surrogate"'):
        drawn({"name": "lif", "surogate": "triangle"})
    with pytest.raises(UsageError, match="the neuron has no name"):
        drawn({"surrogate": "triangle"})
    with pytest.raises(UsageError, match=r"recurrent: hidden: .*\n  hidden=\[4\]"):
        tt.build_network("recurrent", 2, 2, hidden=4)
