"""2ˣ and σ for compiled loops: the compiler has none that takes several numbers at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from throughtime.numerics.loops import callable_in_loops, compiled


class _Precision(NamedTuple):
    """How numbers of a precision lie in memory, and the terms that ln(2)ⁿ rⁿ / n!, |r| ≤ ½, needs to reach it."""

    number: type
    whole: type
    fraction_bits: int
    bias: int
    terms: int


FLOAT32 = _Precision(np.float32, np.int32, 23, 127, 8)
FLOAT64 = _Precision(np.float64, np.int64, 52, 1023, 13)


def exp2(x: float) -> float:
    """2ˣ; compiled, in vector instructions and to rounding. Below the normal numbers it is 0, above them infinite."""
    return 2.0**x


def in_precision(of: _Precision) -> Callable[[Any], Any]:
    """2ˣ = 2ᵏ 2ʳ, k whole and |r| ≤ ½: a polynomial in r, and k written into the bits of the exponent."""
    number, whole = of.number, of.whole
    c = tuple(number(math.log(2) ** n / math.factorial(n)) for n in reversed(range(of.terms)))
    bias, bits = whole(of.bias), whole(of.fraction_bits)
    lowest, highest = number(-of.bias), number(of.bias + 1)  # whose bits are those of 0 and of infinity

    def power(x):  # as it stands in `_registered`: the compiler compares signatures
        x = lowest if x < lowest else highest if x > highest else x  # of no number, no number
        k = np.rint(x)
        r, sum = x - k, c[0]
        for c_n in c[1:]:
            sum = sum * r + c_n
        return sum * whole((whole(k) + bias) << bits).view(number)

    return power


@functools.cache
def _registered() -> Callable[[float], float]:
    from numba import types
    from numba.extending import overload

    of = {types.float32: FLOAT32, types.float64: FLOAT64}
    overload(exp2)(lambda x: in_precision(of[x]))
    return exp2


callable_in_loops(exp2, _registered)


PER_E = -math.log2(math.e)


def base_two(κ: Any) -> Any:
    """κ₂ = −κ log₂ e, with which σ(κ g) = 1 / (1 + 2^(κ₂ g))."""
    return PER_E * κ


@compiled
def base_two_of(κ: Any) -> float:
    """The same of an array without dimensions."""
    return κ.dtype.type(PER_E) * κ[()]


@compiled
def sigmoid(g: float, κ2: float, one: float) -> float:
    """σ(κ g) of κ₂ = `base_two(κ)`; `one` is 1 in the precision of g."""
    return one / (one + exp2(κ2 * g))
