"""The table of operations: on tensors, in a loop, and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch

from throughtime.numerics.equations.expression import ONE, ZERO, Expression

Value = TypeVar("Value", Expression, torch.Tensor, float)


class Operation(NamedTuple):
    """One operation y = f(a, b, ...)."""

    on_tensors: Callable[..., Any]
    """f of tensors or numbers; with the expression's `name` as a last argument, if it has one."""
    in_loop: str
    """f of numbers, as text with {0}, {1} for its operands."""
    derivatives: Callable[..., tuple[Expression, ...]]
    """y, a, b, ...  ->  ∂y/∂a, ∂y/∂b, ..."""


def _with_numbers(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], Any]:
    """Return a version of a function of tensors that also accepts numbers."""

    def apply(x: torch.Tensor | float) -> torch.Tensor | float:
        return function(x) if isinstance(x, torch.Tensor) else float(function(torch.tensor(x, dtype=torch.float64)))

    return apply


OPERATIONS: dict[str, Operation] = {
    "+": Operation(lambda a, b: a + b, "{0} + {1}", lambda y, a, b: (ONE, ONE)),
    "-": Operation(lambda a, b: a - b, "{0} - {1}", lambda y, a, b: (ONE, -ONE)),
    "*": Operation(lambda a, b: a * b, "{0} * {1}", lambda y, a, b: (b, a)),
    "/": Operation(lambda a, b: a / b, "{0} / {1}", lambda y, a, b: (1 / b, -y / b)),
    "σ": Operation(_with_numbers(torch.sigmoid), "one / (one + exp2(-log2_e * {0}))", lambda y, a: (y - y * y,)),
    "tanh": Operation(
        _with_numbers(torch.tanh), "one - two / (one + exp2(two * log2_e * {0}))", lambda y, a: (1 - y * y,)
    ),
    "exp": Operation(_with_numbers(torch.exp), "exp2(log2_e * {0})", lambda y, a: (y,)),
    "sqrt": Operation(_with_numbers(torch.sqrt), "np.sqrt({0})", lambda y, a: (0.5 / y,)),
    "sin": Operation(_with_numbers(torch.sin), "np.sin({0})", lambda y, a: (cos(a),)),
    "cos": Operation(_with_numbers(torch.cos), "np.cos({0})", lambda y, a: (-sin(a),)),
    "abs": Operation(_with_numbers(torch.abs), "abs({0})", lambda y, a: (Expression("sign", (a,)),)),
    "sign": Operation(_with_numbers(torch.sign), "np.sign({0})", lambda y, a: (ZERO,)),
}
"""By name. A module may add an operation; one whose text is empty is a function of rows, see `emit.py`."""

LOG2_E = math.log2(math.e)


def σ(x: Value) -> Value:
    """1 / (1 + exp(−x))."""
    return _apply("σ", x)


def tanh(x: Value) -> Value:
    """The hyperbolic tangent. In loops it is 1 − 2 / (1 + exp(2x)), with an error of one rounding of 1."""
    return _apply("tanh", x)


def exp(x: Value) -> Value:
    """The exponential."""
    return _apply("exp", x)


def sqrt(x: Value) -> Value:
    """The square root."""
    return _apply("sqrt", x)


def sin(x: Value) -> Value:
    """The sine."""
    return _apply("sin", x)


def cos(x: Value) -> Value:
    """The cosine."""
    return _apply("cos", x)


def absolute(x: Value) -> Value:
    """|x|; its derivative at 0 is 0."""
    return _apply("abs", x)


def _apply(op: str, x: Any) -> Any:
    return Expression(op, (x,)) if isinstance(x, Expression) else OPERATIONS[op].on_tensors(x)
