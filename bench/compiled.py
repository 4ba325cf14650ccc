"""Loops over numbers, compiled for the processor: what would be many operations is one pass over memory.

A loop is written as a plain function of arrays and numbers, beside the tensor operations that do the same elsewhere
(on a GPU, in another dtype, where operations are watched) and that a test holds it to.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

_alone: ContextVar[bool] = ContextVar("operations alone", default=False)


@contextmanager
def operations_alone() -> Iterator[None]:
    """In here no loop runs: what stands beside what was watched must do the same operations."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def runs_compiled(*tensors: Tensor) -> bool:
    """Whether a compiled loop may take these: dense, on the processor, all float32 or all float64, asked for no graph,
    and nobody watches the operations or maps over them, who would not see it."""
    dtype = tensors[0].dtype
    known = dtype in (torch.float32, torch.float64)
    watched = _alone.get() or torch._C._len_torch_dispatch_stack() > 0
    graph = torch.is_grad_enabled()
    return (
        known
        and not watched
        and all(
            t.dtype == dtype
            and t.device.type == "cpu"
            and t.is_contiguous()
            and not (graph and t.requires_grad)
            and not torch._C._functorch.is_functorch_wrapped_tensor(t)
            for t in tensors
        )
    )


def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The loop as a function of tensors, without a graph, and numbers, which are taken in the tensors' precision.

    It is compiled when it is first called on a machine, and kept on disk; the compiler is loaded then, too, for it
    takes half a second. A loop may call others by their global names. Trap: a whole number in a loop makes float64 of
    the float32 that it meets.
    """

    @functools.cache
    def jitted() -> Callable[..., Any]:
        import numba

        # NumPy's rule for a division by zero, no error: to check for it would keep the loop from vector instructions.
        fast = {"reassoc", "contract", "arcp"}
        return numba.njit(_with_what_it_calls(loop), cache=True, nogil=True, fastmath=fast, error_model="numpy")

    @functools.wraps(loop)
    def call(*arguments: Any) -> Any:
        arrays = [
            a if not isinstance(a, Tensor) else a.detach().numpy() if a.requires_grad else a.numpy() for a in arguments
        ]
        dtype = next(a.dtype for a in arrays if hasattr(a, "dtype"))
        return jitted()(*(dtype.type(a) if isinstance(a, float) else a for a in arrays))

    call.jitted = jitted
    return call


def _with_what_it_calls(loop: Callable[..., Any]) -> Callable[..., Any]:
    """The loop, with the compiled loops that it calls in place of their wrappers. What is kept on disk is known by the
    code of them all: the compiler itself looks at that of the loop alone."""
    called = {name: other for name in loop.__code__.co_names if hasattr(other := loop.__globals__.get(name), "jitted")}
    if not called:
        return loop
    codes = repr(
        [(other.__wrapped__.__code__.co_code, other.__wrapped__.__code__.co_consts) for other in called.values()]
    )
    names = {**loop.__globals__, **{name: other.jitted() for name, other in called.items()}}
    whole = FunctionType(loop.__code__, names, loop.__name__)
    whole.__module__ = loop.__module__
    whole.__qualname__ = f"{loop.__qualname__}-{hashlib.sha256(codes.encode()).hexdigest()[:16]}"
    return whole
