"""2ˣ in compiled loops, in both precisions."""

from __future__ import annotations

import math
from unittest import mock

import pytest
import torch

from throughtime.numerics import exp2 as module
from throughtime.numerics.exp2 import exp2
from throughtime.numerics.loop_key import key_of
from throughtime.numerics.loops import compiled, prange


@compiled
def exp2_of_each(x, y):
    for i in prange(len(x)):
        y[i] = exp2(x[i])


def powers(x: torch.Tensor) -> torch.Tensor:
    y = torch.empty_like(x)
    exp2_of_each(x, y)
    return y


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_powers_are_exact(dtype):
    k = torch.arange(-126, 128, dtype=dtype)
    assert powers(k).tolist() == [2.0**n for n in range(-126, 128)]


@pytest.mark.parametrize(("dtype", "largest"), [(torch.float32, 126), (torch.float64, 1022)])
def test_others_are_right_to_two_roundings(dtype, largest):
    x = torch.linspace(-largest, largest, 100_003, dtype=torch.float64).to(dtype)
    exact = torch.exp2(x.double())
    error = (powers(x).double() - exact).abs() / exact
    assert error.max() <= 2 * torch.finfo(dtype).eps
    assert powers(torch.tensor([0.5], dtype=dtype)).item() == pytest.approx(math.sqrt(2), rel=torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_beyond_its_numbers_it_is_zero_or_infinite_and_of_no_number_none(dtype):
    x = torch.tensor([-math.inf, -1e30, 1e30, math.inf, math.nan], dtype=dtype)
    assert str(powers(x).tolist()) == str([0.0, 0.0, math.inf, math.inf, math.nan])


def test_in_plain_python_it_is_a_power():
    assert exp2(0.5) == 2**0.5 and exp2(-3.0) == 1 / 8


@pytest.mark.parametrize("terms", [6, 7])
def test_a_polynomial_that_is_too_short_is_found(terms):
    power = module.in_precision(module.FLOAT32._replace(terms=terms))
    error = abs(float(power(module.FLOAT32.number(0.5))) / math.sqrt(2) - 1)
    assert (error > 2 * torch.finfo(torch.float32).eps) == (terms == 6)


def test_the_key_of_a_loop_that_uses_it_covers_its_code():
    before = key_of(exp2_of_each)
    with mock.patch.object(exp2, "__wrapped__", module.in_precision):
        assert key_of(exp2_of_each) != before
    with mock.patch.object(module, "FLOAT32", module.FLOAT32._replace(terms=7)):
        assert key_of(exp2_of_each) != before
    assert key_of(exp2_of_each) == before
