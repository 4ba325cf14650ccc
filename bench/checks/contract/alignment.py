"""Rules that approximate: direction and size of their gradient beside BPTT's, over draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.checks import tiny
from throughtime.checks.cases import Case
from throughtime.checks.contract.cost import neuron_of
from throughtime.checks.contract.gradient import draws_while_learning, flat, inside
from throughtime.checks.fact import Observed, UnknownError
from throughtime.datasets.task import Classification
from throughtime.networks.recurrent import Recurrent
from throughtime.records.statistics.interval import Interval, mean_interval
from throughtime.registry import Component

TASK = Classification(tiny.CLASSES)
STEPS, UNITS, DRAWS = 30, 6, 16
"""Sizes of the networks, and draws of weights and data, for a rule that draws nothing itself."""
COPIES, FEWEST_REPETITIONS, MOST_REPETITIONS = 16, 64, 4096
"""Copies of each sequence in a batch, and fewest and most repetitions, for a rule that draws while it learns."""
LEVEL = 0.997
"""Coverage of the intervals."""
SMALLEST, LARGEST = 0.01, 100.0
"""Bounds of the size of a gradient, relative to BPTT's."""
FREE_SIGNALS = ("random", "adaptive", "local")
"""Learning signals that need not point along BPTT's, by the coordinates: they must not oppose it."""


class MeanAlignment(NamedTuple):
    """A mean over draws, with its interval, and the size of the gradient relative to BPTT's."""

    along: Interval
    size: float
    shown: str


def is_aligned(component: Component) -> Observed:
    """Return the negated lower end of the interval of the mean cosine to BPTT's gradient, or of the mean length along
    it for a rule that draws while it learns; infinity if the gradient is less than a hundredth or more than a hundred
    times as large. Of a rule whose coordinates name a signal of other weights than the readout's it is the negated
    upper end. The readout is left out: it assigns no credit through time."""
    rule = tiny.build(component)
    draws = draws_while_learning(rule, next(drawn_cases(component)))
    result = over_repetitions(component) if draws else over_networks(component)
    coordinates = rule.coordinates()
    is_free = coordinates is not None and coordinates.signal in FREE_SIGNALS
    mean, low, high, _ = result.along
    if low is None or high is None:
        raise ValueError("a single draw has no interval")
    end, is_sized = high if is_free else low, SMALLEST <= result.size <= LARGEST
    note = (
        f"{mean:.2g}, {100 * LEVEL:g} % in {low:.2g} ... {high:.2g}; size {result.size:.2g} of BPTT's; {result.shown}"
    )
    return Observed(-end if is_sized else math.inf, note)


def drawn_cases(component: Component) -> Iterator[Case]:
    """Yield one layer with other weights and data at each draw."""
    neuron = neuron_of(component)
    for k in range(DRAWS):
        with tiny.seeded(100 + k):
            network = Recurrent(tiny.INPUTS, tiny.CLASSES, partial(tiny.build, neuron), hidden=[UNITS]).double()
        batch = tiny.sequence(STEPS, 100 + k)
        yield Case(neuron.name, network, batch, batch, TASK)


def through_time(case: Case, seed: int) -> list[Tensor]:
    """Return BPTT's gradient without the readout's, for the loss at the end and at every step."""
    exact = (tiny.backprop(case.network, *case.batch, TASK, loss_at, seed) for loss_at in case.losses)
    return [flat(inside(case.network, G)) for G in exact]


def over_networks(component: Component) -> MeanAlignment:
    """Return the mean cosine over draws of weights and data, and the geometric mean of the sizes."""
    cosines, sizes, shown = [], [], ""
    for k, case in enumerate(drawn_cases(component)):
        learnt = tiny.learn(tiny.build(component), case.network, case.batch, TASK, seeds=(k, k))
        g = flat(inside(case.network, learnt.total()))
        exact = through_time(case, k)
        cosines.append(torch.stack([torch.cosine_similarity(g, G, 0) for G in exact]))
        sizes.append(torch.stack([g.norm() / G.norm() for G in exact]))
        shown = case.shown()
    cosine, size = torch.stack(cosines), torch.stack(sizes)
    nearer = int(cosine.mean(0).argmax())
    ratio = float(size[:, nearer].log().mean().exp())
    return MeanAlignment(mean_interval(cosine[:, nearer].tolist(), LEVEL), ratio, f"{shown}, {DRAWS} draws")


def over_repetitions(component: Component) -> MeanAlignment:
    """Return the mean length along BPTT's gradient, c = ⟨g, G⟩ / ⟨G, G⟩, over repetitions, each with copies of the
    sequences in a batch; as many repetitions as decide its sign."""
    case = next(drawn_cases(component))
    x, target = case.batch
    x, target = batch = x.repeat(1, COPIES, 1), target.repeat(COPIES)
    exact = through_time(case._replace(batch=batch), 11)
    rule, recorder, lengths = tiny.build(component), tiny.Recorder(case.network), list[Tensor]()
    with tiny.seeded(11):
        rule.start(case.network, TASK, STEPS)
    for k in range(MOST_REPETITIONS):
        recorder.gradients.clear()
        tiny.train_batch(rule, x, target, recorder, k)
        g = flat(inside(case.network, recorder.total()))
        lengths.append(torch.stack([g @ G / (G @ G) for G in exact]))
        if k + 1 >= FEWEST_REPETITIONS and (k + 1) & k == 0:
            intervals = [mean_interval(c.tolist(), LEVEL) for c in torch.stack(lengths).t()]
            nearer = max(intervals, key=lambda interval: interval.low or 0.0)
            if (nearer.low or 0.0) > 0 or (nearer.high or 0.0) < 0:
                break
    return MeanAlignment(nearer, abs(nearer.mean), f"{case.shown()}, {len(lengths)} repetitions")


def is_known(component: Component, identities: Sequence[object]) -> Observed:
    """Raise UnknownError for a rule to which no identity applies, by its coordinates or by its family."""
    if not identities:
        raise UnknownError(
            "neither its coordinates nor same_as bring an identity: nothing else is known of its gradient"
        )
    return Observed(0, f"{len(identities)} identities")
