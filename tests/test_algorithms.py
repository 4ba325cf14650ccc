"""Learning rules: identities between them, worked numbers, and what each claims of itself."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from throughtime.algorithms.bptt import BPTT
from throughtime.algorithms.eprop import EProp
from throughtime.algorithms.fptt import FPTT
from throughtime.algorithms.tbptt import TruncatedBPTT, ramp
from throughtime.datasets.task import Classification, Regression
from throughtime.networks.recurrent import Recurrent
from throughtime.registry import ALGORITHMS, NEURONS

F64 = torch.float64
STEPS, BATCH, INPUTS, SIZE, CLASSES = 12, 5, 3, 6, 4


def network(neuron: str = "lif", **options) -> Recurrent:
    """The same weights at every call. Inputs are scaled up in `sequence` so that the neurons do spike."""
    torch.manual_seed(3)
    return Recurrent(INPUTS, CLASSES, NEURONS[neuron].factory, hidden=[SIZE], **options).double()


def sequence(steps: int = STEPS) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    x = 2 * torch.randn(steps, BATCH, INPUTS, dtype=F64, generator=generator)
    return x, torch.randint(CLASSES, (BATCH,), generator=generator)


class Recorder:
    """Stands in for the harness's update: keeps each gradient, then takes a plain gradient step."""

    def __init__(self, net: torch.nn.Module, rate: float = 0.0) -> None:
        self.parameters, self.rate = list(net.parameters()), rate
        self.gradients: list[list[torch.Tensor]] = []

    @torch.no_grad()
    def __call__(self) -> None:
        self.gradients.append([p.grad.clone() for p in self.parameters])
        for p in self.parameters:
            p.sub_(p.grad, alpha=self.rate)
            p.grad = None


def learn(rule, net, x, target, task=None, rate=0.0, update=None) -> Recorder:
    """Let the rule see one batch, window by window, as the harness does."""
    update = update or Recorder(net, rate)
    rule.start(net, task or Classification(CLASSES), len(x))
    rule.begin(x.shape[1], update)
    window = rule.window(len(x))
    for t in range(0, len(x), window):
        rule.learn(x[t : t + window], target, t)
    rule.end()
    return update


def assert_same(a: Recorder, b: Recorder, atol: float = 1e-12) -> None:
    assert len(a.gradients) == len(b.gradients)
    for step_a, step_b in zip(a.gradients, b.gradients, strict=True):
        for p, q in zip(step_a, step_b, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("neuron", ["lif", "alif", "ltc"])
@pytest.mark.parametrize("loss_at", ["end", "every"])
def test_bptt_is_autograd_of_the_unrolled_loss(neuron, loss_at):
    net, (x, target) = network(neuron), sequence()
    found = learn(BPTT(loss_at=loss_at), net, x, target).gradients
    state, losses = net.initial_state(BATCH), []
    for x_t in x:
        step, state = net(x_t, state)
        losses.append(Classification(CLASSES).loss(step.output, target))
    expected = torch.autograd.grad(losses[-1] if loss_at == "end" else sum(losses) / STEPS, list(net.parameters()))
    assert len(found) == 1
    for a, b in zip(found[0], expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("neuron", ["lif", "alif", "ltc"])
@pytest.mark.parametrize("K", [STEPS, STEPS + 5])
def test_tbptt_with_a_window_of_the_whole_sequence_is_bptt(neuron, K):
    x, target = sequence()
    truncated = learn(TruncatedBPTT(window=K), network(neuron), x, target)
    assert_same(truncated, learn(BPTT(), network(neuron), x, target))


def test_tbptt_updates_at_each_window_and_drops_credit_across_the_cut():
    x, target = sequence()
    truncated = learn(TruncatedBPTT(window=5), network(), x, target)
    assert len(truncated.gradients) == 3  # windows of 5, 5 and 2 steps
    whole = learn(BPTT(), network(), x, target).gradients[0]
    assert not torch.allclose(truncated.gradients[-1][0], whole[0])


@pytest.mark.parametrize("neuron", ["lif", "alif", "ltc"])
@pytest.mark.parametrize("parts", [1, 4, 6, STEPS, None])
def test_fptt_without_regulariser_is_tbptt_with_its_windows_and_weights(neuron, parts):
    x, target = sequence()
    fptt = FPTT(parts=parts, regulariser=False)
    tbptt = TruncatedBPTT(window=fptt.window(STEPS), weights="ramp")
    assert_same(learn(fptt, network(neuron), x, target, rate=0.1), learn(tbptt, network(neuron), x, target, rate=0.1))


def test_fptt_of_one_part_without_regulariser_is_bptt():
    x, target = sequence()
    assert_same(learn(FPTT(parts=1, regulariser=False), network(), x, target), learn(BPTT(), network(), x, target))


def test_fptt_tends_to_its_loop_without_regulariser_as_alpha_and_the_steps_vanish():
    """R's gradient is of the size α η: at a hundredth of α it is a hundredth."""
    x, target = sequence()

    def distance(alpha: float) -> float:
        with_r = learn(FPTT(parts=4, alpha=alpha), network(), x, target, rate=0.1).gradients[1]
        without = learn(FPTT(parts=4, regulariser=False), network(), x, target, rate=0.1).gradients[1]
        return max(float((a - b).abs().max()) for a, b in zip(with_r, without, strict=True))

    assert distance(1e-3) == pytest.approx(distance(1e-1) / 100, rel=1e-6)


def test_fptt_adds_nothing_at_the_first_update_of_a_training():
    x, target = sequence()
    with_r = learn(FPTT(parts=3, alpha=0.5), network(), x, target, rate=0.1)
    without = learn(FPTT(parts=3, regulariser=False), network(), x, target, rate=0.1)
    for a, b in zip(with_r.gradients[0], without.gradients[0], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(with_r.gradients[1][0], without.gradients[1][0])


def test_fptt_mean_forgets_itself_at_beta_one_half():
    """W̄ = W − λ/(2α), with the λ of before the update."""
    x, target = sequence()
    net, rule = network(), FPTT(parts=STEPS, alpha=0.2, beta=0.5)
    before: list[list[torch.Tensor]] = []

    class Spy(Recorder):
        def __call__(self) -> None:
            before.append([λ.clone() for λ in rule.lam])
            super().__call__()

    learn(rule, net, x, target, update=Spy(net, rate=0.1))
    for W, mean, λ in zip(net.parameters(), rule.mean, before[-1], strict=True):
        torch.testing.assert_close(mean, W.detach() - λ / (2 * 0.2), rtol=0, atol=1e-13)
        assert float(λ.abs().max()) > 0


def test_fptt_regulariser_by_hand():
    # One weight: W̄ = W = 1, λ = 0, α = 1/2, β = 1/2. The update takes W to 0.8:
    # λ = 0 − 0.5 (0.8 − 1) = 0.1;  W̄ = 0.5 + 0.4 − 1 · 0.1 = 0.8.  Next ∇R = 0.5 (0.8 − 0.8) − 0.1 = −0.1
    W = torch.nn.Parameter(torch.tensor([1.0], dtype=F64))
    rule = FPTT(alpha=0.5, beta=0.5)
    rule.W, rule.mean, rule.lam = [W], [W.detach().clone()], [torch.zeros(1, dtype=F64)]
    with torch.no_grad():
        W.fill_(0.8)
    rule._advance_mean()
    assert [float(rule.lam[0]), float(rule.mean[0])] == pytest.approx([0.1, 0.8])
    rule._add_regulariser_gradient()
    assert float(W.grad) == pytest.approx(-0.1)
    rule.end_epoch()
    assert float(W.detach()) == pytest.approx(0.8)


def test_fptt_authors_variants_weigh_by_p_plus_a_tenth_and_leave_out_the_last_part():
    x, target = sequence(20)
    rule = FPTT(parts=10, regulariser=False, weights="authors", last_part=False)
    plain = FPTT(parts=10, regulariser=False)
    authors, ours = learn(rule, network(), x, target), learn(plain, network(), x, target)
    assert len(authors.gradients) == 9 and len(ours.gradients) == 10
    for p in range(9):
        torch.testing.assert_close(authors.gradients[p][0], ours.gradients[p][0] * (p + 0.1) / ((p + 1) / 10))


@pytest.mark.parametrize(("t", "weight"), [(0, 1 / 3), (5, 2 / 3), (10, 1)])
def test_ramp(t, weight):
    assert ramp(t, 5, 12) == pytest.approx(weight)


def autograd_eprop(net: Recurrent, x, target, task, loss_at) -> list[torch.Tensor]:
    """The definition: autograd, with every spike cut on its way to another neuron."""
    layer, readout = net.layers[0], net.readout
    initial = net.initial_state(BATCH)
    state, y, losses = initial.layers[0], initial.y, []
    for x_t in x:
        current = layer.inward(x_t) + layer.recurrent(state.z.detach())
        _, state = layer.neuron(current, state)
        y = readout(getattr(state, readout.reads), y)
        losses.append(task.loss(y, target))
    E = losses[-1] if loss_at == "end" else sum(losses) / len(x)
    return list(torch.autograd.grad(E, list(net.parameters())))


@pytest.mark.parametrize("neuron", ["lif", "alif"])
@pytest.mark.parametrize("readout", [{}, {"readout_tau": 0.0}, {"readout": "membrane", "readout_tau": 0.0}])
@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("loss_at", ["end", "every"])
def test_eprop_is_autograd_with_spikes_between_neurons_cut(neuron, readout, kind, loss_at):
    net, (x, target) = network(neuron, **readout), sequence(30)
    task: Classification | Regression = Classification(CLASSES)
    if kind == "regression":
        task, target = Regression(chance=1.0), torch.randn(BATCH, CLASSES, dtype=F64)
    found = learn(EProp(loss_at=loss_at), net, x, target, task).gradients
    expected = autograd_eprop(net, x, target, task, loss_at)
    assert len(found) == 1
    for a, b in zip(found[0], expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)
    bptt = learn(BPTT(loss_at=loss_at), net, x, target, task).gradients[0]
    assert float((bptt[2] - expected[2]).abs().max()) > 1e-6, "the recurrent path must matter for this to tell"


@pytest.mark.parametrize("neuron", ["lif", "alif"])
def test_eprop_of_one_step_is_bptt(neuron):
    x, target = sequence(1)
    assert_same(learn(EProp(), network(neuron), x, target), learn(BPTT(loss_at="every"), network(neuron), x, target))


def test_eprop_with_random_feedback_differs_inside_and_agrees_at_the_readout():
    x, target = sequence()
    symmetric = learn(EProp(), network(), x, target).gradients[0]
    random = learn(EProp(feedback="random"), network(), x, target).gradients[0]
    assert not torch.allclose(symmetric[0], random[0])
    for a, b in zip(symmetric[-2:], random[-2:], strict=True):
        torch.testing.assert_close(a, b)


def test_eprop_keeps_one_trace_for_all_lif_neurons_and_one_each_where_it_must():
    x, target = sequence()
    fan_in = INPUTS + SIZE + 1
    for neuron, shapes in (("lif", {"v": (1, fan_in)}), ("alif", {"v": (1, fan_in), "a": (SIZE, fan_in)})):
        rule, net = EProp(), network(neuron)
        rule.start(net, Classification(CLASSES), STEPS)
        rule.begin(BATCH, Recorder(net))
        for t in range(3):
            rule.learn(x[t : t + 1], target, t)
        assert {s: tuple(ε.shape[1:]) for s, ε in rule.ε.items()} == shapes


def test_eprop_says_why_it_cannot_train_ltc_or_two_layers():
    task = Classification(CLASSES)
    assert "depends on the others' states" in EProp().supports(network("ltc"), task, STEPS)
    two = Recurrent(INPUTS, CLASSES, partial(NEURONS["lif"].factory), hidden=[3, 3])
    assert "one recurrent layer" in EProp().supports(two, task, STEPS)
    assert EProp().supports(network("alif"), task, STEPS) is None


def test_eprop_refuses_a_neuron_that_learns_something_of_its_own():
    net = network("lif")
    net.layers[0].neuron.threshold_shift = torch.nn.Parameter(torch.zeros(SIZE))
    assert "(threshold_shift)" in EProp().supports(net, Classification(CLASSES), STEPS)


def test_fptt_refuses_parts_that_the_sequence_cannot_be_cut_into():
    task = Classification(CLASSES)
    assert FPTT(parts=6).supports(network(), task, 10) == "10 steps cannot be cut into 6 parts: windows of 2 make 5"
    assert FPTT(parts=20).supports(network(), task, 10) is not None
    assert all(FPTT(parts=K).supports(network(), task, 10) is None for K in (1, 2, 4, 5, 10, None))


def test_eprop_minimises_nothing_before_the_last_step_of_a_loss_at_the_end():
    x, target = sequence(4)
    rule, net = EProp(), network()
    rule.start(net, Classification(CLASSES), 4)
    rule.begin(BATCH, Recorder(net))
    losses = [rule.learn(x[t : t + 1], target, t).loss for t in range(4)]
    assert [loss is None for loss in losses] == [True, True, True, False]


@pytest.mark.parametrize("name", ALGORITHMS.names())
@pytest.mark.parametrize("neuron", NEURONS.names())
def test_every_rule_reaches_every_parameter_and_lets_go_at_the_end(name, neuron):
    rule, net, (x, target) = ALGORITHMS[name].factory(), network(neuron), sequence()
    if reason := rule.supports(net, Classification(CLASSES), STEPS):
        pytest.skip(reason)
    found = learn(rule, net, x, target)
    for (parameter, _), *gradients in zip(net.named_parameters(), *found.gradients, strict=True):
        assert any(float(g.abs().max()) > 0 for g in gradients), f"{parameter} has no gradient"
    assert rule.state is None


@pytest.mark.parametrize("name", ALGORITHMS.names())
@pytest.mark.parametrize("steps", [1, 7, 12])
def test_windows_lie_between_one_step_and_all(name, steps):
    assert 1 <= ALGORITHMS[name].factory().window(steps) <= steps
