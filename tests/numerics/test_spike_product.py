"""Products that leave out the zeros of spikes are the dense ones."""

from __future__ import annotations

import itertools

import pytest
import torch

from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.alif import ALIF
from throughtime.neurons.kernels.kernel import Kernel
from throughtime.neurons.lif import LIF
from throughtime.numerics import spike_product
from throughtime.numerics.precision import BFLOAT16, FLOAT32
from throughtime.numerics.spike_product import FEW, NARROW, SHORT, SpikeProduct, add_weight_gradient

F64 = torch.float64


def spikes(*shape: int, rate: float) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < rate).to(F64)


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """The list of compiled loops that were called, in order, each with whether it did the product."""
    result = []

    def watched(name):
        loop = getattr(spike_product, name)

        def call(*arguments):
            took = loop(*arguments)
            result.append(f"{name}: {'taken' if took else 'left'}")
            return took

        return call

    for name in ("add_rows", "add_outer"):
        monkeypatch.setattr(spike_product, name, watched(name))
    return result


def test_rows_are_added_by_hand():
    # Inputs 0 and 2 spike in the first sample, none in the second, 1 in the third.
    R = torch.zeros(NARROW, 3, dtype=F64)
    R[0], R[1] = torch.tensor([1.0, 10, 100]), torch.tensor([2.0, 20, 200])
    z = torch.zeros(3, 3, dtype=F64)
    z[0, 0] = z[0, 2] = z[2, 1] = 1
    sums = SpikeProduct(R, FLOAT32, SHORT).add(torch.full((3, NARROW), 0.5, dtype=F64), z)
    assert sums[:, :3].tolist() == [[101.5, 202.5, 0.5], [0.5, 0.5, 0.5], [10.5, 20.5, 0.5]]
    total = torch.ones_like(R)
    δ = torch.arange(3, dtype=F64).add(1)[:, None].expand(3, NARROW).contiguous()
    add_weight_gradient(total, δ[None], z.to(torch.int8)[None], FLOAT32)
    assert total[5].tolist() == [2, 4, 2]  # 1 + δ of the samples in which the input spiked


@pytest.mark.parametrize("rate", [0, 0.01, 0.1, FEW - 0.05, FEW + 0.05, 1])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, NARROW), (7, NARROW + 1), (40, 128), (129, 114)])
def test_they_are_the_dense_products_whatever_the_rate(calls, rate, inputs, outputs):
    R, sums = torch.randn(outputs, inputs, dtype=F64), torch.randn(13, outputs, dtype=F64)
    z, δ = spikes(4, 13, inputs, rate=rate), torch.randn(4, 13, outputs, dtype=F64)
    torch.testing.assert_close(SpikeProduct(R, FLOAT32, SHORT).add(sums.clone(), z[0]), sums + z[0] @ R.t())
    result = add_weight_gradient(R.clone(), δ, z.to(torch.int8), FLOAT32)
    torch.testing.assert_close(result, R + δ.flatten(0, 1).t() @ z.flatten(0, 1))
    few = [float(spikes.mean()) <= FEW for spikes in (z[0], z)]
    assert calls == [f"{n}: {'taken' if f else 'left'}" for n, f in zip(("add_rows", "add_outer"), few, strict=True)]


def test_after_a_step_with_too_many_spikes_nobody_counts_them(calls):
    R = torch.randn(NARROW, 8, dtype=F64)
    product = SpikeProduct(R, FLOAT32, SHORT)
    for rate in (0.1, 1, 0.1):
        z = spikes(50, 8, rate=rate)
        torch.testing.assert_close(product.add(torch.zeros(50, NARROW, dtype=F64), z), z @ R.t())
    assert calls == ["add_rows: taken", "add_rows: left"]


def test_numbers_that_are_not_one_count_as_what_they_are():
    R, z = torch.randn(NARROW, 30, dtype=F64), spikes(5, 30, rate=0.1) * torch.randn(5, 30, dtype=F64)
    torch.testing.assert_close(SpikeProduct(R, FLOAT32, SHORT).add(torch.zeros(5, NARROW, dtype=F64), z), z @ R.t())
    δ = torch.randn(1, 5, NARROW, dtype=F64)
    torch.testing.assert_close(add_weight_gradient(R.clone(), δ, z[None], FLOAT32), R + δ[0].t() @ z)


def test_who_watches_operations_sees_dense_ones(calls):
    R, z = torch.randn(NARROW, 64), spikes(5, 64, rate=0.1).float()
    with LiveBytes() as live:
        SpikeProduct(R, FLOAT32, SHORT).add(torch.zeros(5, NARROW), z)
    assert live.operations > 0 and not calls


@pytest.mark.parametrize(("outputs", "products"), [(NARROW - 1, FLOAT32), (NARROW, BFLOAT16)])
def test_narrow_rows_and_rounded_operands_are_dense(calls, outputs, products):
    R, z = torch.randn(outputs, 64), spikes(5, 64, rate=0.1).float()
    SpikeProduct(R, products, SHORT).add(torch.zeros(5, outputs), z)
    add_weight_gradient(
        torch.zeros(outputs, 64), torch.randn(2, 5, outputs), spikes(2, 5, 64, rate=0.1).to(torch.int8), products
    )
    assert not calls


def assert_windows_are_their_steps(neuron, readout):
    torch.manual_seed(3)
    net = Recurrent(3, NARROW, neuron, hidden=[NARROW + 8, NARROW], readout=readout).double()
    x = 4 * torch.randn(60, 6, 3, dtype=F64)
    x[10:20] *= 20  # many spikes for a while
    window = net.unroll(x, net.initial_state(6))
    state, outputs = net.initial_state(6), []
    for x_t in x:
        step, state = net(x_t, state)
        outputs.append(step.output)
    torch.testing.assert_close(window.outputs, torch.stack(outputs), rtol=0, atol=1e-12)
    for a, b in zip(window.state.layers, state.layers, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    parameters = list(net.parameters())
    fast = torch.autograd.grad(window.outputs.square().sum(), parameters)
    plain = torch.autograd.grad(torch.stack(outputs).square().sum(), parameters)
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("neuron", "readout"), [*itertools.product((LIF, ALIF), ("spikes", "membrane"))])
def test_windows_of_wide_layers_are_their_steps(calls, monkeypatch, neuron, readout):
    taken = []

    def watched(kernel, t, *more, run=Kernel.run):
        taken.append(run(kernel, t, *more) - t)
        return taken[-1] + t

    monkeypatch.setattr(Kernel, "run", watched)
    assert_windows_are_their_steps(neuron, readout)
    assert sum(taken) > 40 and 0 in taken and "add_outer: taken" in calls, "some steps had few spikes, some many"


def other_rows(memory, rows):
    return memory, rows.flip(0)


def other_spikes(memory, rows):
    currents, Z, *more = memory
    return (currents, Z.flip(0), *more), rows


def other_constants(memory, rows):
    *more, constants = memory
    return (*more, tuple(1.01 * c for c in constants)), rows


@pytest.mark.parametrize("fault", [other_rows, other_spikes, other_constants])
@pytest.mark.parametrize("neuron", [LIF, ALIF])
def test_a_run_of_something_else_is_found(monkeypatch, neuron, fault):
    """The comparison above, on broken twins."""

    def faulty(kernel, t, z_before, Z, rows, run=Kernel.run):
        sound = kernel.memory
        kernel.memory, rows = fault(sound, rows)
        after = run(kernel, t, z_before, Z, rows)
        kernel.memory = sound
        return after

    monkeypatch.setattr(Kernel, "run", faulty)
    with pytest.raises(AssertionError):
        assert_windows_are_their_steps(neuron, "spikes")


def test_an_index_that_is_one_off_is_found(monkeypatch):
    """The comparison above, on a broken twin."""
    add_rows = spike_product.add_rows
    monkeypatch.setattr(spike_product, "add_rows", lambda sums, z, rows, few: add_rows(sums, z, rows.flip(0), few))
    R, z = torch.randn(NARROW, 30, dtype=F64), spikes(5, 30, rate=0.1)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(SpikeProduct(R, FLOAT32, SHORT).add(torch.zeros(5, NARROW, dtype=F64), z), z @ R.t())
