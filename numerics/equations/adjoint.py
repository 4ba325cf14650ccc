"""Derivatives of expressions: the reverse sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from throughtime.numerics.equations.expression import ZERO, Expression, ancestors
from throughtime.numerics.equations.operations import OPERATIONS

SUM = "Σ"
"""The sum of [batch, size] over the batch, to one value per neuron or one number: the gradient of a value that samples
or neurons share is the sum over them."""


def adjoint(
    seeds: Mapping[Expression, Expression],
    wrt: Iterable[Expression],
    stops: Iterable[Expression] = (),
    sums: bool = True,
) -> dict[Expression, Expression]:
    """Return δx = Σ_y δy ∂y/∂x for each x of `wrt` on which a seed depends.

        for y in reverse order:  δa += δy ∂y/∂a  for each operand a of y

    Args:
        seeds: δy of results, by y.
        wrt: expressions, usually inputs.
        stops: expressions at which the sweep ends.
        sums: whether gradients of values that neurons or samples share are summed; otherwise they are partial
            derivatives per sample and neuron.
    """
    wrt = list(wrt)
    order = ancestors(seeds, stops)
    reached = set(wrt)
    for y in order:
        if y.op != "constant" and reached.intersection(y.args):
            reached.add(y)
    δ: dict[Expression, Expression] = {}
    for y, δy in seeds.items():
        _add(δ, y, δy, sums)
    for y in reversed(order):
        if y not in δ or y not in reached or not y.args:
            continue
        for a, by_a in zip(y.args, OPERATIONS[y.op].derivatives(y, *y.args), strict=True):
            if a in reached and by_a is not ZERO:
                _add(δ, a, δ[y] * by_a, sums)
    return {x: δ[x] for x in wrt if x in δ and δ[x] is not ZERO}


def _add(δ: dict[Expression, Expression], x: Expression, more: Expression, sums: bool) -> None:
    before = δ.get(x, ZERO)
    if sums and more.level > x.level:
        if before.op == SUM and before.args[0].level == more.level:  # one sum of both
            before, more = ZERO, before.args[0] + more
        more = Expression(SUM, (more,), level=x.level)
    δ[x] = before + more
