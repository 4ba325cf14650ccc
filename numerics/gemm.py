"""PyTorch's matrix product for compiled loops, so that one loop holds products and the operations between them."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from throughtime.numerics.loops import callable_in_loops

NAMES: dict[type[np.floating], str] = {np.float32: "sgemm_", np.float64: "dgemm_"}
"""C ← α A B + β C in the BLAS that PyTorch comes with, on its threads; all arguments are addresses."""


def gemm(a: Any, a_turned: bool, b: Any, b_turned: bool, more: int, c: Any) -> None:
    """c ← a b + more c, with a or b transposed first if it is `turned`; the numbers of a row are adjacent in memory.

    Outside compiled loops, NumPy computes the product.
    """
    c *= more
    c += (a.T if a_turned else a) @ (b.T if b_turned else b)


@functools.cache
def has_gemm() -> bool:
    """Whether PyTorch's product can be called, which depends on the symbol names of its BLAS."""
    return _library() is not None


@functools.cache
def _library() -> ctypes.CDLL | None:
    for path in (Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"):
        try:
            library = ctypes.CDLL(str(path))
            [getattr(library, name) for name in NAMES.values()]
        except (AttributeError, OSError):
            continue
        return library
    return None


@functools.cache
def _registered() -> Callable[..., None]:
    import llvmlite.binding
    import numba
    from numba import types
    from numba.extending import overload

    def product_of(number: type[np.floating]) -> Callable[..., None]:
        symbol = f"throughtime_{NAMES[number]}"
        llvmlite.binding.add_symbol(symbol, ctypes.cast(getattr(_library(), NAMES[number]), ctypes.c_void_p).value)
        call = types.ExternalFunction(symbol, types.void(*[types.uintp] * 13))

        @numba.njit
        def with_numbers(turned, n, αβ, a, b, c):
            # BLAS stores columns first: it sees the transposed matrices, and cᵀ = bᵀ aᵀ.
            letters, α = turned.ctypes.data, αβ.ctypes.data
            M, wide = n.ctypes.data, n.itemsize
            N, K, lda, ldb, ldc = M + wide, M + 2 * wide, M + 3 * wide, M + 4 * wide, M + 5 * wide
            of_b, of_a = b.ctypes.data, a.ctypes.data
            call(letters, letters + 1, M, N, K, α, of_b, lda, of_a, ldb, α + αβ.itemsize, c.ctypes.data, ldc)

        def product(a, a_turned, b, b_turned, more, c):
            rows, columns = c.shape
            inner = a.shape[0] if a_turned else a.shape[1]
            turned = np.array([84 if b_turned else 78, 84 if a_turned else 78], np.uint8)  # T and N
            # 64 bits, of which a BLAS with 32-bit integers reads the lower half.
            size = c.itemsize
            n = np.array(
                [columns, rows, inner, b.strides[0] // size, a.strides[0] // size, c.strides[0] // size], np.int64
            )
            # In a separate function: memory of which only the address is used would be freed before it is read.
            with_numbers(turned, n, np.array([1, more], number), a, b, c)

        return product

    of = {types.float32: product_of(np.float32), types.float64: product_of(np.float64)}
    overload(gemm)(lambda a, a_turned, b, b_turned, more, c: of[c.dtype])
    return gemm


callable_in_loops(gemm, _registered)
