"""Which values of the forward pass are kept for the adjoint: as few as can be, the rest is computed again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence

from throughtime.numerics.equations.expression import Expression, Level, ancestors

TRIED = 20_000
"""Sets of values that are looked at; beyond them the fewest inputs that suffice are kept."""

Item = tuple[Expression, ...]
"""Values that are kept together: a state after the step and before it are one memory."""


def fewest(results: Collection[Expression], inputs: Sequence[Item], free: Iterable[Expression]) -> list[Item]:
    """The fewest items from which, with the free ones, all results can be computed.

    Args:
        results: expressions of the adjoint.
        inputs: items that together suffice; among sets of one size earlier ones are preferred.
        free: expressions that are there anyway.
    """
    free = set(free)
    enough = list(inputs)
    for item in reversed(inputs):
        fewer = [other for other in enough if other is not item]
        if _suffices(results, {*free, *itertools.chain(*fewer)}):
            enough = fewer
    known = {e for item in inputs for e in item}
    joins = [(e,) for e in ancestors(results, free) if e not in known and _joins(e, free)]
    candidates = [*inputs, *joins]
    for size in range(len(enough)):
        if math.comb(len(candidates), size) > TRIED:
            break
        for items in itertools.combinations(candidates, size):
            if _suffices(results, {*free, *itertools.chain(*items)}):
                return list(items)
    return enough


def _joins(e: Expression, free: Collection[Expression]) -> bool:
    """Whether an expression is made of two values: one that is made of one can be computed from it instead."""
    return e.level == Level.SAMPLE and len({a for a in e.args if a.level == Level.SAMPLE} - {*free}) > 1


def _suffices(results: Iterable[Expression], known: Collection[Expression]) -> bool:
    return not any(e.op == "input" and e.level == Level.SAMPLE for e in ancestors(results, known))
