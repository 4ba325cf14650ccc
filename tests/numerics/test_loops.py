"""Compiled loops: supported code, unsupported code, and the cache on disk."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import pytest
import torch
from filelock import FileLock

from throughtime.measuring.live_bytes import LiveBytes
from throughtime.numerics import loops as module
from throughtime.numerics.loops import bound, compiled, runs_compiled
from throughtime.numerics.spike_product import add_rows

F64 = torch.float64


@compiled
def twice(x, y):
    for i in range(len(x)):
        y[i] = x[i] + x[i]


@compiled
def four_times(x, y):
    twice(x, y)
    twice(y, y)


def test_a_loop_calls_another():
    y = torch.zeros(3, dtype=F64)
    four_times(torch.tensor([1.0, 2, 3], dtype=F64), y)
    assert y.tolist() == [4, 8, 12]


def test_machine_code_on_disk_is_named_by_the_code_that_it_calls_and_by_its_threads(monkeypatch):
    """A new wrapper each time: one compiles once a process."""

    def name(threaded=False):
        return compiled(four_times.__wrapped__).jitted(threaded).py_func.__qualname__

    before = name()
    assert before == name() != name(threaded=True)
    monkeypatch.setitem(globals(), "twice", compiled(add_rows.__wrapped__))
    assert name() != before, "another module's code"


def test_floats_have_the_precision_of_the_tensors():
    """0.1 in float32 is not 0.1 in float64: products show which it was."""

    @compiled
    def scale(x, c):
        for i in range(len(x)):
            x[i] *= c

    for dtype in (torch.float32, F64):
        x = torch.arange(100, dtype=dtype)
        expected = x * torch.full_like(x, 0.1)
        scale(x, 0.1)
        assert torch.equal(x, expected)


class Line(NamedTuple):
    slope: Any
    """[size]."""
    shift: float


@compiled
def along(n, line: Line, x, y):
    for i in range(n):
        y[i] = line.slope[i] * x[i] + line.shift


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_bound_loop_reads_what_its_memory_has_at_each_call(dtype):
    """Its arguments are prepared once, numbers in NamedTuples too."""
    slope, x, y = torch.tensor([1, 2, 3], dtype=dtype), torch.ones(3, dtype=dtype), torch.zeros(3, dtype=dtype)
    call = bound(along, Line(slope, 0.1), x, y)
    call(2)
    assert y.tolist() == [*(slope + 0.1).tolist()[:2], 0]
    x.fill_(2)
    call(3)
    assert torch.equal(y, 2 * slope + 0.1)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(4, dtype=torch.bfloat16),
        torch.zeros(4, dtype=torch.int8),
        torch.zeros(4, 4).t()[1:],
        torch.zeros(4, device="meta"),
        torch.zeros(4, requires_grad=True),
    ],
    ids=["bfloat16", "int8", "strided", "elsewhere", "graph"],
)
def test_what_is_left_to_operations(tensor):
    assert not runs_compiled(tensor)
    assert not runs_compiled(torch.zeros(4), tensor)


def test_what_runs_compiled():
    assert runs_compiled(torch.zeros(4), torch.zeros(2, 3)) and runs_compiled(torch.zeros(4, dtype=F64))
    assert not runs_compiled(torch.zeros(4), torch.zeros(4, dtype=F64)), "two precisions"
    with torch.no_grad():
        assert runs_compiled(torch.zeros(4, requires_grad=True))
    with LiveBytes():
        assert not runs_compiled(torch.zeros(4)), "somebody counts"
    seen = []
    torch.func.vmap(lambda x: seen.append(runs_compiled(x)) or x)(torch.zeros(2, 3))
    assert seen == [False], "somebody maps over them"


def test_where_operations_are_to_be_alone_no_loop_runs():
    with module.without_compiled_loops():
        assert not runs_compiled(torch.zeros(4))
    assert runs_compiled(torch.zeros(4))


def test_a_loop_that_another_process_compiles_is_waited_for_but_not_for_ever(monkeypatch):
    """A lock stands for the other process."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # loops on several threads are others
    x, results = torch.ones(1, dtype=F64), torch.zeros(2, 1, dtype=F64)
    path = module.lock_file(compiled(four_times.__wrapped__).jitted(False))
    with FileLock(path):
        waiting = threading.Thread(target=compiled(four_times.__wrapped__), args=(x, results[0]))
        waiting.start()
        waiting.join(0.3)
        assert results[0] == 0
        monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)
        compiled(four_times.__wrapped__)(x, results[1])
        assert results[1] == 4
    waiting.join(30)
    assert results[0] == 4 and not path.exists()


def test_where_nothing_can_be_kept_loops_run_all_the_same(monkeypatch):
    from numba.core import caching

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    again, y = compiled(twice.__wrapped__), torch.zeros(2, dtype=F64)
    with pytest.warns(RuntimeWarning, match="no folder for compiled code is writable: .* in memory"):
        again(torch.tensor([1.0, 2], dtype=F64), y)
    assert y.tolist() == [2, 4]
    assert not again.jitted(False).stats.cache_path
