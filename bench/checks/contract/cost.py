"""Cost formulas of learning rules against exact bytes and counted products, and update schedules against counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls
from torch.utils._python_dispatch import TorchDispatchMode

from throughtime.algorithms.coordinates import terms
from throughtime.checks import tiny
from throughtime.checks.contract.memory import Forgetful
from throughtime.checks.fact import DoesNotApplyError, Observed
from throughtime.datasets.task import Classification
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.registry import NEURONS, Component

TASK = Classification(tiny.CLASSES)
SIZES = (tiny.Size(50, 4, 12), tiny.Size(50, 8, 12), tiny.Size(75, 4, 12), tiny.Size(50, 4, 24), tiny.Size(75, 8, 18))
"""Sizes of the measured runs; each has at least two blocks of e-prop."""
SMALLEST_SHARE = 0.05
"""Smallest share of a term in at least one of the measurements."""


class Measured(NamedTuple):
    """The cost of learning one batch."""

    sizes: dict[str, int]
    """Values of the formula's symbols."""
    time: int
    """Floating-point operations of matrix products."""
    memory: int
    """Bytes at the peak, without the batch."""


class CountedProducts(TorchDispatchMode):
    """Context manager that counts the floating-point operations of matrix products, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        name = operation.overloadpacket.__name__.rstrip("_")  # in-place products count as the others
        if name in OPERANDS:
            a, b = args[OPERANDS[name]], args[OPERANDS[name] + 1]
            self.flops += 2 * a.numel() * (b.shape[-1] if b.dim() > 1 else 1)
        return result


OPERANDS = {"mm": 0, "bmm": 0, "mv": 0, "addmm": 1, "baddbmm": 1, "addmv": 1}
"""Position of the left factor among the arguments of each product."""


def is_off_its_formulas(component: Component, sizes: Sequence[tiny.Size] = SIZES, **options: Any) -> Observed:
    """Return the largest relative deviation of the measured costs from the rule's formulas, with these options.

    The factors of a formula's terms are those that fit best, not negative. The deviation is infinite if a term is
    superfluous: less than `SMALLEST_SHARE` of each measurement.

    Raises:
        DoesNotApplyError: the rule states no cost, or supports no registered neuron.
    """
    cost = tiny.build(component, **options).cost
    if cost is None:
        raise DoesNotApplyError("it states no cost")
    runs = list(measured(component, sizes, **options))
    fits = {name: fit(getattr(cost, name), runs, name) for name in cost._fields}
    return Observed(
        max(largest.value for largest in fits.values()), "; ".join(f"{n}: {f.note}" for n, f in fits.items())
    )


def fit(formula: str, runs: Sequence[Measured], measure: str) -> Observed:
    """Return the largest relative deviation of a measure of the runs from a formula, and the formula with its
    factors."""
    measured = np.array([getattr(run, measure) for run in runs], dtype=float)
    term_values = [terms(formula, run.sizes) for run in runs]
    columns = np.array([list(row.values()) for row in term_values]) / measured[:, None]
    factors, _ = nnls(columns, np.ones(len(runs)))
    note = " + ".join(f"{factor:.2g} {term}" for factor, term in zip(factors, term_values[0], strict=True))
    needed = (columns * factors).max(0).min() >= SMALLEST_SHARE
    return Observed(float(abs(columns @ factors - 1).max()) if needed else math.inf, note)


def measured(component: Component, sizes: Sequence[tiny.Size], **options: Any) -> Iterator[Measured]:
    """Yield the cost of one batch for each size, on LIF or on the first neuron that the rule supports."""
    neuron = neuron_of(component)
    for size in sizes:
        with tiny.sized(size):
            network = tiny.recurrent(neuron)
            with tiny.seeded(11), LiveBytes() as live, CountedProducts() as counted:
                rule = tiny.build(component, **options)
                rule.start(network, TASK, size.steps)
                update = Forgetful(network, 0.0, rule.parameters())
                before = live.current
                x, target = tiny.sequence()
                batch_bytes = live.current - before
                live.reset_peak()
                tiny.train_batch(rule, x, target, update)
                memory = live.peak - batch_bytes
        yield Measured(rule.sizes(network, size.batch, size.steps), counted.flops, memory)


def misses_its_schedule(component: Component) -> Observed:
    """Return the difference of the number of updates of a sequence from that of the rule's schedule.

    Raises:
        DoesNotApplyError: the rule states no coordinates, or supports no registered neuron.
    """
    rule, calls = tiny.build(component), []
    coordinates = rule.coordinates()
    if coordinates is None:
        raise DoesNotApplyError("it states no coordinates")
    x, target = tiny.sequence()
    expected = {"end": 1, "window": len(rule.windows(len(x)))}
    schedule = coordinates.schedule
    k = expected[schedule] if isinstance(schedule, str) else -(-len(x) // schedule)
    tiny.learn(rule, tiny.recurrent(neuron_of(component)), (x, target), update=lambda: calls.append(1))
    return Observed(abs(len(calls) - k), f"{len(calls)} updates in {len(x)} steps")


def neuron_of(component: Component) -> Component:
    """Return LIF, or the first neuron that the rule supports.

    Raises:
        DoesNotApplyError: it supports no registered neuron.
    """
    for name, _ in tiny.supporting(tiny.build(component), lif_alone=True):
        return NEURONS[name]
    raise DoesNotApplyError("it supports no registered neuron")
