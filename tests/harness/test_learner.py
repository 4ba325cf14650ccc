"""A rule in one's own loop: the numbers are those of the harness, with any optimiser."""

from __future__ import annotations

import pytest
import torch

import throughtime as tt
from throughtime.datasets.task import Classification
from throughtime.errors import UsageError
from throughtime.harness.batches import learn_batch, started
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.spec import ComponentSpec, RunSpec, Training

CLIP = 0.05
"""Smaller than the norm of the gradients, so that each update is clipped."""
RULES = {"bptt": {}, "fptt": {"parts": 4}, "eprop": {}}


def spec(rule: str, optimiser: str) -> RunSpec:
    def component(name: str, **options) -> ComponentSpec:
        return ComponentSpec(name=name, options=options, label=name)

    return RunSpec(
        suite="own",
        scale="tiny",
        rule=component(rule, **RULES[rule]),
        neuron=component("alif"),
        network=component("recurrent", hidden=[7]),
        dataset=component("digits", steps=8),
        training=Training(optimiser=optimiser, batch=32, learning_rate=0.01, clip=CLIP),
        passes=["train"],
        replicate=0,
        seed=3,
    )


def batches(dataset):
    return list(dataset.batches("train", 32, torch.Generator().manual_seed(5)))[:6]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("name", "optimiser"),
    [
        ("sgd", lambda parameters: torch.optim.SGD(parameters, lr=0.01)),
        ("adam", lambda parameters: torch.optim.Adam(parameters, lr=0.01, fused=True)),
    ],
)
def test_weights_and_losses_are_those_of_the_harness_bit_for_bit(rule, name, optimiser):
    of_harness = build(spec(rule, name))
    update = started(spec(rule, name), of_harness, 8, Clock())
    expected = [float(learn_batch(of_harness.rule, batch, update)) for batch in batches(of_harness.dataset)]

    dataset = tt.build_dataset("digits", steps=8)
    torch.manual_seed(stream(3, "weights", 0))
    network = tt.build_network("recurrent", dataset.inputs, dataset.outputs, neuron="alif", hidden=[7])
    torch.manual_seed(stream(3, "noise", 0))
    learner = tt.Learner(network, tt.build_rule(rule, **RULES[rule]), dataset.task, steps=8, clip=CLIP)
    own = optimiser(learner.parameters())
    losses = [float(learner.learn(batch.x, batch.target, own)) for batch in batches(dataset)]

    assert losses == expected
    for key, value in of_harness.network.state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key


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
        with pytest.raises(UsageError, match=r"requires_grad of .*bias changed.*\n.*a new Learner"):
            learner.learn(x, target, own)
        bias.requires_grad_()
    learner.learn(x, target, own)


def test_wrong_use_is_named():
    with pytest.raises(UsageError, match=r'no "fppt" among the algorithms\n.*did you mean "fptt"'):
        tt.build_rule("fppt")
    with pytest.raises(UsageError, match=r'fptt has no option "prats"\n.*did you mean "parts"'):
        tt.build_rule("fptt", prats=5)
    with pytest.raises(UsageError, match="recurrent: hidden"):
        tt.build_network("recurrent", 2, 2, hidden="64")
    network = tt.build_network("recurrent", 2, 2, hidden=[4], readout_leak="gated")
    with pytest.raises(UsageError, match="leak"):
        tt.Learner(network, tt.build_rule("eprop"), Classification(2), steps=3)
    learner = tt.Learner(network, tt.build_rule("bptt"), Classification(2), steps=3)
    with pytest.raises(ValueError, match="x has 4 steps; the learner expects 3"):
        learner.learn(torch.ones(4, 1, 2), torch.tensor([0]), torch.optim.SGD(learner.parameters(), lr=0.1))
