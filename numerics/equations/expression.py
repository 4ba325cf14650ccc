"""Symbols that record the operations on them."""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar

import torch

Result = TypeVar("Result")


class Level(IntEnum):
    """The number of values: one, one per neuron, or one per sample and neuron."""

    NUMBER = 0
    NEURON = 1
    """One per neuron, [size]."""
    SAMPLE = 2
    """One per sample and neuron, [batch, size]."""


class RefusedError(Exception):
    """Error for a step that cannot be compiled, with the reason and the line in the step."""

    def __init__(self, what: str, filename: str = "", line: int = 0) -> None:
        super().__init__(f"{filename}:{line}: {what}" if filename else what)
        self.what, self.filename, self.line = what, filename, line


class Expression:
    """A value of a step: an input (`op` is "input"), a number ("number"), or an operation on other values.

    Equal expressions are one object, so that a repeated expression is computed once.

    Attributes:
        op: the operation's name in the table of operations.
        args: its operands.
        name: name of an input, or an additional argument of the operation.
        value: value of a number.
        level: its `Level`.
    """

    __slots__ = ("__weakref__", "args", "level", "name", "op", "value")
    op: str
    args: tuple[Expression, ...]
    name: str
    value: float
    level: Level
    _known: ClassVar[weakref.WeakValueDictionary[tuple[object, ...], Expression]] = weakref.WeakValueDictionary()

    def __new__(
        cls, op: str, args: tuple[Expression, ...] = (), name: str = "", value: float = 0.0, level: Level | None = None
    ) -> Expression:
        if level is None:
            level = max((a.level for a in args), default=Level.NUMBER)
        key = (op, *map(id, args), name, value, level)
        known = cls._known.get(key)
        if known is None:
            known = super().__new__(cls)
            known.op, known.args, known.name, known.value, known.level = op, args, name, value, level
            cls._known[key] = known
        return known

    def __add__(self, other: Any) -> Expression:
        return add(self, as_expression(other))

    def __radd__(self, other: Any) -> Expression:
        return add(as_expression(other), self)

    def __sub__(self, other: Any) -> Expression:
        return subtract(self, as_expression(other))

    def __rsub__(self, other: Any) -> Expression:
        return subtract(as_expression(other), self)

    def __mul__(self, other: Any) -> Expression:
        return multiply(self, as_expression(other))

    def __rmul__(self, other: Any) -> Expression:
        return multiply(as_expression(other), self)

    def __truediv__(self, other: Any) -> Expression:
        return divide(self, as_expression(other))

    def __rtruediv__(self, other: Any) -> Expression:
        return divide(as_expression(other), self)

    def __neg__(self) -> Expression:
        return subtract(ZERO, self)

    def __bool__(self) -> NoReturn:
        raise RefusedError("a branch on a value of the step")

    def __float__(self) -> NoReturn:
        raise RefusedError(
            "a function that is not of the step compiler; it knows those of numerics.equations.operations"
        )

    def __matmul__(self, other: Any) -> NoReturn:
        raise RefusedError("a product of matrices inside the step")

    __rmatmul__ = __matmul__

    def _compared(self, other: Any) -> NoReturn:
        raise RefusedError("a comparison of values of the step; a spike is the step function of the surrogates")

    __lt__ = __le__ = __gt__ = __ge__ = _compared

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RefusedError(f"`.{name}` of a value of the step")

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> NoReturn:
        name = getattr(function, "__name__", str(function))
        if any(type(a) is torch.Tensor for a in args):
            raise RefusedError(f"`{name}` with a tensor that is no attribute of the neuron")
        raise RefusedError(
            f"`{name}` of PyTorch; a step has +, −, ×, / and the functions of numerics.equations.operations"
        )


def number(value: float) -> Expression:
    """Return a number as an expression; it is the same for all neurons of all layers."""
    return Expression("number", value=float(value))


ZERO, ONE, MINUS_ONE = number(0), number(1), number(-1)


def as_expression(value: Any) -> Expression:
    """Return the expression itself, or a number as an expression; refuse any other value."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, int | float):
        return number(value)
    raise RefusedError(f"a value of type {type(value).__name__}")


def add(a: Expression, b: Expression) -> Expression:
    """Return a + b."""
    if a is ZERO:
        return b
    if b is ZERO:
        return a
    if b.op == "-" and b.args[0] is ZERO:
        return subtract(a, b.args[1])
    return number(a.value + b.value) if a.op == b.op == "number" else Expression("+", (a, b))


def subtract(a: Expression, b: Expression) -> Expression:
    """Return a − b; −b is 0 − b."""
    if b is ZERO:
        return a
    if b.op == "-" and b.args[0] is ZERO:
        return add(a, b.args[1])
    return number(a.value - b.value) if a.op == b.op == "number" else Expression("-", (a, b))


def multiply(a: Expression, b: Expression) -> Expression:
    """Return a b."""
    if a is ZERO or b is ZERO:
        return ZERO
    if a is ONE:
        return b
    if b is ONE:
        return a
    if a.op == b.op == "number":
        return number(a.value * b.value)
    for left, right in ((a, b), (b, a)):
        if left.op == "-" and left.args[0] is ZERO:
            return -multiply(left.args[1], right)
        if left is MINUS_ONE:
            return -right
    return Expression("*", (a, b))


def divide(a: Expression, b: Expression) -> Expression:
    """Return a / b."""
    return a if b is ONE or a is ZERO else Expression("/", (a, b))


def ancestors(results: Iterable[Expression], known: Iterable[Expression] = ()) -> list[Expression]:
    """Return all expressions on which the results depend, each after its operands. The search ends at `known` ones,
    which are excluded."""
    order: list[Expression] = []
    seen = set(known)

    def visit(e: Expression) -> None:
        if e not in seen:
            seen.add(e)
            for a in e.args:
                visit(a)
            order.append(e)

    for e in results:
        visit(e)
    return order


def traced(step: Callable[..., Result], *arguments: Any) -> Result:
    """Return the results of the step on symbols.

    Raises:
        RefusedError: the step contains an operation that loops do not support; the error has its line.
    """
    try:
        return step(*arguments)
    except Exception as error:
        *_, (filename, line) = _lines(error, step.__code__.co_filename)
        what = error.what if isinstance(error, RefusedError) else f"{type(error).__name__}: {error}"
        raise RefusedError(what, filename, line) from error


def _lines(error: Exception, own: str) -> Iterator[tuple[str, int]]:
    """Return the lines of an error's traceback that are in neither PyTorch nor the compiler."""
    libraries = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == own or not frame.f_code.co_filename.startswith(libraries):
            yield frame.f_code.co_filename, line
