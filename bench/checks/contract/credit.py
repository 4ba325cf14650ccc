"""Rules that approximate: what R and a single target add to their gradient, in networks that do not spike.

Without spikes neither R nor a target changes a state, but surrogates pass credit: what they add is credit alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from throughtime.checks import tiny
from throughtime.checks.cases import Case
from throughtime.checks.contract.alignment import DRAWS, LEVEL, TASK, drawn_cases
from throughtime.checks.contract.coordinates import recurrent_weights
from throughtime.checks.contract.gradient import draws_while_learning, flat, inside
from throughtime.checks.fact import DoesNotApplyError, Fact, Observed
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.records.statistics.interval import mean_interval
from throughtime.registry import Component

AT_STEPS = Classification(tiny.CLASSES, per_step=True)
TARGETS = (5, 12, 20)
"""Steps of which one has a target."""
SMALLEST = 1e-9
"""Smallest change of a gradient that counts, relative to the gradient."""


def quiet_cases(component: Component) -> Iterator[Case]:
    """Yield the `drawn_cases` with weights of the input so small that no neuron spikes.

    Raises:
        DoesNotApplyError: the neurons do not spike at all, or the rule draws random numbers while it learns.
    """
    for k, case in enumerate(drawn_cases(component)):
        if not k and draws_while_learning(tiny.build(component), case):
            raise DoesNotApplyError("it draws random numbers while it learns")
        quieten(case.network, case.batch[0])
        yield case


@torch.no_grad()
def quieten(network: Recurrent, x: Tensor) -> None:
    """Reduce the weights and biases of the input until no neuron spikes under x, nor under x without one of its steps.

    Raises:
        DoesNotApplyError: the neurons do not spike at all, or always do.
    """
    inputs = torch.cat((x, *map(without, [x] * len(TARGETS), TARGETS)), 1)
    for _ in range(40 if network.spiking else 0):
        if not network.unroll(inputs, network.initial_state(inputs.shape[1])).spikes[0].any():
            return
        for layer in network.layers:
            for p in layer.inward.parameters():
                p.mul_(0.8)
    raise DoesNotApplyError("its neurons have no spikes that could be absent")


def without(x: Tensor, t: int) -> Tensor:
    """Return x without its input at step t."""
    changed = x.clone()
    changed[t] = 0.0
    return changed


def misdirects_recurrent_credit(component: Component) -> Observed:
    """Return the negated lower end of the interval of the mean cosine between what R adds to the rule's gradient and
    what it adds to BPTT's, g(R) − g(0) and G(R) − G(0), with R = −Rᵀ; 0 if it adds nothing to the rule's."""
    cosines: list[Tensor] = []
    for case in quiet_cases(component):
        weights = [R for layer in case.network.layers for R in recurrent_weights(layer)]
        for R in weights:
            R.copy_((R - R.t()) / 2**0.5)
        g, exact = both(component, case)
        for R in weights:
            R.zero_()
        g_alone, exact_alone = both(component, case)
        if float((g - g_alone).norm()) <= SMALLEST * float(g.norm()):
            return Observed(0, f"{case.shown()}: R adds nothing to its gradient")
        added = [torch.cosine_similarity(g - g_alone, G - A, 0) for G, A in zip(exact, exact_alone, strict=True)]
        cosines.append(torch.stack(added))
    stacked = torch.stack(cosines)
    mean, low, high, _ = mean_interval(stacked[:, int(stacked.mean(0).argmax())].tolist(), LEVEL)
    assert low is not None and high is not None, "there are several draws"
    return Observed(-low, f"{mean:.2g}, {100 * LEVEL:g} % in {low:.2g} ... {high:.2g}; {case.shown()}, {DRAWS} draws")


def both(component: Component, case: Case) -> tuple[Tensor, list[Tensor]]:
    """Return the rule's gradient and, for the loss at the end and at every step, BPTT's; without the readout's."""
    g = tiny.learn(tiny.build(component), case.network, case.batch, TASK).total()
    exact = (tiny.backprop(case.network, *case.batch, TASK, loss_at) for loss_at in case.losses)
    return flat(inside(case.network, g)), [flat(inside(case.network, G)) for G in exact]


def mistimes_a_target(component: Component) -> Observed:
    """Count steps whose target, the only one of the sequence, adds something that depends on the next input; and one
    if none adds anything that depends on the input of its own step."""
    case = next(quiet_cases(component))
    x, network = case.batch[0], case.network
    if reason := tiny.build(component).supports(network, AT_STEPS, len(x)):
        raise DoesNotApplyError(reason)

    def added(x: Tensor, t: int) -> Tensor:
        """Return the difference of the gradients with one and with another class at step t."""
        g = []
        for label in (0, 1):
            target = torch.full(x.shape[:2], -1)
            target[t] = label
            total = tiny.learn(tiny.build(component), network, (x, target), AT_STEPS).total()
            g.append(flat(inside(network, total)))
        return g[1] - g[0]

    def depends(t: int, on: int) -> bool:
        with_input, without_input = added(x, t), added(without(x, on), t)
        return float((with_input - without_input).norm()) > SMALLEST * float(with_input.norm())

    late = [t for t in TARGETS if depends(t, t + 1)]
    early = not any(depends(t, t) for t in TARGETS)
    shown = f"{case.shown()}, targets at {', '.join(map(str, TARGETS))}"
    faults = f"late: {', '.join(map(str, late))}; " * bool(late) + "none depends on the input of its step; " * early
    return Observed(len(late) + early, faults + shown)


CREDIT = (
    Fact("claims approximate: part due to R along that of BPTT", 0, misdirects_recurrent_credit),
    Fact("claims approximate: part due to a target depends on inputs up to its step", 0, mistimes_a_target),
)
