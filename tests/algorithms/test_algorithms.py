"""Learning rules worked by hand, their refusals and messages. `throughtime check` holds their facts, a step of CI."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch

from throughtime.algorithms.auxiliary_loss import AuxiliaryLoss
from throughtime.algorithms.base import Observation
from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.checkpointed_bptt import CheckpointedBPTT
from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.fptt.dynamic_regulariser import CodeForm, PaperForm
from throughtime.algorithms.fptt.fptt import FPTT
from throughtime.algorithms.influence.kf_rtrl import KFRTRL
from throughtime.algorithms.influence.ostl import OSTL
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.algorithms.influence.snap_n import SnApN
from throughtime.algorithms.influence.uoro import UORO
from throughtime.algorithms.presynaptic_trace.ottt import OTTT
from throughtime.algorithms.presynaptic_trace.pp_prop import PPProp
from throughtime.algorithms.presynaptic_trace.sltt import SLTT
from throughtime.algorithms.rolling_tbptt import RollingTBPTT
from throughtime.algorithms.tbptt import TruncatedBPTT, ramp
from throughtime.checks import tiny
from throughtime.checks.window import stepped
from throughtime.datasets.task import Classification, Regression
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.base import Neuron
from throughtime.numerics.equations.operations import tanh
from throughtime.numerics.loops import without_compiled_loops
from throughtime.registry import NEURONS

F64 = torch.float64
TASK = Classification(tiny.CLASSES)


def network(neuron: str = "lif", **options) -> Recurrent:
    return tiny.recurrent(NEURONS[neuron], **options)


# Truncated BPTT


@pytest.mark.usefixtures("tensor_operations")
def test_tbptt_updates_at_each_window():
    recorder = tiny.learn(TruncatedBPTT(window=5), network(), tiny.sequence())
    assert len(recorder.gradients) == 3  # windows of 5, 5 and 2 steps


@pytest.mark.parametrize(("t", "weight"), [(0, 1 / 3), (5, 2 / 3), (10, 1)])
def test_ramp(t, weight):
    assert ramp(t, 5, 12) == pytest.approx(weight)


# FPTT


def one_weight() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor([1.0], dtype=F64))


def test_code_form_by_hand():
    # W̄ = W = 1, λ = 0, α = 1/2, β = 1/2. The update takes W to 0.8:
    # λ = 0 − 0.5 (0.8 − 1) = 0.1;  W̄ = 0.5 + 0.4 − 1 · 0.1 = 0.8.  Next ∇R = 0.5 (0.8 − 0.8) − 0.1 = −0.1,
    # and with ρ = 0.5: −0.05
    for rho, expected in ((0.0, -0.1), (0.5, -0.05)):
        W = one_weight()
        form = CodeForm([W], alpha=0.5, beta=0.5, rho=rho)
        with torch.no_grad():
            W.fill_(0.8)
        form.advance([])
        assert [float(form.lam[0]), float(form.mean[0])] == pytest.approx([0.1, 0.8])
        assert float(form.gradient()[0]) == pytest.approx(expected)
    form.mean[0].fill_(0.7)
    form.adopt_mean()
    assert float(W.detach()) == pytest.approx(0.7)


def test_paper_form_by_hand():
    # W̄ = W = 1, α = 1/2. The update takes W to 0.8, where ∇l = 0.3:
    # W̄ = (1 + 0.8)/2 − 0.3/(2 · 0.5) = 0.6;  next ∇R = 0.5 (0.8 − 0.6) − 0.3/2 = −0.05
    W = one_weight()
    form = PaperForm([W], alpha=0.5)
    with torch.no_grad():
        W.fill_(0.8)
    form.advance([torch.tensor([0.3], dtype=F64)])
    assert float(form.mean[0]) == pytest.approx(0.6)
    assert float(form.gradient()[0]) == pytest.approx(-0.05)


def test_authors_variants_weigh_by_p_plus_a_tenth_and_leave_out_the_last_part():
    x, target = tiny.sequence(20)
    authors = tiny.learn(FPTT(parts=10, form="none", weights="authors", last_part=False), network(), (x, target))
    ours = tiny.learn(FPTT(parts=10, form="none"), network(), (x, target))
    assert len(authors.gradients) == 9 and len(ours.gradients) == 10
    for p in range(9):
        torch.testing.assert_close(authors.gradients[p][0], ours.gradients[p][0] * (p + 0.1) / ((p + 1) / 10))


def test_auxiliary_loss_by_hand():
    # C = 2, two samples of class 0. The first is right (p = [3/4, 1/4]), the second wrong (p = [1/4, 3/4]).
    y = torch.log(torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=F64))
    target = torch.tensor([0, 0])
    loss = AuxiliaryLoss(2, parts=3, uniform_epochs=1, like=y)
    # In a uniform epoch: mean over 2 × 2 of −½ log p = ½ · (−log 3/4 − log 1/4)/2
    assert float(loss(y, target, 1, epoch=0)) == pytest.approx(-0.25 * float(torch.log(y.exp()).sum()) / 2)
    assert float(loss(y, target, 1, epoch=1)) == 0  # Q is still 0
    loss.learn(y, target, 1)
    assert loss.Q[0, 1].tolist() == pytest.approx([0.25, 0.75])
    assert float(loss.Q.sum()) == pytest.approx(1), "no other class, no other part"
    # −(1/4) Σ over both samples and classes of Q log p
    expected = -(0.25 * y[:, 0] + 0.75 * y[:, 1]).sum() / 4
    assert float(loss(y, target, 1, epoch=1)) == pytest.approx(float(expected))


@pytest.mark.parametrize("epoch", [0, 1])
def test_auxiliary_loss_by_tensor_operations_is_that_of_the_compiled_loop(epoch):
    """Value, gradient and table, of three classes and two parts, with samples that are right and wrong."""
    generator = torch.Generator().manual_seed(2)
    y, target = torch.randn(12, 3, dtype=F64, generator=generator), torch.randint(3, (12,), generator=generator)

    def computed() -> list[torch.Tensor]:
        loss = AuxiliaryLoss(3, parts=2, uniform_epochs=1, like=y)
        for part in range(2):
            loss.learn(y * (1 + part), target, part)
        outputs = y.clone().requires_grad_()
        value = loss.beside(0.3, outputs, target, 1, epoch)
        return [value.detach(), *torch.autograd.grad(value, outputs), loss.Q]

    with without_compiled_loops():
        by_tensors = computed()
    for ours, theirs in zip(computed(), by_tensors, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_auxiliary_loss_is_added_with_what_the_ramp_leaves():
    x, target = tiny.sequence()
    rule, plain = (
        FPTT(parts=2, auxiliary="authors", auxiliary_uniform_epochs=9, form="none"),
        FPTT(parts=2, form="none"),
    )
    with_it, without = tiny.learn(rule, network(), (x, target)), tiny.learn(plain, network(), (x, target))
    net = network()
    window = net.unroll(x[:6], net.initial_state(tiny.BATCH))
    L = rule.auxiliary_loss(window.outputs[-1], target, 0, 0) / 2
    for a, b, g in zip(
        with_it.gradients[0], without.gradients[0], torch.autograd.grad(L, list(net.parameters())), strict=True
    ):
        torch.testing.assert_close(a - b, g)
    for a, b in zip(with_it.gradients[1], without.gradients[1], strict=True):
        assert torch.equal(a, b), "the last part has nothing left for it"


@pytest.mark.usefixtures("tensor_operations")
def test_fptt_tells_the_regulariser_against_the_loss():
    rule, net = FPTT(parts=3, alpha=0.5), network("alif")
    x, target = tiny.sequence()
    norms = {"R": 0.0, "l": 0.0}

    class Spy(tiny.Recorder):
        def __call__(self) -> None:
            penalty_gradient = rule.regulariser.gradient()
            norms["R"] += sum(float(g.square().sum()) for g in penalty_gradient)
            norms["l"] += sum(
                float((p.grad - g).square().sum()) for p, g in zip(self.parameters, penalty_gradient, strict=True)
            )
            super().__call__()

    tiny.learn(rule, net, (x, target), update=Spy(net, rate=0.1))
    ratio = rule.end_epoch()["regulariser_ratio"]
    assert isinstance(ratio, Observation) and ratio.unit == "1"
    assert ratio.value == pytest.approx((norms["R"] / norms["l"]) ** 0.5) and 0 < ratio.value < 1
    assert rule.end_epoch() == {}, "an epoch without updates has nothing to tell"
    assert FPTT(form="none").claims == rule.claims


def test_mean_weights_are_taken_over_at_the_end_of_an_epoch_if_asked_for():
    for adopt in (True, False):
        rule, net = FPTT(parts=3, alpha=0.5, adopt_mean=adopt), network()
        tiny.learn(rule, net, tiny.sequence(), rate=0.1)
        mean = rule.regulariser.mean[0].clone()
        assert not torch.equal(mean, net.layers[0].inward.weight)
        rule.end_epoch()
        assert torch.equal(mean, net.layers[0].inward.weight) is adopt


def test_fptt_refuses_parts_that_the_sequence_cannot_be_cut_into():
    assert FPTT(parts=20).supports(network(), TASK, 10) == "10 steps cannot be cut into 20 parts"
    assert all(FPTT(parts=K).supports(network(), TASK, 10) is None for K in (*range(1, 11), None))


@pytest.mark.parametrize(
    ("parts", "windows"), [(1, [10]), (2, [5, 5]), (3, [3, 3, 4]), (6, [1, 2, 2, 1, 2, 2]), (None, [1] * 10)]
)
def test_fptt_cuts_a_sequence_into_any_number_of_parts(parts, windows):
    rule = FPTT(parts=parts)
    assert rule.windows(10) == windows and rule.window(10) == max(windows)


def test_auxiliary_loss_refuses_regression_and_the_authors_weights():
    assert "needs one class per sequence" in FPTT(auxiliary="authors").supports(network(), Regression(chance=1.0), 10)
    for weights in ("authors", "equal"):
        with pytest.raises(ValueError, match="needs weights: ramp"):
            FPTT(auxiliary="authors", weights=weights)


@pytest.mark.parametrize("form", ["paper", "none"])
@pytest.mark.parametrize("options", [{"update_alpha": 0.5}, {"reset_lambda": True}, {"reset_lambda": False}])
def test_options_of_the_code_form_are_refused_with_another(form, options):
    with pytest.raises(ValueError, match="would do nothing without form: code"):
        FPTT(form=form, **options)


@pytest.mark.parametrize(
    "options, needs",
    [
        ({"weights": "ramp"}, "weights would do nothing without loss_at: every"),
        ({"total": "mean"}, "total would do nothing without loss_at: every"),
        ({"backward": "each_step"}, "backward would do nothing without loss_at: every"),
        ({"loss_at": "every", "auxiliary": "authors"}, "needs weights: ramp"),
        ({"auxiliary_uniform_epochs": 3}, "would do nothing without auxiliary: authors"),
    ],
)
def test_bptt_refuses_options_without_effect(options, needs):
    with pytest.raises(ValueError, match=needs):
        BPTT(**options)


def test_bptt_with_losses_of_single_steps_needs_a_target_per_sequence():
    for options in ({"weights": "ramp"}, {"total": "sum"}, {"backward": "each_step"}):
        rule = BPTT(loss_at="every", **options)
        assert "one target per sequence" in rule.supports(network(), Classification(3, per_step=True), 10)
        assert rule.supports(network(), TASK, 10) is None
    aux = BPTT(loss_at="every", weights="ramp", auxiliary="authors")
    assert "needs classes" in aux.supports(network(), Regression(chance=1.0), 10)


def test_update_alpha_by_hand():
    # α = 0.5 in R, 0.2 in the update; W̄ = 1, λ = 0. The update takes W to 0.8:
    # λ = −0.2 (0.8 − 1) = 0.04;  W̄ = (1 + 0.8)/2 − (0.5/0.2) 0.04 = 0.8;  ∇R = 0.5 (0.8 − 0.8) − 0.04 = −0.04
    W = one_weight()
    form = CodeForm([W], alpha=0.5, beta=0.5, rho=0.0, update_alpha=0.2)
    with torch.no_grad():
        W.fill_(0.8)
    form.advance([])
    assert [float(form.lam[0]), float(form.mean[0])] == pytest.approx([0.04, 0.8])
    assert float(form.gradient()[0]) == pytest.approx(-0.04)
    form.reset()
    assert float(form.gradient()[0]) == pytest.approx(0)


# e-prop and rules like it


def test_eprop_with_random_feedback_differs_inside_and_agrees_at_the_readout():
    x, target = tiny.sequence()
    symmetric = tiny.learn(EProp(), network(), (x, target)).gradients[0]
    random = tiny.learn(EProp(feedback="random"), network(), (x, target)).gradients[0]
    assert not torch.allclose(symmetric[0], random[0])
    for a, b in zip(symmetric[-2:], random[-2:], strict=True):
        torch.testing.assert_close(a, b)


def test_adaptive_feedback_is_learnt_by_the_optimiser():
    rule, net = EProp(feedback="adaptive"), network()
    tiny.learn(rule, net, tiny.sequence())
    assert [p.shape for p in rule.parameters()] == [net.readout.linear.weight.shape]
    assert EProp().parameters() == EProp(feedback="random").parameters() == ()


@pytest.mark.parametrize(
    ("steps", "update_every", "windows"),
    [(7, None, [7]), (50, None, [25, 25]), (60, None, [10, 25, 25]), (60, 27, [2, 25, 2, 25, 6]), (7, 3, [3, 3, 1])],
)
def test_eprop_takes_blocks_that_end_at_updates(steps, update_every, windows):
    rule = EProp(loss_at="every", update_every=update_every)
    assert rule.windows(steps) == windows and rule.window(steps) == max(windows)


def test_the_mean_loss_of_eprop_s_windows_is_that_of_the_steps():
    x, target = tiny.sequence(60)
    rule, net = EProp(loss_at="every", update_every=27), network()
    rule.start(net, TASK, 60)
    losses = torch.stack(tiny.train_batch(rule, x, target, tiny.Recorder(net)))
    outputs = net.unroll(x, net.initial_state(tiny.BATCH)).outputs
    torch.testing.assert_close(losses.mean(), torch.stack([TASK.loss(y, target) for y in outputs]).mean())


def test_eprop_keeps_one_trace_for_all_lif_neurons_and_one_each_where_it_must():
    x, target = tiny.sequence()
    fan_in = tiny.INPUTS + tiny.SIZE + 1
    for neuron, shapes in (("lif", {"v": (fan_in,)}), ("alif", {"v": (fan_in,), "a": (1, tiny.SIZE, fan_in)})):
        rule, net = EProp(), network(neuron)
        rule.start(net, TASK, tiny.STEPS)
        rule.begin(tiny.BATCH, tiny.Recorder(net))
        for t in range(3):
            rule.learn(x[t : t + 1], target, t)
        kept = rule.traces["layer1"].stored["current"]
        assert {s: tuple(kept[s].shape[1:]) for s in shapes} == shapes


class Bare(Neuron):
    """A neuron that has no partial derivatives."""

    def initial_state(self, batch, like):
        return NEURONS["lif"].factory(self.size).initial_state(batch, like)

    def forward(self, current, state):
        return state.z, state


class Shifted(NEURONS["lif"].factory):
    """A neuron that learns something its partial derivatives do not know of."""

    def __init__(self, size):
        super().__init__(size)
        self.shift = torch.nn.Parameter(torch.zeros(size))


class Odd(Shifted):
    """A neuron that learns something that belongs to no one neuron."""

    def __init__(self, size):
        super().__init__(size)
        self.pairs = torch.nn.Parameter(torch.zeros(size, size))


def held_readout() -> Recurrent:
    net = network()
    net.readout.requires_grad_(False)
    return net


@pytest.mark.parametrize(
    ("rule", "net", "reason"),
    [
        (EProp(), lambda: tiny.recurrent(Bare), "has no partial derivatives (diagonal_rtrl"),
        (EProp(), lambda: tiny.recurrent(Shifted), "by its own parameters (shift)"),
        (EProp(rate_cost=1.0), lambda: network("lstm"), "LSTM does not spike"),
        (DiagonalRTRL(), lambda: tiny.recurrent(Odd), "pairs [5, 5]"),
        (EProp(), lambda: network(norm_steps=3), "batch normalisation"),
        (DiagonalRTRL(), lambda: network(readout_leak="gated"), "no leaky integrator with a constant leak"),
        (RTRL(), lambda: network(norm_steps=3), "batch normalisation"),
        (RTRL(), lambda: Recurrent(3, 4, NEURONS["lif"].factory, hidden=[100]), "rtrl is for small networks"),
        (EProp(), lambda: Recurrent(3, 4, partial(NEURONS["lif"].factory), hidden=[3, 3]), None),
        (KFRTRL(), lambda: Recurrent(3, 4, NEURONS["lif"].factory, hidden=[3, 3]), "one recurrent layer"),
        (KFRTRL(), lambda: network("ltc"), "membrane_gate.weight"),
        (KFRTRL(), lambda: network(readout_leak="gated"), "no leaky integrator with a constant leak"),
        (UORO(), lambda: network(norm_steps=3), "batch normalisation"),
        (CheckpointedBPTT(), lambda: network(norm_steps=3), "batch normalisation"),
        (RollingTBPTT(), lambda: network(norm_steps=3), "batch normalisation"),
        (RollingTBPTT(window=1), lambda: network(norm_steps=3), None),
        (OTTT(), lambda: tiny.recurrent(partial(NEURONS["lif"].factory, reset="zero")), "no single number"),
        (EProp(feedback="adaptive"), held_readout, "weights of the readout, which are not trained"),
        (EProp(), held_readout, None),
        (SnApN(), lambda: network("ltc"), "the neurons of layer1 depend on each other"),
        (OSTL(), lambda: network("ltc"), "the neurons of layer1 depend on each other"),
        (OSTL(with_H=False), lambda: network("ltc"), None),
        (EProp(), lambda: network("ltc"), None),
        (DiagonalRTRL(), lambda: network("lstm"), None),
        (RTRL(), lambda: Recurrent(3, 4, NEURONS["lif"].factory, hidden=[3, 3]), None),
    ],
)
def test_rules_say_why_they_cannot_train_a_net(rule, net, reason):
    said = rule.supports(net(), TASK, tiny.STEPS)
    assert said is None if reason is None else reason in said


def test_rules_say_when_they_keep_the_diagonal_only():
    for rule in (EProp(), DiagonalRTRL(), PPProp()):
        assert rule.remark(network("ltc")) == "eligibility through the diagonal of the state Jacobian only"
        assert rule.remark(network("alif")) is None
    assert FPTT().remark(network("ltc")) is None and SLTT().remark(network("ltc")) is None


def test_updates_in_between_need_a_loss_in_between():
    with pytest.raises(ValueError, match="update_every needs loss_at: every"):
        EProp(update_every=3)
    assert (
        len(tiny.learn(EProp(loss_at="every", update_every=5), network(), tiny.sequence()).gradients) == 3
    )  # at 5, 10 and 12


@pytest.mark.parametrize("rule", [EProp(), DiagonalRTRL(), RTRL()])
def test_nothing_is_minimised_before_the_last_step_of_a_loss_at_the_end(rule):
    x, target = tiny.sequence(4)
    net = network()
    rule.start(net, TASK, 4)
    rule.begin(tiny.BATCH, tiny.Recorder(net))
    losses = [rule.learn(x[t : t + 1], target, t) for t in range(4)]
    assert [loss is None for loss in losses] == [True, True, True, False]


def test_a_map_used_twice_in_a_step_is_told():
    class Twice(NEURONS["ltc"].factory):
        def forward(self, current, state):
            _, state = super().forward(current, state)
            return super().forward(current, state)

    with pytest.raises(ValueError, match="membrane_gate is used twice"):
        tiny.learn(DiagonalRTRL(), tiny.recurrent(Twice), tiny.sequence())


# Options that would do nothing


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FPTT(form="none", alpha=0.1), "alpha would do nothing without a regulariser"),
        (lambda: FPTT(form="paper", beta=0.5, rho=0.0), "beta, rho would do nothing without form: code"),
        (
            lambda: FPTT(auxiliary_uniform_epochs=3),
            "auxiliary_uniform_epochs would do nothing",
        ),
        (lambda: EProp(feedback_decay=0.1), "feedback_decay would do nothing without feedback: adaptive"),
        (lambda: EProp(rate_target=0.1), "rate_target would do nothing without rate_cost"),
        (lambda: NEURONS["ltc"].factory(3, adaptation="off", beta=1.0), "beta would do nothing without adaptation"),
        (lambda: network(readout_leak="gated", readout_tau=3.0), "readout_tau would do nothing without readout_leak"),
    ],
)
def test_options_that_would_do_nothing_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_fptt_that_would_train_on_nothing_is_refused():
    assert "nothing would be trained" in FPTT(parts=1, last_part=False).supports(network(), TASK, 10)
    assert FPTT(parts=2, last_part=False).supports(network(), TASK, 10) is None


def test_eprop_refuses_a_network_that_takes_steps_of_its_own():
    class Louder(Recurrent):
        def forward(self, x, state):
            return super().forward(10 * x, state)

    net = Louder(tiny.INPUTS, tiny.CLASSES, NEURONS["lif"].factory, hidden=[tiny.SIZE])
    assert "does not describe its layers" in EProp().supports(net, TASK, tiny.STEPS)


def test_diagonal_rtrl_refuses_a_map_that_is_not_called():
    class PastTheMap(NEURONS["ltc"].factory):
        def forward(self, current, state):
            maps = {name: (getattr(self, gate.map), gate.input(current, state)) for name, gate in self.gates.items()}
            outputs = {name: torch.nn.functional.linear(q, W.weight, W.bias) for name, (W, q) in maps.items()}
            after = self.step(current, state, SimpleNamespace(**outputs))
            return after.z, after

    said = DiagonalRTRL().supports(tiny.recurrent(PastTheMap), TASK, tiny.STEPS)
    assert "membrane_gate is not called in a step" in said


@pytest.mark.usefixtures("tensor_operations")
def test_the_paper_forms_second_pass_moves_no_running_statistics():
    means = []
    for form in ("none", "paper"):
        net = network("ltc", norm_steps=tiny.STEPS)
        tiny.learn(FPTT(parts=3, form=form), net, tiny.sequence())
        means.append(net.layers[0].inward_norm.running_mean.clone())
    torch.testing.assert_close(*means)


# What a step depends on besides its weights


class Begins(Neuron):
    """A tanh unit that begins at a trained state."""

    spiking, elementwise = False, True

    def __init__(self, size):
        super().__init__(size)
        self.first = torch.nn.Parameter(torch.full((size,), 0.3))

    def initial_state(self, batch, like):
        first = self.first.expand(batch, -1)
        return SimpleState(first, first)

    def step(self, I, s):
        v = tanh(0.9 * s.v + I)
        return SimpleState(v, v)


class SimpleState(NamedTuple):
    v: torch.Tensor
    z: torch.Tensor


def test_a_trained_first_state_has_its_gradient_or_is_declined():
    net = tiny.recurrent(Begins)
    exact = tiny.learn(BPTT(), net, tiny.sequence()).total()
    position = [name for name, _ in net.named_parameters()].index("layers.0.neuron.first")
    assert exact[position].abs().max() > 0
    assert tiny.error(tiny.learn(CheckpointedBPTT(), net, tiny.sequence()).total(), exact) < 1e-12
    assert "first state" in RTRL().supports(net, TASK, tiny.STEPS)
    single, longer = (tiny.learn(TruncatedBPTT(window=K), net, tiny.sequence(1)).total() for K in (1, 2))
    assert tiny.error(single, longer) == 0 and single[position].abs().max() > 0


class Fading(Recurrent):
    """Its input is divided by the number of the step."""

    def forward(self, x, state):
        return super().forward(x / (1 + state.t), state)

    def unroll(self, x, state):
        return stepped(self, x, state)


def test_rtrl_differentiates_each_step_at_its_own_number():
    net, (x, target) = network("leaky_tanh"), tiny.sequence()
    net.__class__ = Fading
    assert (
        tiny.error(tiny.learn(RTRL(), net, (x, target)).total(), tiny.learn(BPTT(), net, (x, target)).total()) < 1e-12
    )


@pytest.mark.usefixtures("tensor_operations")
def test_gates_that_share_a_weight_add_their_gradients():
    net = network("ltc", readout_tau=0.0)
    neuron = net.layers[0].neuron
    neuron.adaptation_gate.weight = neuron.membrane_gate.weight
    steps = tiny.learn(TruncatedBPTT(window=1, loss_at="every"), net, tiny.sequence()).total()
    assert tiny.error([g / tiny.STEPS for g in steps], tiny.learn(SLTT(), net, tiny.sequence()).total()) < 1e-12
