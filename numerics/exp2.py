"""2ˣ for compiled loops, in vector instructions, which the compiler's own functions do not use."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from throughtime.numerics.loops import callable_in_loops


class _Precision(NamedTuple):
    """Memory layout of numbers, and the number of terms of Σ ln(2)ⁿ rⁿ / n!, |r| ≤ ½, that reaches rounding."""

    number: type
    whole: type
    fraction_bits: int
    bias: int
    terms: int


FLOAT32 = _Precision(np.float32, np.int32, 23, 127, 8)
FLOAT64 = _Precision(np.float64, np.int64, 52, 1023, 13)


def exp2(x: float) -> float:
    """Return 2ˣ, correct to rounding; compiled, 0 below 2^−126.5, infinite above 2^127.5 (float64: −1022.5, 1023.5)."""
    return 2.0**x


def in_precision(precision: _Precision) -> Callable[[Any], Any]:
    """Return 2ˣ = 2ᵏ 2ʳ for a precision, with integer k and |r| ≤ ½: a polynomial in r, and k in the exponent bits."""
    number, whole = precision.number, precision.whole
    c = tuple(number(math.log(2) ** n / math.factorial(n)) for n in reversed(range(precision.terms)))
    bias, bits = whole(precision.bias), whole(precision.fraction_bits)
    # Their results have the bits of 0 and of infinity.
    lowest, highest = number(-precision.bias), number(precision.bias + 1)

    def power(x):  # the parameter name of `_registered`: the compiler compares signatures
        x = lowest if x < lowest else highest if x > highest else x  # NaN stays NaN
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

    precision = {types.float32: FLOAT32, types.float64: FLOAT64}
    overload(exp2)(lambda x: in_precision(precision[x]))
    return exp2


callable_in_loops(exp2, _registered)
