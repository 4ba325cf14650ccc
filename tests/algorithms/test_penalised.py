"""Rule penalised: its gradient is that of the rule and of the penalties, whatever the rule."""

from __future__ import annotations

import copy

import pytest
import torch

import throughtime as tt
from throughtime.algorithms.penalised.penalised import REFUSED, RULES
from throughtime.algorithms.spike_penalties import checked_penalties, penalty_of
from throughtime.checks.tiny import INPUTS, backprop, error, gradient, learn, recurrent, seeded, sequence
from throughtime.datasets import Classification
from throughtime.errors import UsageError
from throughtime.neurons.lif import LIF
from throughtime.numerics.trees import detached
from throughtime.registry import ALGORITHMS

LINEAR = [{"strength": 0.3}]
BOUNDED = [{"strength": 0.2, "bound": 2.0}, {"strength": 0.1, "of": "population", "power": 2}]
TASK = Classification(4)


def lif(size):
    return LIF(size, tau=2.0)


def gradient_of_penalties(network, x, penalties):
    spikes = network.unroll(x, network.initial_state(x.shape[1])).spikes
    assert all(float(z.detach().sum(0).mean()) > 2 for z in spikes)
    return gradient(penalty_of(checked_penalties(penalties), spikes), network)


def learnt(name, network, batch, **options):
    """The sum of the gradients of all updates of a batch."""
    return learn(tt.build_rule(name, **options), copy.deepcopy(network), batch).total()


def added(rule, network, batch, penalties, **options):
    """The gradient of a rule with penalties less that without."""
    both = learnt("penalised", network, batch, rule=rule, options=options, spike_penalties=penalties)
    return [a - b for a, b in zip(both, learnt(rule, network, batch, **options), strict=True)]


@pytest.mark.parametrize("penalties", [LINEAR, BOUNDED])
@pytest.mark.parametrize("loss_at", ["end", "every"])
@pytest.mark.parametrize("rule", ["checkpointed_bptt", "rtrl"])
def test_exact_rules_have_the_gradient_of_bptt_with_penalties(rule, loss_at, penalties):
    network, batch = recurrent(lif, hidden=[4, 3]), sequence()
    ours = learnt("penalised", network, batch, rule=rule, options={"loss_at": loss_at}, spike_penalties=penalties)
    assert error(ours, learnt("bptt", network, batch, loss_at=loss_at, spike_penalties=penalties)) < 1e-12
    assert error(ours, backprop(network, *batch, TASK, loss_at)) > 1e-2


@pytest.mark.parametrize("rule", sorted(RULES))
def test_at_a_single_step_every_rule_adds_the_gradient_of_the_penalties(rule):
    """There is no past that a rule could drop. pp_prop has its factor 1 − λ, and S-TLLR another share of the input."""
    network, batch = recurrent(lif, recurrent_weights=rule in ("rtrl", "uoro", "kf_rtrl", "rflo")), sequence(1)
    x = batch[0]
    n = network.unroll(x, network.initial_state(x.shape[1])).spikes[0].sum(0).mean(0)
    ours, expected = added(rule, network, batch, LINEAR), gradient(0.3 * n.mean(), network)
    assert float(n.detach().mean()) > 0.2
    own = {"pp_prop": 0.1, "s_tllr": float(ours[0][0, 0] / expected[0][0, 0])}.get(rule, 1.0)
    assert own != 0
    assert error(ours, [own * part for part in expected]) < 1e-9


@pytest.mark.parametrize("rule", ["eprop", "diagonal_rtrl", "snap_n", "ostl"])
@pytest.mark.parametrize("options", [{"loss_at": "end"}, {"loss_at": "every", "update_every": 5}])
def test_traces_that_are_exact_without_recurrent_weights_are_so_for_penalties(rule, options):
    """The filter of the readout, through which the learning signals of the loss pass, is not in the penalties."""
    network, batch = recurrent(lif, recurrent_weights=False), sequence()
    ours, expected = added(rule, network, batch, LINEAR, **options), gradient_of_penalties(network, batch[0], LINEAR)
    assert error(ours, expected) < 1e-9


@pytest.mark.parametrize("rule, options", [("tbptt", {"window": 4}), ("fptt", {"parts": 3, "weights": "equal"})])
@pytest.mark.parametrize("penalties", [LINEAR, BOUNDED])
def test_truncated_rules_add_the_increase_of_the_penalties_in_each_window(rule, options, penalties):
    network, batch = recurrent(lif), sequence()
    x, checked = batch[0], checked_penalties(penalties)
    state, n, expected = network.initial_state(x.shape[1]), torch.zeros(1, x.shape[1], 5, dtype=x.dtype), []
    for start in range(0, len(x), 4):
        window = network.unroll(x[start : start + 4], state)
        after = n + window.spikes[0].sum(0)
        increase = penalty_of(checked, [after]) - penalty_of(checked, [n])
        expected.append(gradient(len(x) / 4 * increase, network))
        n, state = after.detach(), detached(window.state)
    summed = [torch.stack(parts).sum(0) for parts in zip(*expected, strict=True)]
    assert error(added(rule, network, batch, penalties, **options), summed) < 1e-9


def test_random_feedback_is_of_the_loss_alone():
    network, batch = recurrent(lif, recurrent_weights=False), sequence()
    ours = added("eprop", network, batch, LINEAR, feedback="adaptive", rate_cost=0.1)
    assert error(ours, gradient_of_penalties(network, batch[0], LINEAR)) < 1e-9


def test_penalties_of_whole_counts_are_refused_where_signals_are_of_single_steps():
    rule = tt.build_rule("penalised", rule="ottt", spike_penalties=BOUNDED)
    reason = rule.supports(recurrent(lif), TASK, 12)
    assert reason == "ottt learns from the spikes of single steps: its penalties have power 1 and no bound"


@pytest.mark.parametrize("rule", [*REFUSED, "tbtt"])
def test_other_rules_are_refused_in_one_line(rule):
    with pytest.raises(UsageError) as error:
        tt.build_rule("penalised", rule=rule, spike_penalties=LINEAR)
    assert "\n" not in str(error.value.what)
    assert rule in str(error.value)


def test_options_of_the_rule_are_checked():
    with pytest.raises((UsageError, ValueError), match="windw"):
        tt.build_rule("penalised", rule="tbptt", options={"windw": 3}, spike_penalties=LINEAR)


def test_every_rule_is_penalised_or_refused():
    ours = {name for name in ALGORITHMS.names() if ALGORITHMS[name].origin == "throughtime"}
    assert ours == RULES.keys() | REFUSED.keys()
    assert all(ALGORITHMS[name].factory is rule for name, rule in RULES.items())


@pytest.mark.usefixtures("tensor_operations")
@pytest.mark.parametrize("rule", ["tbptt", "eprop"])
def test_training_resumes_from_its_state(rule):
    def learner():
        with seeded(3):
            network = tt.build_network("recurrent", INPUTS, 4, neuron="lif", hidden=[8])
        made = tt.build_rule("penalised", rule=rule, spike_penalties=LINEAR)
        ours = tt.Learner(network, made, TASK, steps=6)
        return ours, torch.optim.SGD(ours.parameters(), lr=0.1)

    x, target = (part.float() if part.is_floating_point() else part for part in sequence(6))
    (whole, optimiser), (resumed, second) = learner(), learner()
    whole.learn(x, target, optimiser)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    assert torch.equal(whole.learn(x, target, optimiser), resumed.learn(x, target, second))
    assert all(map(torch.equal, whole.network.parameters(), resumed.network.parameters()))
