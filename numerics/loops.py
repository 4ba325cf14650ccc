"""Compiled loops over numbers, which replace several tensor operations by one pass over memory.

A loop is a plain function of arrays and numbers. Equivalent tensor operations serve elsewhere (on a GPU, in another
dtype, or where a mode observes the operations), and a test compares the two.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol, cast

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from throughtime.numerics.loop_key import key_of

IN_MEMORY = (
    "no folder for compiled code is writable: each process compiles its loops again, in memory; "
    "NUMBA_CACHE_DIR names another folder"
)

WAIT_SECONDS = 60.0
"""Longest time to wait for another process that compiles the same loop."""

_disabled: ContextVar[bool] = ContextVar("compiled loops disabled", default=False)


@contextmanager
def without_compiled_loops() -> Iterator[None]:
    """Disable compiled loops, so that an uninstrumented run executes the tensor operations of an instrumented one."""
    token = _disabled.set(True)
    try:
        yield
    finally:
        _disabled.reset(token)


def is_instrumented() -> bool:
    """Whether compiled loops are disabled, or a dispatch mode observes the tensor operations."""
    return _disabled.get() or torch._C._len_torch_dispatch_stack() > 0


def runs_compiled(*tensors: Tensor, graph_is_ours: bool = False) -> bool:
    """Whether a compiled loop may take these tensors.

    They must be contiguous, on the CPU, all float32 or all float64, and require no graph, unless `graph_is_ours`: the
    caller builds it. No mode may observe the operations and no functorch transform may wrap the tensors.
    """
    dtype = tensors[0].dtype
    if dtype not in _NUMBER or is_instrumented():
        return False
    graph = torch.is_grad_enabled() and not graph_is_ours
    for t in tensors:
        if (
            t.dtype != dtype
            or not t.is_cpu
            or not t.is_contiguous()
            or (graph and t.requires_grad)
            or torch._C._functorch.is_functorch_wrapped_tensor(t)
        ):
            return False
    return True


def prange(length: int) -> range:
    """A range whose iterations may run in any order; compiled, PyTorch's threads share them."""
    return range(length)


class Dispatcher(Protocol):
    """The compiler's form of a loop: it selects the machine code for the types of its arguments."""

    def __call__(self, *arguments: Any) -> Any: ...

    def typeof_pyval(self, value: Any) -> Any:
        """Return the compiler's type of an argument."""
        ...

    @property
    def stats(self) -> Any:
        """Statistics with `cache_path`, the folder of stored machine code or None."""
        ...

    @property
    def py_func(self) -> Callable[..., Any]:
        """The function that was compiled."""
        ...

    def compile(self, signature: tuple[Any, ...]) -> Callable[..., Any]:
        """Return the entry point of the machine code for these types."""
        ...


class CompiledLoop(Protocol):
    """A function of tensors and numbers that runs a loop, and that other loops may call."""

    jitted: Callable[[bool], Dispatcher]
    """Returns the compiled function that takes arrays; the argument is whether it runs on several threads."""
    entry_points: dict[object, Callable[..., Any]]
    """Machine code by the kinds of its arguments, see `_entry_point`."""

    def __call__(self, *arguments: Any) -> Any: ...


def compiled(loop: Callable[..., Any]) -> CompiledLoop:
    """Return the loop as a function of tensors, without a graph, and of numbers in the precision of the tensors.

    It is compiled at its first call on a machine and stored on disk if possible; the compiler, whose import takes half
    a second, is imported then. A loop may call others by their global names. Arguments may be NamedTuples of tensors
    and numbers; the parameter is annotated with the class, whose fields are part of the key on disk. Traps: an integer
    converts a float32 that it is combined with to float64; sums of threads in a `prange` are rounded differently for
    another number of threads; and if an array is bound in a tuple assignment, `a, b = c[0], d[0]`, the compiler loses
    the alias, and drops a `prange` that only writes to it.
    """

    @functools.cache
    def jitted(threaded: bool) -> Dispatcher:
        import numba

        # NumPy's rule for a division by zero instead of an error: the check would prevent vector instructions.
        fast = {"reassoc", "contract", "arcp"}
        share = {"parallel": _ONLY_PRANGE} if threaded and "prange" in loop.__code__.co_names else {}
        whole = _with_its_callees(loop, threaded, key_of(loop, threaded, sorted(fast), share))
        options = {"nogil": True, "fastmath": fast, "error_model": "numpy", **share}
        try:
            return numba.njit(whole, cache=True, **options)
        except RuntimeError:  # neither the folder of the package nor the user's cache is writable
            warnings.warn(IN_MEMORY, RuntimeWarning, stacklevel=1)
            return numba.njit(whole, **options)

    @functools.wraps(loop)
    def call(*arguments: Any) -> Any:
        converted = _for_loops(arguments)
        return _entry_point(with_attributes, converted)(*converted)

    with_attributes = cast(CompiledLoop, call)  # a function declares no attributes
    with_attributes.jitted, with_attributes.entry_points = jitted, {}
    return with_attributes


def callable_in_loops(function: Callable[..., Any], overloaded: Callable[[], Callable[..., Any]]) -> None:
    """Let compiled loops call a function that the compiler cannot read.

    Args:
        function: the function that a loop names.
        overloaded: registers the compiled form of `function` and returns what the compiler takes in its place. Its code
            counts in the keys of the loops.
    """
    attributes = cast(Any, function)  # a function declares no attributes
    attributes.jitted = lambda threaded: overloaded()
    attributes.__wrapped__ = overloaded


def bound(loop: CompiledLoop, *arguments: Any) -> Callable[..., Any]:
    """Bind a compiled loop to its last arguments; the result takes the first ones, and each call uses the current
    content of the tensors' memory.

    The first call determines the types of the arguments; each call enters the machine code directly.
    """
    converted = _for_loops(arguments)
    entry_points: dict[bool, Callable[..., Any]] = {}

    def call(*first: int) -> Any:
        threaded = _has_threads()
        entry_point = entry_points.get(threaded)
        if entry_point is None:
            entry_point = entry_points[threaded] = _entry_point(loop, (*first, *converted))
        return entry_point(*first, *converted)

    return call


def _entry_point(loop: CompiledLoop, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the machine code for arguments of these kinds.

    The dispatcher of the compiler would find it, too, but takes 10 µs for each array in a NamedTuple.
    """
    threaded = _has_threads()
    kinds = (threaded, *map(_kind, arguments))
    entry_point = loop.entry_points.get(kinds)
    if entry_point is None:
        dispatcher = loop.jitted(threaded)
        with _alone(dispatcher):
            entry_point = dispatcher.compile(tuple(map(dispatcher.typeof_pyval, arguments)))
        loop.entry_points[kinds] = entry_point
    return entry_point


@contextmanager
def _alone(dispatcher: Dispatcher) -> Iterator[None]:
    """Context in which no other process compiles the loop: what another one compiles just now is then read from disk.

    Where files cannot be locked, or after WAIT_SECONDS, each process compiles for itself.
    """
    if (path := lock_file(dispatcher)) is None:  # nothing is stored
        yield
        return
    lock = FileLock(path)
    with suppress(Timeout, OSError, NotImplementedError):
        lock.acquire(timeout=WAIT_SECONDS)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        lock.release()


def lock_file(dispatcher: Dispatcher) -> Path | None:
    """Return the file that a process locks while it compiles a loop; None if machine code is not stored."""
    folder = dispatcher.stats.cache_path
    return Path(folder) / f"{dispatcher.py_func.__qualname__}.lock" if folder else None


def _kind(a: Any) -> object:
    """Return all that the machine code for an argument depends on."""
    if isinstance(a, np.ndarray):
        return a.dtype, a.ndim, a.flags.num
    if isinstance(a, tuple):
        return (type(a), *map(_kind, a))
    kind: type[Any] = type(a)
    return kind


def _for_loops(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    number = _NUMBER[next(a.dtype for a in _leaves(arguments) if isinstance(a, Tensor) and a.dtype in _NUMBER)]

    def converted(a: Any) -> Any:
        if isinstance(a, Tensor):
            return a.detach().numpy() if a.requires_grad else a.numpy()
        if isinstance(a, tuple):
            parts = map(converted, a)
            return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
        return number(a) if isinstance(a, float) else a

    return tuple(map(converted, arguments))


def _leaves(arguments: tuple[Any, ...]) -> Iterator[Any]:
    for a in arguments:
        if isinstance(a, tuple):
            yield from _leaves(a)
        else:
            yield a


_NUMBER = {torch.float32: np.float32, torch.float64: np.float64}

_ONLY_PRANGE = {
    "prange": True,
    **dict.fromkeys(("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False),
}


_set = threading.local()
"""`threads`: the number of threads that was last set in the compiler, which stores it for each Python thread."""


def _has_threads() -> bool:
    """Whether loops run on several threads; if so, set their number to that of PyTorch's operations."""
    threads = torch.get_num_threads()
    if threads == 1 or not _shares_threads():
        return False
    if getattr(_set, "threads", None) != threads:
        import numba

        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        _set.threads = threads
    return True


@functools.cache
def _shares_threads() -> bool:
    """Whether the compiler has several threads, those of PyTorch's OpenMP library. With two libraries the threads would
    compete for cores, so that loops then run on one thread."""
    try:
        address = ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
        importlib.import_module("numba.np.ufunc.omppool")
        if address is None or not _is_pytorchs(address):
            return False
    except (AttributeError, ImportError, OSError):
        return False
    import numba

    numba.config.THREADING_LAYER = "omp"
    return bool(numba.config.NUMBA_NUM_THREADS > 1)  # the limit is that of the process: its cores, when it started


def _is_pytorchs(address: int) -> bool:
    """Whether the address of an OpenMP function lies in the library that comes with PyTorch, if there is one."""
    own = str(Path(torch.__file__).parent)
    libraries = []
    with Path("/proc/self/maps").open() as mapped:
        for span, *_, path in (line.split() for line in mapped if "omp" in line.rpartition("/")[2]):
            begin, end = (int(bound, 16) for bound in span.split("-"))
            libraries.append((path, begin <= address < end))
    came_with_it = [holds for path, holds in libraries if path.startswith(own)]
    return any(came_with_it) or not came_with_it


def _with_its_callees(loop: Callable[..., Any], threaded: bool, key: str) -> Callable[..., Any]:
    """Return the loop with its callees' wrappers replaced by the compiled loops, and with `key` in its qualified name,
    under which the compiler stores machine code."""
    import numba

    callees = {name: getattr(loop.__globals__.get(name), "jitted", None) for name in loop.__code__.co_names}
    names = {name: jitted(threaded) for name, jitted in callees.items() if jitted is not None}
    whole = FunctionType(
        loop.__code__, {**loop.__globals__, "prange": numba.prange, **names}, loop.__name__, None, loop.__closure__
    )
    whole.__module__ = loop.__module__
    whole.__qualname__ = f"{loop.__qualname__}-{key}"
    return whole
