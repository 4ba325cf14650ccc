"""Claims of a learning rule on its gradient, and its reported losses, against autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.algorithms.base import LearningRule, LossAt
from throughtime.checks import tiny
from throughtime.checks.cases import Case
from throughtime.checks.fact import DoesNotApplyError, Observed
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.trees import detached

Rule = Callable[[], LearningRule]
"""A function that returns a fresh rule."""


def total_gradient(rule: LearningRule, case: Case, start_seed: int = 11) -> tiny.Gradients:
    """Return the sum of a sequence's updates, after the rule has learned another batch."""
    return tiny.learn(rule, case.network, case.batch, case.task, after=case.before, seeds=(start_seed, 11)).total()


def distance_to_bptt(rule: Rule, case: Case) -> float:
    """Return the error of the gradient, for the loss at the end or at every step, whichever the rule minimises."""
    total = total_gradient(rule(), case)
    return min(tiny.error(total, case.exact(loss_at)) for loss_at in case.losses)


# --- rules with a constant state before each window


class WindowLoss(NamedTuple):
    """One window's loss, with a constant state before the steps that its gradient passes through."""

    value: float
    gradient: tiny.Gradients


def window_losses(rule: LearningRule, case: Case, loss_at: LossAt) -> list[WindowLoss]:
    """Return the loss of each of the rule's windows after its last step, or the mean over its steps, by plain steps."""
    (x, target), network, task = case.batch, case.network, case.task
    with tiny.seeded(11):
        before = [network.initial_state(x.shape[1])]
    for x_t in x:
        before.append(detached(network(x_t, before[-1])[1]))
    windows = []
    for span, k in zip(rule.spans(len(x)), rule.windows(len(x)), strict=True):
        losses, state = [], before[span.start]
        for t in span:
            step, state = network(x[t], state)
            losses.append(task.loss(step.output, target[t] if task.per_step else target))
        E = losses[-1] if loss_at == "end" else torch.stack(losses[-k:]).mean()
        windows.append(WindowLoss(float(E.detach()), tiny.gradient(E, network)))
    return windows


class OfWindows(NamedTuple):
    """A rule's gradient beside Σ_p w_p G_p, with the gradients G_p and the stated weights w_p of its windows."""

    error: float
    losses: list[float]
    """Losses l_p of the windows."""
    weighed: list[float]
    """w_p l_p."""


def truncated(rule: Rule, case: Case) -> OfWindows:
    """Return the nearer one of two: losses after each window's last step, or averaged over its steps."""
    total, candidates = total_gradient(rule(), case), []
    w = list(rule().window_weights(len(case.batch[0])))
    for loss_at in case.losses:
        pairs = window_losses(rule(), case, loss_at)
        weighed = zip(*([w_p * g for g in G] for w_p, (_, G) in zip(w, pairs, strict=True)), strict=True)
        summed = [torch.stack(parts).sum(0) for parts in weighed]
        nearer = min(tiny.error(total, summed), tiny.error(total, [g / len(w) for g in summed]))
        values = [value for value, _ in pairs]
        candidates.append(OfWindows(nearer, values, [w_p * value for w_p, value in zip(w, values, strict=True)]))
    return min(candidates, key=lambda candidate: candidate.error)


def distance_to_windows(rule: Rule, case: Case) -> float:
    """Return the error of the gradient against Σ_p w_p G_p or its mean over the windows, with the stated weights."""
    return truncated(rule, case).error


# --- rules that approximate


def misalignment(rule: Rule, case: Case) -> Observed:
    """Return 1 − cosine to BPTT's gradient, for the loss that gives the smaller value; the note is the ratio of norms.

    The value is the largest of all parameters; the readout is left out, because it assigns no credit through time.
    Random feedback has directions on both sides of a right angle (value 1): for a rule that draws when it starts, the
    cosine is that of all parameters together, averaged over draws.

    Raises:
        DoesNotApplyError: the rule trains the readout alone, or draws random numbers while it learns.
    """
    network = case.network
    if draws_while_learning(rule(), case):
        raise DoesNotApplyError("it draws random numbers while it learns: its mean is judged")
    exact = [inside(network, case.exact(loss_at)) for loss_at in case.losses]

    def cosines(gradients: tiny.Gradients) -> Tensor:
        """Return the cosines for both losses and each tensor, [2, tensors]."""
        expected = exact if len(gradients) > 1 else [[flat(e)] for e in exact]
        return torch.stack([torch.stack([*map(cosine, gradients, e)]) for e in expected])

    first, other = (inside(network, total_gradient(rule(), case, seed)) for seed in (11, 12))
    if all(map(torch.equal, first, other)):
        values = cosines(first)
    else:
        drawn = (inside(network, total_gradient(rule(), case, seed)) for seed in range(11, 19))
        values = torch.stack([cosines([flat(g)]) for g in drawn]).mean(0)
    largest, nearer = values.min(1).values.max(0)
    ratio = float(flat(first).norm() / flat(exact[int(nearer)]).norm())
    return Observed(1 - float(largest), f"norm {ratio:.2g} of BPTT's")


def draws_while_learning(rule: LearningRule, case: Case) -> bool:
    """Return whether a batch draws more of torch's random numbers than the network's initial state does."""
    (x, target), network = case.batch, case.network
    with tiny.seeded(11):
        network.initial_state(x.shape[1])
        expected = torch.get_rng_state()
        rule.start(network, case.task, len(x))
    with tiny.seeded(11):
        rule.begin(x.shape[1], tiny.Recorder(network, 0.0, rule.parameters()))
        for t, part in tiny.windows(rule, x, target):
            rule.learn(part.x, part.target, t)
        rule.end()
        return not torch.equal(torch.get_rng_state(), expected)


def readout_error(rule: Rule, case: Case) -> float:
    """Return the error of the readout's gradient: the readout is linear, with no spike to approximate.

    The expected value is the one of BPTT or, where the rule cuts the readout's memory between windows, the mean of the
    windows' gradients, or their sum with an update for each; for the loss at the end or at every step.
    """
    if draws_while_learning(rule(), case):
        raise DoesNotApplyError("it draws random numbers while it learns")
    held = [k for k, name in enumerate(trained(case.network)) if name.startswith("readout")]
    if not held:
        raise DoesNotApplyError("no readout is trained")
    return min(errors_by_loss(rule, case, held).values())


def errors_by_loss(rule: Rule, case: Case, held: Sequence[int]) -> dict[LossAt, float]:
    """Return the error of these parameters' gradient for each loss, against BPTT's or that of the windows, the nearer
    one."""
    recorder = tiny.learn(rule(), case.network, case.batch, case.task, after=case.before)
    total, errors = recorder.total(), {}
    for loss_at in case.losses:
        gradients = [G for _, G in window_losses(rule(), case, loss_at)]
        together = [torch.stack(g).sum(0) for g in zip(*gradients, strict=True)]
        expected = [case.exact(loss_at), [g / len(gradients) for g in together]]
        if len(recorder.gradients) == len(gradients):
            expected.append(together)
        errors[loss_at] = min(
            tiny.error([total[k] for k in held], [candidate[k] for k in held]) for candidate in expected
        )
    return errors


# --- losses


def misreported(rule: Rule, case: Case) -> float:
    """Return the error of the mean of the reported losses, which the learning curve shows.

    The expected value is the loss after the last step or the mean over all steps, whichever has the nearer gradient (of
    the readout, which is exact in more rules than others). For truncated rules it is the mean over the windows' losses,
    each weighed as in the gradient or not. A rule that draws while it learns may report the loss at weights nearby: of
    either loss, an error of up to a half counts as none.
    """
    network, started = case.network, rule()
    with tiny.seeded(11):
        started.start(network, case.task, len(case.batch[0]))
    losses = tiny.train_batch(started, *case.batch, tiny.Recorder(network, 0.0, started.parameters()))
    reported = [float(loss) for loss in losses if loss is not None]
    mean = sum(reported) / len(reported)

    def nearest(expected: Sequence[float]) -> float:
        return min(abs(mean / value - 1) for value in expected)

    if rule().claims.gradient == "truncated":
        _, losses_of_windows, weighed = truncated(rule, case)
        return nearest([sum(losses_of_windows) / len(losses_of_windows), sum(weighed) / len(weighed)])
    steps = step_losses(case)
    by_loss: dict[LossAt, float] = {"end": steps[-1], "every": sum(steps) / len(steps)}
    if draws_while_learning(rule(), case):
        return max(0.0, nearest([*by_loss.values()]) - 0.5)
    names = trained(network)
    held = [k for k, name in enumerate(names) if name.startswith("readout")] or [*range(len(names))]
    errors = errors_by_loss(rule, case, held)
    return nearest([by_loss[loss_at] for loss_at in case.losses if errors[loss_at] == min(errors.values())])


@torch.no_grad()
def step_losses(case: Case) -> list[float]:
    """Return the loss of each step's output."""
    (x, target), network, losses = case.batch, case.network, []
    with tiny.seeded(11):
        state = network.initial_state(x.shape[1])
    for t, x_t in enumerate(x):
        step, state = network(x_t, state)
        losses.append(float(case.task.loss(step.output, target[t] if case.task.per_step else target)))
    return losses


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.cosine_similarity(a.flatten(), b.flatten(), 0)


def flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients])


def trained(network: Recurrent) -> list[str]:
    """Return the names of the trainable parameters, in the network's order."""
    return [name for name, p in network.named_parameters() if p.requires_grad]


def inside(network: Recurrent, gradients: tiny.Gradients) -> tiny.Gradients:
    """Return the gradients without those of the readout."""
    hidden = [g for name, g in zip(trained(network), gradients, strict=True) if not name.startswith("readout")]
    if not hidden:
        raise DoesNotApplyError("it trains the readout alone")
    return hidden
