"""Selection of the forward values to store for the adjoint: as few as possible; the others are recomputed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence

from throughtime.numerics.equations.expression import Expression, Level, ancestors

TRIED = 20_000
"""Maximum number of sets of one size to examine; beyond it the result is a minimal set of inputs."""

Item = tuple[Expression, ...]
"""Values that share memory, such as the state after a step and before it."""


def fewest(
    results: Collection[Expression],
    inputs: Sequence[Item],
    free: Iterable[Expression],
    backward: Iterable[Expression] = (),
) -> list[Item]:
    """Return the smallest set of items from which, with the free ones and `backward`, all results can be computed.

    Args:
        results: expressions of the adjoint.
        inputs: items that suffice together; among sets of equal size, earlier items are preferred.
        free: expressions that are stored in any case.
        backward: expressions that only the backward pass knows: no stored value depends on them.
    """
    backward = set(backward)
    free = {*free, *backward}
    enough = list(inputs)
    for item in reversed(inputs):
        fewer = [other for other in enough if other is not item]
        if _suffices(results, {*free, *itertools.chain(*fewer)}):
            enough = fewer
    known = {e for item in inputs for e in item}
    forward = [e for e in ancestors(results, free) if not backward.intersection(ancestors([e]))]
    joins = [(e,) for e in forward if e not in known and _joins(e, free)]
    candidates = [*inputs, *joins]
    for size in range(len(enough)):
        if math.comb(len(candidates), size) > TRIED:
            break
        for items in itertools.combinations(candidates, size):
            if _suffices(results, {*free, *itertools.chain(*items)}):
                return list(items)
    return enough


def _joins(e: Expression, free: Collection[Expression]) -> bool:
    """Return whether an expression combines two values; one of a single value can be computed from that value. Slopes
    of surrogates are functions of rows, which the forward loop does not have."""
    if any(a.op == "slope" for a in ancestors([e])):
        return False
    return e.level == Level.SAMPLE and len({a for a in e.args if a.level == Level.SAMPLE} - {*free}) > 1


def _suffices(results: Iterable[Expression], known: Collection[Expression]) -> bool:
    return not any(e.op == "input" and e.level == Level.SAMPLE for e in ancestors(results, known))
