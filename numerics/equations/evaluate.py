"""Evaluation of expressions on tensors, on every device and in every dtype, with operations that can be counted."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from torch import Tensor

from throughtime.numerics.equations.adjoint import SUM
from throughtime.numerics.equations.expression import Expression, Level, ancestors
from throughtime.numerics.equations.operations import OPERATIONS

Value = float | Tensor


def evaluate(results: Iterable[Expression], known: Mapping[Expression, Value]) -> list[Value]:
    """Return the values of the results; each intermediate value is freed after its last use.

    Args:
        known: values of inputs and of other known expressions: [batch, size], [size] or numbers, by level.
    """
    results = tuple(results)
    values = dict(known)
    for e, freed in _order(results, frozenset(known)):
        values[e] = _value(e, [values[a] for a in e.args])
        for a in freed:
            del values[a]
    return [values[e] for e in results]


@functools.lru_cache(maxsize=512)
def _order(results: tuple[Expression, ...], known: frozenset[Expression]) -> list[tuple[Expression, list[Expression]]]:
    """Return the expressions to compute, each with those that are not used after it: a step has the same at each t."""
    order = ancestors(results, known)
    last_use = {a: e for e in order for a in e.args if a not in known and a not in results}
    freed: dict[Expression, list[Expression]] = {e: [] for e in order}
    for a, e in last_use.items():
        freed[e].append(a)
    return [*freed.items()]


def _value(e: Expression, operands: list[Value]) -> Value:
    if e.op == "number":
        return e.value
    if e.op == SUM:
        (x,) = operands
        assert isinstance(x, Tensor)
        return x.sum(0) if e.level == Level.NEURON else x.sum()
    return OPERATIONS[e.op].on_tensors(*operands, *([e.name] if e.name else []))
