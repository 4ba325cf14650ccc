"""Derivatives that follow from a step are those of autograd, for random straight-line steps."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from throughtime.numerics.equations import adjoint as module
from throughtime.numerics.equations.adjoint import adjoint
from throughtime.numerics.equations.evaluate import evaluate
from throughtime.numerics.equations.expression import ONE, ZERO, Expression, Level, ancestors
from throughtime.numerics.equations.keep import fewest
from throughtime.numerics.equations.operations import OPERATIONS, exp, tanh, σ

F64 = torch.float64
BATCH, SIZE = 3, 4
LEVELS = {"I": Level.SAMPLE, "v": Level.SAMPLE, "w": Level.SAMPLE, "τ": Level.NEURON, "κ": Level.NUMBER}
SHAPES = {Level.SAMPLE: (BATCH, SIZE), Level.NEURON: (SIZE,), Level.NUMBER: ()}
MADE: list[Callable[..., object]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / (2 + b * b),
    lambda a, b: 0.5 - a,
    lambda a, b: -a * 1.5,
    lambda a, b: σ(a),
    lambda a, b: tanh(b),
    lambda a, b: exp(tanh(a)),
]

Line = tuple[int, int, int]
"""Which of MADE, and of which values."""
steps = st.lists(
    st.tuples(st.integers(0, len(MADE) - 1), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=9
)


def results_of(lines: list[Line], inputs: list) -> list:
    """Two results of a step: its last line, and the sum of all that a sample's values went into."""
    values = list(inputs)
    for made, a, b in lines:
        values.append(MADE[made](values[a % len(values)], values[b % len(values)]))
    return [values[-1] * values[0], values[-1] + values[len(values) // 2] * values[1]]


def seeded(lines: list[Line], inputs: list[Expression], seeds: list[Expression]) -> dict[Expression, Expression]:
    """δ of both results, which may be one."""
    outcome: dict[Expression, Expression] = {}
    for result, seed in zip(results_of(lines, inputs), seeds, strict=True):
        outcome[result] = outcome.get(result, ZERO) + seed
    return outcome


def symbols() -> list[Expression]:
    return [Expression("input", name=name, level=level) for name, level in LEVELS.items()]


def tensors() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(SHAPES[level], dtype=F64, generator=generator) for level in LEVELS.values()]


def gradients_of(lines: list[Line]) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of both results by all inputs: derived, and by autograd."""
    inputs, values = symbols(), tensors()
    δ = [torch.randn(BATCH, SIZE, dtype=F64, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]
    seeds = [Expression("input", name=f"δ{n}", level=Level.SAMPLE) for n in (0, 1)]
    result = adjoint(seeded(lines, inputs, seeds), inputs)
    known = dict(zip((*inputs, *seeds), (*values, *δ), strict=True))
    derived = dict(zip(result, evaluate(result.values(), known), strict=True))
    leaves = [value.clone().requires_grad_() for value in values]
    automatic = torch.autograd.grad(results_of(lines, leaves), leaves, δ, materialize_grads=True, allow_unused=True)
    pairs = zip(inputs, values, strict=True)
    return [torch.as_tensor(derived.get(x, torch.zeros_like(v))) for x, v in pairs], [*automatic]


def differing(lines: list[Line]) -> bool:
    derived, automatic = gradients_of(lines)
    bound = 1e-12 * max(1.0, *(float(g.abs().max()) for g in automatic))
    pairs = [*zip(derived, automatic, strict=True)]
    return any(a.shape != b.shape or float((a - b).abs().max()) > bound for a, b in pairs)


@given(steps)
@settings(max_examples=200, deadline=None)
def test_derived_gradients_are_those_of_autograd(lines):
    assert not differing(lines)


FAULTS = {
    "a dropped term": ("*", lambda y, a, b: (b, ZERO)),
    "a wrong sign": ("-", lambda y, a, b: (ONE, ONE)),
    "another function's": ("tanh", lambda y, a: (y - y * y,)),
    "a factor left out": ("/", lambda y, a, b: (1 / b, -y)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_line_of_the_table_is_found(fault):
    op, derivatives = FAULTS[fault]
    lines = [(3, 1, 2), (1, 0, 5), (7, 0, 6), (2, 7, 3)]
    assert not differing(lines)
    with mock.patch.dict(OPERATIONS, {op: OPERATIONS[op]._replace(derivatives=derivatives)}):
        assert differing(lines)


def test_a_gradient_that_is_not_summed_is_found():
    lines = [(2, 0, 3), (2, 5, 4)]
    assert not differing(lines)
    with mock.patch.object(module, "_add", lambda δ, x, more, sums: δ.__setitem__(x, δ.get(x, ZERO) + more)):
        assert differing(lines)


@given(steps)
@settings(max_examples=100, deadline=None)
def test_gradients_follow_from_what_is_kept_and_from_no_less(lines):
    """The adjoint needs no input of a sample beside the kept values, and each of these it does need."""
    inputs = symbols()
    seeds = [Expression("input", name=f"δ{n}", level=Level.SAMPLE) for n in (0, 1)]
    result = [*adjoint(seeded(lines, inputs, seeds), inputs).values()]
    kept = fewest(result, [(x,) for x in inputs[:3]], seeds)
    assert len(kept) <= 3

    def missing(items: list[tuple[Expression, ...]]) -> set[Expression]:
        return {*ancestors(result, [*seeds, *(e for item in items for e in item)])} & {*inputs[:3]}

    assert not missing(kept)
    assert all(missing([other for other in kept if other is not item]) for item in kept)


def test_of_a_sum_of_two_states_the_sum_is_kept():
    I, v, w, *_ = symbols()
    y = v - 2 * w
    (result,) = adjoint({tanh(y) + I: ONE}, [v]).values()
    assert fewest([result], [(v,), (w,), (I,)], []) == [(y,)]


def test_equal_expressions_are_one():
    I, v, *_ = symbols()
    assert I * v is I * v and -(0 - I) is I and I + 0 is I and 1 * I is I and I * -1 is -I and I + -v is I - v


def test_partial_derivatives_are_not_summed():
    I, _, _, τ, _ = symbols()
    (by_τ,) = adjoint({I * τ: ONE}, [τ], sums=False).values()
    assert by_τ is I
