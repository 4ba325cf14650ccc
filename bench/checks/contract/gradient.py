"""Claims of a learning rule on its gradient, and its reported losses, against autograd."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from throughtime.algorithms.base import LearningRule, LossAt
from throughtime.checks import tiny
from throughtime.checks.fact import DoesNotApplyError, Observed
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.numerics.trees import detached

TASK = Classification(tiny.CLASSES)
LOSSES: tuple[LossAt, ...] = ("end", "every")
Rule = Callable[[], LearningRule]
"""A function that returns a fresh rule."""


def total_gradient(rule: LearningRule, network: Recurrent, start_seed: int = 11) -> tiny.Gradients:
    """Return the sum of a sequence's updates, after the rule has learned another batch."""
    return tiny.learn(rule, network, tiny.sequence(), after=tiny.sequence(seed=17), seeds=(start_seed, 11)).total()


def distance_to_bptt(rule: Rule, network: Recurrent) -> float:
    """Return the error of the gradient, for the loss at the end or at every step, whichever the rule minimises."""
    total = total_gradient(rule(), network)
    return min(tiny.error(total, tiny.backprop(network, *tiny.sequence(), TASK, loss_at)) for loss_at in LOSSES)


# --- rules with a constant state before each window


class WindowLoss(NamedTuple):
    """One window's loss, with a constant state before the window."""

    value: float
    gradient: tiny.Gradients


def window_losses(rule: LearningRule, network: Recurrent, loss_at: LossAt) -> Iterator[WindowLoss]:
    """Yield the loss of each of the rule's spans after its last step, or the mean over its steps, by plain steps."""
    x, target = tiny.sequence()
    with tiny.seeded(11):
        before = [network.initial_state(len(target))]
    for x_t in x:
        before.append(detached(network(x_t, before[-1])[1]))
    for span in rule.spans(len(x)):
        losses, state = [], before[span.start]
        for t in span:
            step, state = network(x[t], state)
            losses.append(TASK.loss(step.output, target))
        E = losses[-1] if loss_at == "end" else torch.stack(losses).mean()
        yield WindowLoss(float(E.detach()), tiny.gradient(E, network))


class Weighing(NamedTuple):
    """The weights w_p ≥ 0 of the windows' gradients G_p that minimise ‖Σ_p w_p G_p − g‖, with g a rule's gradient."""

    weights: np.ndarray
    residual: float
    """‖Σ_p w_p G_p − g‖ / ‖g‖."""
    losses: np.ndarray
    """Losses of the windows, unweighted."""


def weighing(rule: Rule, network: Recurrent) -> Weighing:
    """Return the better weighing of two: losses after each window's last step, or averaged over its steps."""
    g = flat(total_gradient(rule(), network))
    size = float(g.norm())
    if not 0 < size < math.inf:
        raise ValueError(f"the norm of its gradient is {size}")
    found = []
    for loss_at in LOSSES:
        each = list(window_losses(rule(), network, loss_at))
        weights, residual = nnls(torch.stack([flat(G) for _, G in each], 1).numpy(), g.numpy())
        found.append(Weighing(weights, residual / size, np.array([value for value, _ in each])))
    return min(found, key=lambda w: w.residual)


def outside_windows(rule: Rule, network: Recurrent) -> float:
    """Return the part of the gradient that is no sum of its windows' gradients with one non-negative weight each."""
    return weighing(rule, network).residual


def spread_of_weights(rule: Rule, network: Recurrent) -> float:
    """Return the largest weight of a window over the smallest; windows with weight 0 do not count."""
    weights = weighing(rule, network).weights
    counted = weights[weights > 1e-12 * weights.max()]
    return float(counted.max() / counted.min())


# --- rules that approximate


def misalignment(rule: Rule, network: Recurrent) -> Observed:
    """Return 1 − cosine to BPTT's gradient, for the loss that gives the smaller value; the note is the ratio of norms.

    The value is the largest of all parameters; the readout is left out, because it assigns no credit through time.
    Random feedback has directions on both sides of a right angle (value 1): for a rule that draws when it starts, the
    cosine is that of all parameters together, averaged over draws.

    Raises:
        DoesNotApplyError: the rule trains the readout alone, or draws random numbers while it learns.
    """
    if draws_while_learning(rule(), network):
        raise DoesNotApplyError("it draws random numbers while it learns: its mean is judged")
    exact = [inside(network, tiny.backprop(network, *tiny.sequence(), TASK, loss_at)) for loss_at in LOSSES]

    def cosines(found: tiny.Gradients) -> Tensor:
        """Return the cosines for both losses and each tensor, [2, tensors]."""
        expected = exact if len(found) > 1 else [[flat(e)] for e in exact]
        return torch.stack([torch.stack([*map(cosine, found, e)]) for e in expected])

    first, other = (inside(network, total_gradient(rule(), network, seed)) for seed in (11, 12))
    if all(map(torch.equal, first, other)):
        each = cosines(first)
    else:
        drawn = (inside(network, total_gradient(rule(), network, seed)) for seed in range(11, 19))
        each = torch.stack([cosines([flat(g)]) for g in drawn]).mean(0)
    of_loss, nearer = each.min(1).values.max(0)
    ratio = float(flat(first).norm() / flat(exact[int(nearer)]).norm())
    return Observed(1 - float(of_loss), f"norm {ratio:.2g} of BPTT's")


COPIES, REPEATS = 256, 8


def turned_around(rule: Rule, network: Recurrent) -> Observed:
    """Return −(c̄ + 3 e), which is positive if the mean gradient of a rule that draws while it learns opposes BPTT's.

    c = ⟨g, G⟩ / ⟨G, G⟩ is the length of the rule's gradient g along BPTT's, G; c̄ its mean over repetitions, each with
    many copies of the sequences in one batch, and e the standard error. The readout is left out.

    Raises:
        DoesNotApplyError: the rule trains the readout alone, or draws nothing while it learns.
    """
    if not draws_while_learning(rule(), network):
        raise DoesNotApplyError("it draws no random numbers while it learns")
    x, target = tiny.sequence()
    x, target = x.repeat(1, COPIES, 1), target.repeat(COPIES)
    found = []
    for seed in range(REPEATS):
        g = flat(inside(network, tiny.learn(rule(), network, (x, target), seeds=(11, seed)).total()))
        exact = [flat(inside(network, tiny.backprop(network, x, target, TASK, loss_at, seed))) for loss_at in LOSSES]
        found.append(torch.stack([g @ G / (G @ G) for G in exact]))
    c = torch.stack(found)
    mean, e = c.mean(0), c.std(0) / REPEATS**0.5
    nearer = int((mean + 3 * e).argmax())
    return Observed(
        -float(mean[nearer] + 3 * e[nearer]), f"{float(mean[nearer]):.2f} ± {float(e[nearer]):.2f} of BPTT's"
    )


def draws_while_learning(rule: LearningRule, network: Recurrent) -> bool:
    """Return whether a batch draws more of torch's random numbers than the network's initial state does."""
    x, target = tiny.sequence()
    with tiny.seeded(11):
        network.initial_state(len(target))
        expected = torch.get_rng_state()
        rule.start(network, TASK, len(x))
    with tiny.seeded(11):
        rule.begin(len(target), tiny.Recorder(network, 0.0, rule.parameters()))
        for t, part in tiny.windows(rule, x, target):
            rule.learn(part.x, part.target, t)
        rule.end()
        return not torch.equal(torch.get_rng_state(), expected)


def readout_error(rule: Rule, network: Recurrent) -> float:
    """Return the error of the readout's gradient: the readout is linear, with no spike to approximate.

    The expected value is the one of BPTT or, where the rule cuts the readout's memory between windows, the mean of the
    windows' gradients; for the loss at the end or at every step.
    """
    if draws_while_learning(rule(), network):
        raise DoesNotApplyError("it draws random numbers while it learns")
    held = [k for k, name in enumerate(trained(network)) if name.startswith("readout")]
    if not held:
        raise DoesNotApplyError("no readout is trained")
    return min(errors_by_loss(rule, network, held).values())


def errors_by_loss(rule: Rule, network: Recurrent, held: Sequence[int]) -> dict[LossAt, float]:
    """Return the error of these parameters' gradient for each loss, against BPTT's or the mean of the windows', the
    nearer one."""
    total, found = total_gradient(rule(), network), {}
    for loss_at in LOSSES:
        each = [G for _, G in window_losses(rule(), network, loss_at)]
        mean = [torch.stack(g).mean(0) for g in zip(*each, strict=True)]
        expected = (tiny.backprop(network, *tiny.sequence(), TASK, loss_at), mean)
        found[loss_at] = min(tiny.error([total[k] for k in held], [one[k] for k in held]) for one in expected)
    return found


# --- losses


def misreported(rule: Rule, network: Recurrent) -> float:
    """Return the error of the mean of the reported losses, which the learning curve shows.

    The expected value is the loss after the last step or the mean over all steps, whichever has the nearer gradient (of
    the readout, which is exact in more rules than others); of a rule that draws while it learns both are accepted. For
    truncated rules it is the mean over the windows' losses, each weighted as in the gradient or not.
    """
    started = rule()
    with tiny.seeded(11):
        started.start(network, TASK, len(tiny.sequence()[0]))
    losses = tiny.train_batch(started, *tiny.sequence(), tiny.Recorder(network, 0.0, started.parameters()))
    reported = [float(loss) for loss in losses if loss is not None]
    if rule().claims.gradient == "truncated":
        weights, _, of_windows = weighing(rule, network)
        expected = [float(of_windows.mean()), float((weights * of_windows).mean())]
    else:
        steps = step_losses(network)
        by_loss: dict[LossAt, float] = {"end": steps[-1], "every": sum(steps) / len(steps)}
        if not draws_while_learning(rule(), network):
            names = trained(network)
            held = [k for k, name in enumerate(names) if name.startswith("readout")] or [*range(len(names))]
            errors = errors_by_loss(rule, network, held)
            by_loss = {loss_at: by_loss[loss_at] for loss_at in LOSSES if errors[loss_at] == min(errors.values())}
        expected = [*by_loss.values()]
    mean = sum(reported) / len(reported)
    return min(abs(mean / one - 1) for one in expected)


@torch.no_grad()
def step_losses(network: Recurrent) -> list[float]:
    """Return the loss of each step's output."""
    x, target = tiny.sequence()
    with tiny.seeded(11):
        state, losses = network.initial_state(len(target)), []
    for x_t in x:
        step, state = network(x_t, state)
        losses.append(float(TASK.loss(step.output, target)))
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
    kept = [g for name, g in zip(trained(network), gradients, strict=True) if not name.startswith("readout")]
    if not kept:
        raise DoesNotApplyError("it trains the readout alone")
    return kept
