"""PyTorch's product of matrices from within compiled loops."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest
import torch

from throughtime.numerics import gemm as blas
from throughtime.numerics.gemm import gemm, has_gemm
from throughtime.numerics.loops import compiled


@compiled
def product(a, a_turned, b, b_turned, more, c):
    gemm(a, a_turned, b, b_turned, more, c)


@compiled
def of_columns(a, b, c, first, last):
    gemm(a[:, first:last], False, b[first:last], False, 0, c)


def drawn(rows, columns, turned, dtype):
    return torch.randn(columns, rows, dtype=dtype) if turned else torch.randn(rows, columns, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("M", "N", "K"), [(3, 5, 4), (1, 5, 1), (7, 1, 3), (1, 1, 9), (64, 48, 130)])
def test_it_is_pytorchs(M, N, K, dtype):
    torch.manual_seed(0)
    for a_turned, b_turned, more in itertools.product((False, True), (False, True), (0, 1)):
        a, b = drawn(M, K, a_turned, dtype), drawn(K, N, b_turned, dtype)
        c = torch.randn(M, N, dtype=dtype)
        expected = (a.t() if a_turned else a) @ (b.t() if b_turned else b) + more * c
        product(a, a_turned, b, b_turned, more, c)
        torch.testing.assert_close(c, expected)


def test_what_was_there_is_not_read_where_nothing_is_kept():
    a, b, c = torch.ones(2, 3), torch.ones(3, 2), torch.full((2, 2), torch.nan)
    product(a, False, b, False, 0, c)
    assert c.tolist() == [[3, 3], [3, 3]]


def test_a_part_of_a_matrix():
    a, b, c = torch.randn(4, 9), torch.randn(9, 5), torch.empty(4, 5)
    of_columns(a, b, c, 2, 7)
    torch.testing.assert_close(c, a[:, 2:7] @ b[2:7])


def test_in_plain_python_it_is_numpys():
    a, b, c = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3), np.ones((2, 2))
    gemm(a, False, b, True, 1, c)
    assert c.tolist() == [[6, 15], [15, 51]]


def test_where_the_library_has_none_it_is_said(monkeypatch):
    assert has_gemm()
    blas.has_gemm.cache_clear()
    blas._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda path: object())
    assert not has_gemm()
    monkeypatch.undo()
    blas.has_gemm.cache_clear()
    blas._library.cache_clear()
    assert has_gemm()
