"""Gradient alignment: exact where a rule is exact, worked by hand where it is not, and training goes on as without."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from throughtime.algorithms.base import Claims, LearningRule
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.checkpointed_bptt import CheckpointedBPTT
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.ostl import OSTL
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.algorithms.tbptt import TruncatedBPTT
from throughtime.checks.tiny import BATCH, CLASSES, STEPS, backprop, recurrent, sequence
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification, Regression
from throughtime.harness.batches import learn_batch, started
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.seeds import stream
from throughtime.measuring.alignment import (
    Alignment,
    alignment,
    alignment_in_training,
    alignment_measures,
    curve_keys,
    parameter_groups,
)
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS
from throughtime.spec import ComponentSpec, RunSpec, Training

TASK = Classification(CLASSES)
PARTS = ["layer1.inward", "layer1.recurrent", "readout"]
ONES = pytest.approx((1, 1), abs=1e-10)
pytestmark = pytest.mark.usefixtures("tensor_operations")


def network(neuron="lif", *, hidden=None, **options) -> Recurrent:
    factory = NEURONS[neuron].factory
    if hidden is None:
        return recurrent(lambda size: factory(size, **options))
    torch.manual_seed(3)
    return Recurrent(3, CLASSES, lambda size: factory(size, **options), hidden=hidden).double()


def aligned(rule: LearningRule, net: Recurrent | None = None, steps: int = STEPS, **options) -> dict[str, Alignment]:
    return alignment(rule, net or network(), TASK, Batch(*sequence(steps)), **options)


def numbers(alignments: dict[str, Alignment]) -> dict[str, tuple[float, float]]:
    assert all(alignment.missing is None and -1 <= alignment.cosine <= 1 for alignment in alignments.values()), (
        alignments
    )
    return {group: (alignment.cosine, alignment.norm_ratio) for group, alignment in alignments.items()}


# Rules that drop nothing


@pytest.mark.parametrize("neuron", ["lif", "alif", "ltc", "lstm"])
@pytest.mark.parametrize(
    "rule",
    [
        BPTT(),
        BPTT(loss_at="every"),
        BPTT(loss_at="every", weights="ramp"),
        BPTT(loss_at="every", total="sum", backward="each_step"),
        CheckpointedBPTT(loss_at="every"),
        TruncatedBPTT(window=STEPS),
        TruncatedBPTT(window=99, loss_at="every", weights="ramp"),
        FPTT(parts=1),
        FPTT(parts=1, form="paper"),
        RTRL(),
        RTRL(loss_at="every"),
    ],
    ids=lambda rule: f"{type(rule).__name__} {getattr(rule, 'loss_at', 'end')}",
)
def test_a_rule_that_drops_nothing_has_one_and_one(rule, neuron):
    for result in numbers(aligned(copy.copy(rule), network(neuron))).values():
        assert result == ONES


def test_a_rule_with_blocks_of_different_lengths_drops_nothing_either():
    """28 steps are a block of 3 and one of 25, whose losses count by their lengths."""
    for result in numbers(aligned(OSTL(loss_at="every"), steps=28)).values():
        assert result == ONES


@pytest.mark.parametrize("rule", [TruncatedBPTT(window=1), FPTT(), FPTT(form="paper"), EProp(), EProp(loss_at="every")])
def test_with_one_step_there_is_no_time_to_drop_credit_in(rule):
    result = aligned(rule, steps=1, net=network("alif"))
    assert result.pop("layer1.recurrent") == Alignment(None, None, "both gradients are zero")  # no spikes before it
    assert set(numbers(result)) == {"all", "hidden", "layer1.inward", "readout"}
    assert all(numbers_of_group == ONES for numbers_of_group in numbers(result).values())


def test_nothing_is_cut_where_no_state_is_kept():
    # No recurrence, no leak of membrane or readout: what came before a step is nothing to it, so that the windows of
    # truncated BPTT and FPTT drop nothing, whatever they weigh.
    def memoryless() -> Recurrent:
        net = recurrent(lambda size: NEURONS["lif"].factory(size, tau=1e-3), readout_tau=0)
        net.layers[0].recurrent.weight.data.zero_()
        net.layers[0].recurrent.weight.requires_grad_(False)
        return net

    for rule in (TruncatedBPTT(window=1), TruncatedBPTT(window=5, loss_at="every", weights="ramp"), FPTT(parts=4)):
        for result in numbers(aligned(rule, memoryless())).values():
            assert result == ONES


# Rules that turn, stretch or drop something


class Altered(BPTT):
    """BPTT whose gradient is multiplied by a factor."""

    def __init__(self, factor: float, loss_at="end") -> None:
        super().__init__(loss_at=loss_at)
        self.factor = factor

    def begin(self, batch, update):
        def altered():
            for p in self.network.parameters():
                p.grad *= self.factor
            update()

        super().begin(batch, altered)


@pytest.mark.parametrize(("factor", "expected"), [(-1.0, (-1, 1)), (2.0, (1, 2)), (-0.5, (-1, 0.5))])
def test_sign_and_length(factor, expected):
    for loss_at in ("end", "every"):
        result = numbers(aligned(Altered(factor, loss_at)))
        assert all(numbers_of_group == pytest.approx(expected, abs=1e-10) for numbers_of_group in result.values())


def test_groups_are_compared_one_by_one():
    class WithoutRecurrent(BPTT):
        def begin(self, batch, update):
            def altered():
                self.network.layers[0].recurrent.weight.grad.zero_()
                self.network.readout.linear.bias.grad.mul_(-1)
                update()

            super().begin(batch, altered)

    net = network()
    inward_W, inward_c, R, W, c = (
        float(g.square().sum()) for g in backprop(net, *sequence(), TASK, "end")
    )  # in the order of the parameters
    assert [n for n, _ in net.named_parameters()][2] == "layers.0.recurrent.weight"
    result = aligned(WithoutRecurrent(), net)
    assert result.pop("layer1.recurrent") == Alignment(None, None, "the rule's gradient is zero")
    inward, everything = inward_W + inward_c, inward_W + inward_c + R + W + c
    assert numbers(result) == {
        "all": pytest.approx(
            ((everything - R - 2 * c) / math.sqrt((everything - R) * everything), math.sqrt(1 - R / everything))
        ),
        "hidden": pytest.approx([math.sqrt(inward / (inward + R))] * 2),
        "layer1.inward": ONES,
        "readout": pytest.approx(((W - c) / (W + c), 1)),
    }


def test_eprop_is_between_and_exact_at_the_readout():
    for loss_at in ("end", "every"):
        result = numbers(aligned(EProp(loss_at=loss_at)))
        assert result["readout"] == ONES
        for group in ("hidden", "layer1.inward", "layer1.recurrent"):
            assert 0.3 < result[group][0] < 1 - 1e-4, group
    # Without recurrent weights a spike reaches no other neuron, and nothing is dropped.
    net = network()
    net.layers[0].recurrent.weight.data.zero_()
    assert numbers(aligned(EProp(), net))["layer1.inward"] == ONES


def test_truncation_is_measured_against_the_same_losses_uncut():
    # By hand: windows of 5, 5 and 2 steps weigh 1/3, 2/3 and 1.
    net = network("alif")
    x, target = sequence()
    rule = numbers(aligned(TruncatedBPTT(window=5, weights="ramp"), net))

    def flat(gradients):
        return torch.cat([g.flatten() for g in gradients])

    uncut = sum(w * flat(backprop(net, x[:T], target, TASK, "end")) for T, w in ((5, 1 / 3), (10, 2 / 3), (12, 1)))
    cut, state = 0, net.initial_state(BATCH)
    for part, w in zip(x.split(5), (1 / 3, 2 / 3, 1), strict=True):
        window = net.unroll(part, state)
        state = type(state)(
            tuple(type(s)(*(v.detach() for v in s)) for s in window.state.layers), window.state.y.detach(), 0
        )
        loss = w * TASK.loss(window.outputs[-1], target)
        cut = cut + flat(torch.autograd.grad(loss, list(net.parameters())))
    expected = float(torch.cosine_similarity(cut, uncut, dim=0)), float(cut.norm() / uncut.norm())
    assert rule["all"] == pytest.approx(expected, abs=1e-10)
    assert expected[0] < 0.999


def test_the_regulariser_adds_nothing_at_weights_that_stand():
    bare, code = (numbers(aligned(FPTT(parts=4, form=form))) for form in ("none", "code"))
    assert code == {group: pytest.approx(numbers_of_group, abs=1e-12) for group, numbers_of_group in bare.items()}
    two = [numbers(aligned(FPTT(parts=2, form=form))) for form in ("none", "paper")]
    assert two[1] == {group: pytest.approx(numbers_of_group, abs=1e-12) for group, numbers_of_group in two[0].items()}
    three = [numbers(aligned(FPTT(parts=3, form=form)))["all"] for form in ("none", "paper")]
    assert three[1] != pytest.approx(three[0], abs=1e-3)  # as the docstring says


def test_several_updates_are_averaged():
    once, often = (numbers(aligned(EProp(loss_at="every", update_every=n))) for n in (None, 3))
    for group, (cosine, norm_ratio) in once.items():
        assert often[group] == pytest.approx((cosine, norm_ratio / 4))  # four updates, each a quarter


def test_of_equal_outputs_the_last_is_meant():
    # No neuron reaches its threshold, and the readout has no memory: every step shows the readout's bias.
    net = recurrent(lambda size: NEURONS["lif"].factory(size, threshold=9.0), readout_tau=0)
    outputs = net.unroll(sequence()[0], net.initial_state(BATCH)).outputs.detach()
    assert torch.equal(outputs, net.readout.linear.bias.detach().expand_as(outputs))
    result = aligned(BPTT(), net)
    assert result.pop("layer1.recurrent").missing == "both gradients are zero"
    assert all(numbers_of_group == ONES for numbers_of_group in numbers(result).values())


def test_a_plugin_that_sums_over_steps_in_its_own_way():
    class StepByStep(BPTT):
        def learn(self, x, target, t):
            outputs = self.network.unroll(x, self.state).outputs
            loss = 3 * sum(self.task.loss(y, target) for y in outputs)
            loss.backward()
            self.update()
            return loss.detach()

    assert all(numbers_of_group == ONES for numbers_of_group in numbers(aligned(StepByStep())).values())


# Rules that cannot be compared give the reason


class Odd(LearningRule):
    """A rule of one window; `loss` selects its reported loss and its behaviour."""

    claims = Claims("approximate", "O(T)")

    def window(self, steps):
        return steps

    def learn(self, x, target, t):
        outputs = self.network.unroll(x, self.state).outputs
        loss = self.loss(outputs, target)
        loss.backward()
        self.after()
        return self.told(loss.detach())

    def loss(self, outputs, target):
        return self.task.loss(outputs[-1], target)

    def after(self):
        self.update()

    def told(self, loss):
        return loss


class Averages(Odd):
    def loss(self, outputs, target):
        return self.task.loss(outputs.mean(0), target)


class OwnLoss(Odd):
    def loss(self, outputs, target):
        return outputs.square().mean()


class OtherGradient(Odd):
    """Computes the loss of each step, and has its gradient from elsewhere."""

    def loss(self, outputs, target):
        with torch.no_grad():
            self.mean = torch.stack([self.task.loss(y, target) for y in outputs]).mean()
        return outputs.square().mean()

    def told(self, loss):
        return self.mean


class NoUpdate(Odd):
    def after(self):
        pass


class NoLoss(Odd):
    def told(self, loss):
        return None


class Infinite(Odd):
    def told(self, loss):
        return loss / 0


class NaN(Odd):
    def after(self):
        for p in self.network.parameters():
            p.grad /= 0
        self.update()


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Averages, "the rule called Task.loss with something else than the outputs of its windows"),
        (OwnLoss, "the rule reports a loss that it did not compute by Task.loss"),
        (OtherGradient, "the rule computes several losses of a window, whose weights are unknown"),
        (NoUpdate, "the rule made no update in a sequence"),
        (NoLoss, "the rule reports no loss"),
        (Infinite, "the rule's loss is not a finite number"),
        (NaN, "the rule's gradient is not finite"),
    ],
)
def test_no_number_without_a_reason(rule, reason):
    result = aligned(rule())
    assert result == {group: Alignment(None, None, reason) for group in ("all", "hidden", *PARTS)}
    assert set(curve_keys(result).values()) == {None}
    assert {m.missing for m in alignment_measures(result, 1, 5).values()} == {reason}


def test_a_readout_of_zeros_sends_nothing_back():
    class Noisy(BPTT):
        def begin(self, batch, update):
            def altered():
                for p in self.network.parameters():
                    p.grad += 1
                update()

            super().begin(batch, altered)

    net = network()
    net.readout.linear.weight.data.zero_()
    for rule, reason in ((BPTT(), "both gradients are zero"), (Noisy(), "BPTT's gradient is zero")):
        result = aligned(rule, net)
        assert result["layer1.inward"] == result["hidden"] == Alignment(None, None, reason)
        assert result["readout"].missing is None


def test_a_loss_of_zero_weighs_nothing():
    class OneMore(Odd):
        def told(self, loss):
            return loss + 1

    net, (x, _) = network(), sequence()
    net.readout.linear.weight.data.zero_()
    net.readout.linear.bias.data.zero_()
    batch = Batch(x, x.new_zeros(BATCH, CLASSES))
    for rule, reason in (
        (Odd(), "both gradients are zero"),
        (OneMore(), "a loss that it did not compute by Task.loss"),
    ):
        result = alignment(rule, net, Regression(chance=1.0), batch)
        assert all(measured.missing.endswith(reason) for measured in result.values())


# Draws


def test_both_gradients_start_from_the_same_random_state():
    net = network("ltc", initial="random")
    assert not torch.equal(net.initial_state(2).layers[0].v, net.initial_state(2).layers[0].v)
    assert all(numbers_of_group == ONES for numbers_of_group in numbers(aligned(BPTT(), net, seed=4)).values())
    first, other, again = (aligned(TruncatedBPTT(window=4), net, seed=seed) for seed in (4, 5, 4))
    assert first == again != other
    # Whatever the rule has drawn before, as it started.
    assert numbers(aligned(EProp(feedback="random"), net, seed=4))["readout"] == ONES


def test_feedback_is_what_the_rule_in_training_has():
    net = network()
    in_training = EProp(feedback="adaptive")
    torch.manual_seed(9)
    in_training.start(net, TASK, STEPS)
    drawn = aligned(EProp(feedback="adaptive"), net, seed=9)
    assert drawn == aligned(EProp(feedback="adaptive"), net, seed=9, learnt=in_training.parameters())
    assert drawn == aligned(EProp(feedback="random"), net, seed=9)
    in_training.B.data.copy_(net.readout.linear.weight)
    learnt = aligned(EProp(feedback="adaptive"), net, seed=9, learnt=in_training.parameters())
    symmetric = numbers(aligned(EProp(), net))
    assert numbers(learnt) == {group: pytest.approx(numbers_of_group) for group, numbers_of_group in symmetric.items()}


def test_weights_stand_though_a_rule_moves_them_itself():
    # Adaptive feedback decays the readout and B after each update, here by half; windows after the first would differ.
    slow, fast = (EProp(feedback="adaptive", loss_at="every", update_every=3, feedback_decay=d) for d in (0.0, 0.5))
    assert aligned(slow, seed=9) == aligned(fast, seed=9)


# No trace


@torch.no_grad()
def test_mode_and_gradients_are_neither_used_nor_changed():
    torch.manual_seed(3)
    net = Recurrent(3, CLASSES, NEURONS["lif"].factory, hidden=[5], norm_steps=STEPS).double()
    expected = aligned(TruncatedBPTT(window=4), net)
    net.eval()
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    state = copy.deepcopy(net.state_dict())
    rule = TruncatedBPTT(window=4)
    assert aligned(rule, net) == expected
    assert rule.network.training and not net.training
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in net.parameters())
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())


def run_spec(rule: str, rule_options: dict, neuron: str, **network_options) -> RunSpec:
    def component(registry, name, **options):
        return ComponentSpec(name=name, options=registry[name].checked(options), label=name)

    random = {"initial": "random"} if neuron == "ltc" else {}
    return RunSpec(
        suite="test",
        scale="tiny",
        rule=component(ALGORITHMS, rule, **rule_options),
        neuron=component(NEURONS, neuron, **random),
        network=component(NETWORKS, "recurrent", hidden=[6], **network_options),
        dataset=component(DATASETS, "adding", steps=8, sequences=32, held_out=20),
        training=Training(epochs=3, batch=16),
        passes=["train"],
        replicate=0,
        seed=5,
    )


def trained(spec: RunSpec, measured: bool) -> tuple[dict[str, torch.Tensor], list[dict[str, Alignment]]]:
    """The state after three epochs, and the alignments before and after each of them."""
    built = build(spec)
    update, result = started(spec, built, 8, Clock()), []
    order = torch.Generator().manual_seed(1)
    for epoch in range(4):
        if measured:
            before = [p.grad for p in built.network.parameters()]
            result.append(alignment_in_training(spec, built))
            assert before == [None] * len(before) == [p.grad for p in built.network.parameters()]
            assert built.network.training
        if epoch < 3:
            for batch in built.dataset.batches("train", 16, order):
                learn_batch(built.rule, batch, update)
            built.rule.end_epoch()
    own = {f"own {i}": p.detach() for i, p in enumerate(built.rule.parameters())}
    return {**built.network.state_dict(), **own, "next draw": torch.rand(3)}, result


@pytest.mark.parametrize(
    ("rule", "options", "neuron", "network_options"),
    [
        ("bptt", {}, "ltc", {"norm_steps": 8}),
        ("tbptt", {"window": 3}, "ltc", {"readout": "membrane", "readout_tau": 0.0}),
        ("fptt", {"parts": 4}, "ltc", {"norm_steps": 8, "readout_leak": "gated"}),
        ("fptt", {"form": "paper"}, "ltc", {}),
        ("eprop", {"feedback": "adaptive", "rate_cost": 0.1}, "lif", {}),
        ("diagonal_rtrl", {}, "ltc", {}),
    ],
)
def test_training_goes_on_bit_for_bit(rule, options, neuron, network_options):
    spec = run_spec(rule, options, neuron, **network_options)
    (without, _), (with_it, result) = trained(spec, False), trained(spec, True)
    assert without.keys() == with_it.keys()
    for name, value in without.items():
        assert torch.equal(value, with_it[name]), name
    assert all(alignments["all"].missing is None for alignments in result)
    assert rule == "bptt" or len({alignments["hidden"] for alignments in result}) == 4, (
        "the weights have moved in between"
    )


@pytest.mark.parametrize("feedback", ["random", "adaptive"])
def test_in_training_it_is_the_run_s_own_feedback(feedback):
    spec = run_spec("eprop", {"feedback": feedback}, "lif")
    built = build(spec)
    update = started(spec, built, 8, Clock())
    batch = next(iter(built.dataset.batches("validation", 16)))
    seed = stream(spec.seed, "noise", spec.replicate)
    fresh = EProp(feedback=feedback)
    expected = alignment(fresh, built.network, built.dataset.task, batch, seed)
    assert torch.equal(fresh.B, built.rule.B)
    assert alignment_in_training(spec, built) == expected
    learn_batch(built.rule, batch, update)
    fresh = EProp(feedback=feedback)
    alone = alignment(fresh, built.network, built.dataset.task, batch, seed)
    assert torch.equal(fresh.B, built.rule.B) == (feedback == "random")
    learnt = built.rule.parameters()
    expected = alignment(EProp(feedback=feedback), built.network, built.dataset.task, batch, seed, learnt)
    assert alignment_in_training(spec, built) == expected
    assert (alone == expected) == (feedback == "random")


def test_a_dataset_that_draws_does_not_disturb_either():
    spec = run_spec("bptt", {}, "lif")
    built = build(spec)

    class Drawing(type(built.dataset)):
        def batches(self, split, batch, generator=None):
            torch.rand(1)  # as a DataLoader does
            return super().batches(split, batch, generator)

    built = built._replace(dataset=Drawing(steps=8))
    started(spec, built, 8, Clock())
    before = torch.get_rng_state()
    alignment_in_training(spec, built)
    assert torch.equal(before, torch.get_rng_state())


# Groups, keys and measures


def test_groups_follow_the_modules():
    net = network("ltc", hidden=[4, 5])
    assert list(parameter_groups(net)) == [
        "all",
        "hidden",
        *["layer1.inward", "layer1.recurrent", "layer1.neuron"],
        *["layer2.inward", "layer2.recurrent", "layer2.neuron"],
        "readout",
    ]
    groups = parameter_groups(net)
    names = [name for name, _ in net.named_parameters()]
    assert groups["all"] == names
    assert groups["hidden"] + groups["readout"] == names
    assert groups["layer2.inward"] == ["layers.1.inward.weight", "layers.1.inward.bias"]
    assert "layers.0.neuron.membrane_gate.bias" in groups["layer1.neuron"]
    parts = [name for group, names in groups.items() if group not in ("all", "hidden") for name in names]
    assert sorted(parts) == sorted(names), "each in one part"


def test_groups_of_networks_of_another_make():
    class Other(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(2))
            self.fixed = torch.nn.Parameter(torch.ones(2), requires_grad=False)
            self.blocks = torch.nn.ModuleList([torch.nn.ModuleDict({"conv": torch.nn.Conv1d(1, 1, 1)})])
            self.stack = torch.nn.Sequential(torch.nn.Linear(1, 1))

    parts = {"gain": ["gain"], "block1.conv": [f"blocks.0.conv.{p}" for p in ("weight", "bias")]}
    parts["stack1"] = [f"stack.0.{p}" for p in ("weight", "bias")]
    assert parameter_groups(Other()) == {"all": [name for names in parts.values() for name in names], **parts}
    assert list(parameter_groups(torch.nn.Sequential(torch.nn.Linear(1, 1)))) == ["all", "layer1"]


def test_keys_of_the_curve_and_measures_of_the_record():
    result = {"all": Alignment(0.5, 2.0), "readout": Alignment(None, None, "BPTT's gradient is zero")}
    assert curve_keys(result) == {
        "alignment_cosine.all": 0.5,
        "alignment_cosine.readout": None,
        "alignment_norm_ratio.all": 2.0,
        "alignment_norm_ratio.readout": None,
    }
    told = alignment_measures(result, 5, 32)
    assert {name: m.value for name, m in told.items()} == curve_keys(result)
    assert {m.unit for m in told.values()} == {"1"}
    assert told["alignment_cosine.readout"].missing == "BPTT's gradient is zero"
    assert "weights after epoch 5, first 32 validation sequences" in told["alignment_norm_ratio.all"].method
    assert "before training" in alignment_measures(result, 0, 32)["alignment_cosine.all"].method
