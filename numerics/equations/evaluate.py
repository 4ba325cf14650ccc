"""Evaluation of expressions on tensors, on every device and in every dtype, with operations that can be counted."""

from __future__ import annotations

from collections import Counter
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
    results = list(results)
    order = ancestors(results, known)
    uses = Counter(a for e in order for a in e.args) + Counter(results)
    values = dict(known)
    for e in order:
        values[e] = _value(e, [values[a] for a in e.args])
        for a in e.args:
            uses[a] -= 1
            if not uses[a] and a not in known:
                del values[a]
    return [values[e] for e in results]


def _value(e: Expression, operands: list[Value]) -> Value:
    if e.op == "number":
        return e.value
    if e.op == SUM:
        (x,) = operands
        assert isinstance(x, Tensor)
        return x.sum(0) if e.level == Level.NEURON else x.sum()
    return OPERATIONS[e.op].on_tensors(*operands, *([e.name] if e.name else []))
