"""Live tensor bytes: every number here is worked out by hand from shapes; float32 is 4 bytes."""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import Function
from torch.profiler import ProfilerActivity, profile
from torch.testing._internal.two_tensor import TwoTensor

from throughtime.measuring.live_bytes import LiveBytes


def test_a_chain_of_products_frees_what_it_no_longer_needs():
    x, A, B = torch.ones(4, 8), torch.ones(8, 16), torch.ones(16, 2)
    with LiveBytes() as live:
        y = (x @ A) @ B
        # x A: 4 · 16 · 4 = 256, then y: 4 · 2 · 4 = 32; nothing asks for a gradient, so x A goes.
        assert (live.current, live.peak) == (32, 256 + 32)
        live.reset_peak()
        assert live.peak == 32
        y = x @ A  # the new one is there before the old one goes
        assert (live.current, live.peak) == (256, 32 + 256)
    assert y.shape == (4, 16)


def test_a_view_is_counted_once_and_keeps_the_whole():
    with LiveBytes() as live:
        base = torch.zeros(10, 10)
        views = [base.t(), base[3:], base.view(-1), *base.unbind(), base.detach()]
        assert live.current == 400
        del base
        row = views[1][0]
        views.clear()
        assert live.current == 400
        del row
        assert live.current == 0


def test_what_existed_is_not_counted_nor_its_views_nor_its_growth():
    weight = nn.Parameter(torch.ones(10, 10))
    buffer = torch.empty(0)
    with LiveBytes() as live:
        views = weight.t(), weight.detach(), weight.data[2]
        weight.data.mul_(2)
        torch.mul(views[2], 2, out=buffer)
        assert (live.current, live.peak) == (0, 0)


def test_growth_in_place_of_what_was_born_is_seen():
    with LiveBytes() as live:
        a = torch.zeros(5)
        a.resize_(20)
        assert live.current == 80
        torch.add(torch.zeros(30), 1, out=a.resize_(0))  # the zeros: 120 while they live
        assert (live.current, live.peak) == (120, 120 + 120)
        torch._foreach_add_([a], 1.0)
        assert live.current == 120
        a.untyped_storage().resize_(8)  # no operation: seen by the next that meets it
        assert live.current == 120
        a.resize_(2)
        assert live.current == 8
        b = torch.zeros(25)
        a.set_(b)  # lets go of its own 8
        assert live.current == 100
        del a, b
        assert live.current == 0


def test_a_temporary_raises_the_peak_only():
    x = torch.ones(100)
    with LiveBytes() as live, torch.no_grad():
        total = (x * 2).sum()
        assert (live.current, live.peak) == (4, 404)
    assert total == 200


def test_of_equal_peaks_the_first_counts():
    with LiveBytes() as live:
        a = torch.ones(4)
        del a
        b = torch.ones(4)
    assert (live.current, live.peak, live.peak_at) == (16, 16, 1), b


def test_two_layers_forward_and_backward():
    net = nn.Sequential(nn.Linear(5, 6), nn.Sigmoid(), nn.Linear(6, 3), nn.Sigmoid())
    x = torch.ones(4, 5)
    with LiveBytes() as live:
        loss = net(x).sum()
        # Autograd saves: of a Linear its input, for ∂W (the first one's existed before); of a sigmoid its output, which
        # is the next Linear's input; of a sum only sizes. So z₁ = 4 · 6 · 4 = 96, z₂ = 4 · 3 · 4 = 48, and the loss, 4.
        assert live.current == 96 + 48 + 4
        # a₁ goes when z₁ is there, so the most is z₁ + a₂ + z₂, as much as a₁ + z₁.
        assert live.peak == 96 + 48 + 48 == 96 + 96

        live.reset_peak()
        loss.backward()
        # Throughout: the loss and the 1 that backward starts from, 8. A saved tensor goes when its node is done.
        #                   z₁   z₂   ∂a₂  ∂z₁  ∂W₂  ∂b₂  ∂a₁  ∂W₁  ∂b₁
        #   sigmoid    8 +  96 + 48 + 48                                  = 200
        #   Linear     8 +  96      + 48 + 96 + 72 + 12                   = 332
        #   sigmoid    8 +  96           + 96 + 72 + 12 + 96              = 380
        #   Linear     8                      + 72 + 12 + 96 + 120 + 24   = 332
        assert live.peak == 380
        gradients = 120 + 24 + 72 + 12
        assert live.current == gradients + 4
        del loss
        assert live.current == gradients
        net[0].weight.grad = None
        assert live.current == gradients - 120
    net.zero_grad()
    assert live.current == 0
    assert live.uncounted == 0


def test_the_graph_goes_with_the_loss():
    w = torch.ones(100, requires_grad=True)
    with LiveBytes() as live:
        loss = w.sigmoid().sum()
        assert live.current == 400 + 4
        del loss
        assert live.current == 0


def test_a_second_backward_adds_in_place():
    w, x = torch.ones(100, requires_grad=True), torch.ones(100)
    with LiveBytes() as live:
        for _ in range(2):
            (w * x).sum().backward()
            assert live.current == 400
    # The gradient of before, the new one, and for as long as backward runs the loss and the 1 that it starts from.
    assert live.peak == 400 + 400 + 4 + 4


class Cube(Function):
    """x³, saving x² too; notes the count in backward."""

    noted = ()

    @staticmethod
    def forward(ctx, x, live):
        ctx.live = live
        square = x * x
        ctx.save_for_backward(x, square)
        return square * x

    @staticmethod
    def backward(ctx, gradient):
        live, (_, square) = ctx.live, ctx.saved_tensors
        before = live.current
        triple = square * 3
        after = live.current
        del triple
        Cube.noted = (after - before, live.current - before)
        return gradient * square, None


def test_a_function_of_ones_own_and_a_tensor_born_and_gone_in_its_backward():
    w = torch.ones(50, requires_grad=True)
    with LiveBytes() as live:
        y = Cube.apply(w, live)
        assert live.current == 200 + 200  # x² and y; x existed
        loss = y.sum()
        del y
        assert live.current == 200 + 4
        loss.backward()
        assert Cube.noted == (200, 0)
        assert live.current == 200 + 4  # x² gone, the gradient there


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_a_total_of_losses_keeps_every_graph_and_a_total_of_numbers_none(steps):
    w = torch.ones(100, requires_grad=True)

    def loss():
        return w.sigmoid().sum()

    with LiveBytes() as live:
        total = torch.zeros(())
        for _ in range(steps):
            total = total + loss()
        # A step leaves its sigmoid, 400. The last: sigmoid in and out of the sum, loss, old and new total.
        assert (live.current, live.peak) == (400 * steps + 4, 400 * steps + 4 + 4 + 4)
    del total
    assert live.current == 0
    with LiveBytes() as live:
        total = 0.0
        for _ in range(steps):
            total += loss().item()
    assert (live.current, live.peak) == (0, 404)


def recurrent_peak(steps: int, *, detach: bool) -> int:
    W, x = torch.full((8, 8), 0.1, requires_grad=True), torch.ones(4, 8)
    with LiveBytes() as live:
        h = torch.zeros(4, 8)
        for _ in range(steps):
            h = torch.tanh(x + h @ W)
            if detach:
                h.sum().backward()
                h, W.grad = h.detach(), None
    return live.peak


def test_no_slope_where_each_step_is_detached_and_the_exact_one_where_not():
    assert len({recurrent_peak(steps, detach=True) for steps in (2, 3, 10, 50)}) == 1
    # tanh saves its output, the product its input, which is the output before: 4 · 8 · 4 = 128 a step.
    peaks = [recurrent_peak(steps, detach=False) for steps in (2, 3, 10, 50)]
    assert [peak - peaks[0] for peak in peaks] == [0, 128, 8 * 128, 48 * 128]


PROGRAM = """
import torch
from torch import nn
from throughtime.measuring.live_bytes import LiveBytes

def counts():
    net = nn.LSTM(5, 7)
    seen = []
    with LiveBytes() as live:
        for steps in (3, 6):
            net(torch.ones(steps, 2, 5))[0].pow(2).mean().backward()
            net.zero_grad(set_to_none=steps < 6)
            seen += [live.current, live.peak]
    return seen, net, live
"""


def test_the_same_numbers_again_and_in_another_process_which_ends_with_tensors_alive():
    scope = {}
    exec(PROGRAM, scope)
    first, again = scope["counts"]()[0], scope["counts"]()[0]
    # The net, its gradients, the mode and a graph are left to the end of the process.
    ending = "seen, *left = counts()\nwith left[1]: left += [torch.ones(3), left[0](torch.ones(3, 2, 5))]\nprint(seen)"
    done = subprocess.run([sys.executable, "-c", PROGRAM + ending], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == first == again
    assert done.stderr == ""


def allocated_peak(program, trace) -> int:
    """Peak by the allocator's own account, without any mode."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        program()
    profiler.export_chrome_trace(str(trace))
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda event: event["args"]["Ev Idx"]):
        level += event["args"]["Bytes"]
        peak = max(peak, level)
    return peak


def test_the_allocator_agrees(tmp_path):
    W, V, x = nn.Linear(10, 10), nn.Linear(10, 10), torch.ones(4, 10)

    def program():
        h, loss = torch.zeros(4, 10), torch.zeros(())
        for _ in range(5):
            h = torch.sigmoid(W(x) + V(h))
            loss = loss + (h * h).mean()
        loss.backward()
        W.zero_grad(), V.zero_grad()

    program()
    with LiveBytes() as live:
        program()
    assert live.peak == allocated_peak(program, tmp_path / "trace.json")


def test_known_difference_gradients_that_meet_are_added_out_of_place(tmp_path):
    w = torch.ones(1000, requires_grad=True)

    def program():
        (w * w).sum().backward()
        w.grad = None

    program()
    with LiveBytes() as live:
        program()
    assert live.peak - allocated_peak(program, tmp_path / "trace.json") == 4000


def test_tensors_made_of_python_and_numpy_are_born():
    array = np.ones(4)
    with LiveBytes() as live:
        made = [torch.tensor([1.0, 2.0]), torch.Tensor([1, 2, 3]), torch.from_numpy(array)]
        assert live.current == 2 * 4 + 3 * 4 + 4 * 8
        made[0][0] = made[1].sum().item()
        assert live.current == 52
        made.clear()
        assert live.current == 0


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_a_sparse_tensor_is_counted_by_its_parts():
    with LiveBytes() as live:
        eye = torch.eye(10)
        coo = eye.to_sparse()
        assert live.current == 400 + 2 * 10 * 8 + 10 * 4  # int64 rows and columns, float32 values
        csr = coo.to_sparse_csr().clone()
        assert live.current == 400 + 200 + 11 * 8 + 10 * 8 + 10 * 4  # row starts, columns, values
        embedding = nn.Embedding(10, 4, sparse=True)
        del coo, csr, eye
        assert live.current == 160
        embedding(torch.tensor([1, 2])).sum().backward()
        assert live.current == 160 + 2 * 8 + 2 * 4 * 4
        embedding.weight.grad = None
        assert live.current == 160


def test_meta_and_fake_tensors_weigh_nothing_and_wrappers_what_they_wrap():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with LiveBytes() as live:
        (torch.ones(3, device="meta") + 1).sum()
        with FakeTensorMode(), LiveBytes() as inner:
            nn.Linear(3, 3)(torch.ones(3)).sum().backward()
        assert live.peak == inner.peak == 0
        two = TwoTensor(torch.ones(25), torch.ones(25))
        wave = two.sin()
        assert live.current == 400
        del two, wave
        assert live.current == live.uncounted == 0


def test_what_cannot_be_counted_is_told():
    x, y = torch.ones(10), torch.ones(10)
    with LiveBytes() as live:
        x.clone().sum().item()
        assert live.uncounted == 0
        x.to_mkldnn()
        assert live.uncounted == 1
        old = torch.empty(0).set_(y.untyped_storage())
        assert live.uncounted == 2
        new = copy.deepcopy(old)
        assert live.uncounted == 3
        assert live.current == 0
    assert torch.equal(old, new)


def test_nested_each_counts_its_own():
    with LiveBytes() as outer:
        a = torch.ones(10)
        with LiveBytes() as inner:
            b = a + 1
            assert (outer.current, inner.current) == (80, 40)
            del a
        assert (outer.current, inner.current) == (40, 40)
        del b
    assert (outer.current, inner.current) == (0, 0)


def test_an_exception_ends_the_block_and_a_second_block_goes_on():
    live = LiveBytes()
    with contextlib.suppress(RuntimeError), live:
        a = torch.ones(10)
        a @ torch.ones(11)
    assert live.current == 40  # no 44: the traceback is gone, and the vector with it
    between = torch.ones(10)
    assert live.current == 40
    with live:
        b = a + between
        assert live.current == 80
    del a, b
    assert live.current == 0


def test_addresses_used_again_do_not_confuse():
    with LiveBytes() as live:
        for size in range(1, 200):
            a = torch.ones(size)
            b = a * 2
            a.set_()
            c = b.sigmoid()
            assert live.current == 8 * size
            del a, b, c
            assert live.current == 0
    assert live._known == {}


def test_it_keeps_nothing_alive_and_a_cycle_waits_for_the_collector():
    class Holder:
        pass

    with LiveBytes() as live:
        a = torch.ones(10)
        alive = weakref.ref(a)
        del a
        assert alive() is None
        holder = Holder()
        holder.tensor, holder.itself = torch.ones(10), holder
        del holder
        assert live.current == 40
        gc.collect()
        assert live.current == 0
