"""Loops that PyTorch's threads share: the same numbers as on one, but for the order in which sums are taken."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.kernel_twins import before, differing, inputs, network, shown
from tests.neurons.kernels.test_one_step import steps_of
from throughtime.numerics import loops as module
from throughtime.numerics import spike_product
from throughtime.numerics.loops import compiled, prange
from throughtime.numerics.precision import FLOAT32
from throughtime.numerics.reductions import PART
from throughtime.numerics.spike_product import NARROW, SHORT, SpikeProduct, add_weight_gradient

F64 = torch.float64

pytestmark = pytest.mark.skipif(not module._shares_threads(), reason="one core, or another OpenMP than PyTorch's")


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@compiled
def squares(x, y):
    sum = x.dtype.type(0)
    for i in prange(len(x)):
        y[i] = x[i] * x[i]
        sum += y[i]
    return sum


def test_each_number_is_done_once_and_a_sum_holds_them_all():
    x = torch.arange(1001, dtype=F64)
    for number in (1, 2, 3):
        y = torch.full_like(x, -1)
        with threads(number):
            assert squares(x, y) == 1000 * 1001 * 2001 / 6
        assert torch.equal(y, x * x)


def test_one_thread_has_a_loop_of_its_own():
    with threads(1):
        assert not module._has_threads()
    with threads(2):
        assert module._has_threads()
        import numba

        assert numba.get_num_threads() == 2
    plain, shared = squares.jitted(False), squares.jitted(True)
    assert plain is not shared and "parallel" in shared.targetoptions and "parallel" not in plain.targetoptions


def test_without_pytorchs_openmp_loops_run_on_one(monkeypatch):
    monkeypatch.setattr(module, "_shares_threads", lambda: False)
    with threads(2):
        assert not module._has_threads()


def test_on_one_core_loops_run_on_one(monkeypatch):
    import numba

    assert module._shares_threads.__wrapped__()
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 1)
    assert not module._shares_threads.__wrapped__()


def test_the_openmp_of_another_is_told_from_pytorchs():
    ours = ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
    others = ctypes.cast(ctypes.CDLL(None).malloc, ctypes.c_void_p).value
    assert module._is_pytorchs(ours)
    with Path("/proc/self/maps").open() as mapped:
        came_with_it = any("omp" in line and str(Path(torch.__file__).parent) in line for line in mapped)
    assert module._is_pytorchs(others) is not came_with_it


NORMS = {"norm_steps": 12, "readout_leak": "gated"}
SLOPE = {"slope": "trained"}


# Steps with few spikes; gates, sums over samples and neurons, and norms.
@pytest.mark.parametrize("neuron, own, options", [("lif", {}, {}), ("ltc", SLOPE, NORMS)], ids=["lif", "ltc norms"])
def test_windows_on_two_threads(neuron, own, options):
    net = network(neuron, own, hidden=[NARROW], **options)
    x, state = inputs(), before(net)
    with threads(1):
        single = shown(net, x, state)
    with threads(2):
        assert differing(shown(net, x, state), single) == []


# Sums for each neuron, and norms; sums for all.
@pytest.mark.parametrize("neuron, own, options", [("asrnn", {}, NORMS), ("ltc", SLOPE, {})], ids=["asrnn norms", "ltc"])
def test_single_steps_on_two_threads(neuron, own, options):
    net = network(neuron, own, hidden=[NARROW], **options)
    with threads(1):
        single = steps_of(net, True, batch=2 * PART + 3)
    with threads(2):
        assert differing(steps_of(net, True, batch=2 * PART + 3), single) == []


def rows_added() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    R, z = torch.randn(NARROW, 30, dtype=F64), torch.rand(6, 5, 30).lt(0.1).to(F64)
    δ = torch.randn(6, 5, NARROW, dtype=F64)
    sums = SpikeProduct(R, FLOAT32, SHORT).add(torch.zeros(5, NARROW, dtype=F64), z[0])
    return sums, add_weight_gradient(R.clone(), δ, z.to(torch.int8), FLOAT32)


def test_rows_are_added_on_three_threads():
    with threads(1):
        single = rows_added()
    with threads(3):
        torch.testing.assert_close(rows_added(), single)


def test_a_part_that_nobody_adds_is_found(monkeypatch):
    """The comparison above, on a broken twin."""
    loop = spike_product.add_outer
    monkeypatch.setattr(
        spike_product, "add_outer", lambda rows, *more: loop(rows, *more) and rows[1:].zero_() is not None
    )
    with pytest.raises(AssertionError):
        test_rows_are_added_on_three_threads()
