"""Matrices that gain a product of two vectors, by hand, compiled and with tensor operations."""

from __future__ import annotations

import pytest
import torch

from throughtime.numerics.loops import without_compiled_loops
from throughtime.numerics.rank_one import advance

F64 = torch.float64


def of(*numbers):
    return torch.tensor(numbers, dtype=F64)


def one_step():
    """Two samples of a matrix of two rows and one column: G, the norms and the matrices after the step."""
    M = of([[1.0], [2.0]], [[3.0], [0.0]])
    G, norm = advance(M, of(0.5, 2.0), of(1.0, 2.0), of([1.0, 1.0], [0.0, 1.0]), of([2.5], [4.0]), of(10.0, 1.0))
    return G, norm, M


@pytest.mark.parametrize("compiled", [True, False])
def test_a_step_by_hand(compiled):
    if compiled:
        G, norm, M = one_step()
    else:
        with without_compiled_loops():
            G, norm, M = one_step()
    assert G.tolist() == [[10 * 1 + 3], [10 * 2 + 0]], "of the matrices before the step"
    assert M.tolist() == [[[0.5 + 2.5], [1 + 2.5]], [[6.0], [8.0]]]
    torch.testing.assert_close(norm, of((9 + 12.25) ** 0.5, 10.0), rtol=0, atol=1e-15)
