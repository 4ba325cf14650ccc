"""Batches and optimisers that a learner refuses, with what is wrong and what to pass."""

from __future__ import annotations

import contextlib

import pytest
import torch

import throughtime as tt
from tests.own_loop import sequences, small, weights
from throughtime.datasets.task import Classification, Distribution, MultiLabel
from throughtime.errors import UsageError
from throughtime.registry import ALGORITHMS

X, CLASSES = sequences()
BATCHES = {
    "x as NumPy array": (X.numpy(), CLASSES, "x is a NumPy array\n  pass torch.from_numpy(x)"),
    "target as NumPy array": (X, CLASSES.numpy(), "target is a NumPy array\n  pass torch.from_numpy(target)"),
    "integers": (X.long(), CLASSES, "x has the dtype int64\n  pass x.float()"),
    "width": (torch.ones(6, 8, 3), CLASSES, "x is [6, 8, 3]; the network takes 2 inputs a step"),
    "one sequence": (torch.ones(6), CLASSES, "x is [6]; expected [steps, batch, inputs]"),
    "real classes": (X, CLASSES.float(), "the target of a classification has the dtype float32\n  pass target.long()"),
    "one-hot classes": (X, torch.eye(2)[CLASSES].long(), "the target of a classification is [batch], not [8, 2]"),
    "another batch": (X, CLASSES[:7], "the target of a classification is [batch], not [7]"),
    "class": (X, CLASSES + 1, "the target has the class 2; the classes are 0 ... 1"),
    "no label": (X, CLASSES - 1, "the target has the class -1; the classes are 0 ... 1"),
    "no target": (X, None, "target is None, no tensor"),
    "numbers in a list": (X, [0] * 8, "target is [0, 0, 0, 0, 0, 0, 0, 0], no tensor"),
    "tensors in a list": (X, list(CLASSES), "the target of a classification is a list, no tensor"),
    "numbers as x": (3.0, CLASSES, "x is 3.0, no tensor"),
    "half": (X.half(), CLASSES, "x has the dtype float16, and no weight has it\n  pass x.float()"),
    "double": (X.double(), CLASSES, "x has the dtype float64, and no weight has it\n  pass x.float()"),
    "empty": (X[:, :0], CLASSES[:0], "x is [6, 0, 2]; the batch is empty"),
}


@pytest.mark.parametrize("fault", BATCHES)
def test_a_batch_that_does_not_fit_is_named_and_changes_nothing(fault):
    x, target, said = BATCHES[fault]
    learner = small()
    optimiser, before = torch.optim.SGD(learner.parameters(), lr=0.1), weights(learner)
    with pytest.raises(UsageError) as caught:
        learner.learn(x, target, optimiser)
    assert str(caught.value) == said and torch.equal(weights(learner), before)
    learner.learn(X, CLASSES, optimiser)
    assert not torch.equal(weights(learner), before)


def test_weights_of_another_dtype_than_the_input_have_a_hint():
    network = tt.build_network("recurrent", 2, 2, hidden=[5]).double()
    learner = tt.Learner(network, tt.build_rule("eprop"), Classification(2), steps=6)
    optimiser = torch.optim.SGD(learner.parameters(), lr=0.1)
    with pytest.raises(
        UsageError, match=r"x has the dtype float32, and no weight has it\n  pass x.to\(torch.float64\)"
    ):
        learner.learn(X, CLASSES, optimiser)
    learner.learn(X.double(), CLASSES, optimiser)


@pytest.mark.parametrize(("task", "kind"), [(Distribution(1.0), "distribution"), (MultiLabel(2), "set of labels")])
def test_a_target_of_another_shape_is_refused_by_each_task(task, kind):
    """Broadcasting would train on another loss."""
    learner = tt.Learner(tt.build_network("recurrent", 2, 2, hidden=[5]), tt.build_rule("bptt"), task, steps=6)
    optimiser, before = torch.optim.SGD(learner.parameters(), lr=0.1), weights(learner)
    for target, said in (
        (torch.ones(8), rf"the target of a {kind} is \[batch, outputs\], not \[8\]"),
        (torch.ones(8, 3), "the target has 3 numbers; the network has 2 outputs"),
        (CLASSES, rf"the target of a {kind} has the dtype int64\n  pass target.float"),
    ):
        with pytest.raises(UsageError, match=said):
            learner.learn(X, target, optimiser)
    assert torch.equal(weights(learner), before)


@pytest.mark.parametrize("rule", [name for name in ALGORITHMS.names() if not ALGORITHMS[name].required])
def test_an_input_with_a_graph_has_its_gradient_or_is_refused(rule):
    """An encoder before the network would otherwise stay untrained without a message."""
    network = tt.build_network("recurrent", 2, 2, hidden=[5])
    try:
        learner = tt.Learner(network, tt.build_rule(rule), Classification(2), steps=6)
    except UsageError:
        return
    encoder = torch.nn.Linear(2, 2)
    with contextlib.suppress(UsageError):
        learner.learn(encoder(X), CLASSES, torch.optim.SGD(learner.parameters(), lr=0.1))
        assert encoder.weight.grad is not None
        return
    assert rule != "bptt"


def test_autocast_and_optimisers_with_a_closure_are_refused():
    learner, rule = small(), small("eprop")
    with pytest.raises(UsageError, match="LBFGS computes the loss several times"):
        learner.learn(X, CLASSES, torch.optim.LBFGS(learner.parameters()))
    optimiser = torch.optim.SGD(rule.parameters(), lr=0.1)
    with torch.autocast("cpu"), pytest.raises(UsageError, match=r"autocast is on.*\n  call learn outside of it"):
        rule.learn(X, CLASSES, optimiser)
    rule.learn(X, CLASSES, optimiser)


@pytest.mark.parametrize("rule", ["bptt", "fptt", "eprop", "rtrl"])
def test_a_network_without_a_trained_parameter_is_refused(rule):
    network = tt.build_network("recurrent", 2, 2, hidden=[5]).requires_grad_(False)
    with pytest.raises(UsageError, match="no parameter of the network is trained"):
        tt.Learner(network, tt.build_rule(rule), Classification(2), steps=6)
