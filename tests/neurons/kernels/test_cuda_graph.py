"""Replayed windows: the same numbers as step by step, nothing shared between windows, and when it is left alone.

The recording is one on the processor: to replay it runs the window again, into the results of the first time, as a
CUDA graph would. And on a real device.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.harness.test_device import on, on_cuda
from tests.harness.test_training import component, spec
from throughtime.harness.batches import evaluate, learn_batch, started
from throughtime.harness.build import build
from throughtime.harness.clock import Clock
from throughtime.harness.device import replay_windows
from throughtime.harness.one_batch import one_batch
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.networks.base import mapped, tensors
from throughtime.networks.kernels import cuda_graph
from throughtime.networks.kernels.cuda_graph import RecordedWindow, Recording, ReplayedUnroll
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF
from throughtime.passes.passes import run_pass
from throughtime.registry import ALGORITHMS, NEURONS


def record_here(forward, backward):
    shown = forward()
    gradients = () if backward is None else backward(shown)
    latest, with_graph = shown, torch.is_grad_enabled()

    def again():
        nonlocal latest
        with torch.set_grad_enabled(with_graph):
            latest = forward()
        with torch.no_grad():
            for slot, new in zip(shown, latest, strict=True):
                slot.detach().copy_(new)

    def back_again():
        for slot, new in zip(gradients, backward(latest), strict=True):
            assert (slot is None) == (new is None)
            if slot is not None:
                slot.copy_(new)

    return Recording(shown, again, gradients, back_again)


class Plain(LIF):
    """Has no kernel: it goes through autograd's graph."""


NEURON = {"plain": Plain, **{name: NEURONS[name].factory for name in ("lif", "alif", "asrnn", "ltc", "lstm", "rnn")}}


def networks(neuron="lif", **options):
    """The same network twice, the windows of the second replayed."""
    torch.manual_seed(1)
    plain = Recurrent(3, 2, NEURON[neuron], **{"hidden": [5, 4], **options}).double()
    replayed = copy.deepcopy(plain)
    replayed.unroll = ReplayedUnroll(replayed, record_here)
    return plain, replayed


def windows(n, steps=6, batch=4):
    return [torch.randn(steps, batch, 3, dtype=torch.float64) * 8 for _ in range(n)]


def loss_of(window):
    """Of all that a window shows."""
    shown = [window.outputs, *window.spikes, *tensors(window.state)]
    return sum((one * torch.linspace(1, 2, one.numel(), dtype=one.dtype).view_as(one)).sum() for one in shown)


def recorded(network):
    return len(network.unroll.windows)


@pytest.mark.parametrize("options", [{}, {"readout": "membrane", "readout_tau": 0.0}, {"readout_leak": "gated"}])
@pytest.mark.parametrize("neuron", NEURON)
def test_a_sequence_in_replayed_windows_is_the_one_step_by_step(neuron, options):
    plain, replayed = networks(neuron, **options)
    states = [net.initial_state(4) for net in (plain, replayed)]
    for x in windows(4):
        shown = []
        for i, net in enumerate((plain, replayed)):
            window = net.unroll(x, states[i])
            gradients = torch.autograd.grad(loss_of(window), list(net.parameters()))
            states[i] = mapped(torch.Tensor.detach, window.state)
            shown.append([window.outputs, *window.spikes, *tensors(window.state), *gradients])
            assert [one.requires_grad for one in shown[0]] == [one.requires_grad for one in shown[-1]]
        assert all(map(torch.equal, *shown))
        assert states[0].t == states[1].t and type(states[0]) is type(states[1])
    assert recorded(replayed) == 1
    assert window.spikes[0].any()


def nothing_is_shared():
    """Results and gradients of a window stay what they are as others follow; so does what it was given."""
    _, replayed = networks()
    net, state = replayed, replayed.initial_state(4)
    x, y, *before = windows(4)
    for one in before:
        net.unroll(one, state).outputs.sum().backward()
    net.zero_grad()
    first = net.unroll(x, state)
    gradients = torch.autograd.grad(loss_of(first), list(net.parameters()))
    kept = [one.detach() for one in (first.outputs, *first.spikes, *tensors(first.state), *gradients)]
    copies = [one.clone() for one in (*kept, x, *tensors(state))]
    torch.autograd.grad(loss_of(net.unroll(y, mapped(torch.ones_like, state))), list(net.parameters()))
    assert all(map(torch.equal, (*kept, x, *tensors(state)), copies))
    assert recorded(net) == 1


def gradients_add_up():
    plain, replayed = networks()
    for i, x in enumerate(windows(5)):
        for net in (plain, replayed):
            if i == 2:  # from here on windows are replayed, and the first gradient becomes .grad as it comes
                net.zero_grad()
            loss_of(net.unroll(x, net.initial_state(4))).backward()
    for p, q in zip(plain.parameters(), replayed.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-12, atol=0)


def test_no_window_shares_memory_with_another():
    nothing_is_shared()


def test_gradients_of_windows_add_up():
    gradients_add_up()


def test_both_would_find_what_a_recording_overwrites(monkeypatch):
    """Twins that hand out the recording's own memory."""

    def forward(self):
        self.recording.forward()
        return [one.view_as(one) for one in self.recording.shown]

    right = RecordedWindow.backward

    def backward(self, way, δ):
        right(self, way, δ)
        return [None if g is None else g.detach() for g in self.recording.gradients]

    monkeypatch.setattr(RecordedWindow, "forward", forward)
    with pytest.raises(AssertionError):
        nothing_is_shared()
    monkeypatch.undo()
    monkeypatch.setattr(RecordedWindow, "backward", backward)
    with pytest.raises(AssertionError):
        nothing_is_shared()
    with pytest.raises(AssertionError):
        gradients_add_up()


def test_what_has_a_recording_of_its_own():
    _, net = networks()
    (x,) = windows(1)

    def twice(x, batch=4):
        for _ in range(2):
            net.unroll(x, net.initial_state(batch))
        return recorded(net)

    net.unroll(x, net.initial_state(4))
    assert recorded(net) == 0, "what comes once is not recorded"
    assert twice(x) == 1
    assert twice(x[:3]) == 2
    assert twice(x[:, :2], 2) == 3
    with torch.no_grad():
        assert twice(x) == 4
    net.eval()
    assert twice(x) == 5
    net.layers[0].inward.weight.requires_grad_(False)
    assert twice(x) == 6
    net.layers[0].inward.weight.data = net.layers[0].inward.weight.data.clone()
    assert twice(x) == 7, "the recording knows where weights were"
    assert twice(x[:1]) == 8 == twice(x[:2]) == cuda_graph.MOST, "no more than that"


def test_weights_that_change_in_place_are_seen():
    plain, replayed = networks()
    for x in windows(4):
        outputs = [net.unroll(x, net.initial_state(4)).outputs for net in (plain, replayed)]
        assert torch.equal(*outputs)
        with torch.no_grad():
            for p in (*plain.parameters(), *replayed.parameters()):
                p.mul_(1.1)
    assert recorded(replayed) == 1


def test_what_goes_step_by_step():
    _, normed = networks(norm_steps=6)
    _, net = networks()
    (x,) = windows(1)
    state, moving = net.initial_state(4), mapped(lambda s: s.clone().requires_grad_(), net.initial_state(4))
    for _ in range(3):
        normed.unroll(x, normed.initial_state(4))
        net.unroll(x.clone().requires_grad_(), state)
        net.unroll(x, moving)
        with LiveBytes():
            net.unroll(x, state)
    assert recorded(normed) == recorded(net) == 0


def test_two_windows_under_way():
    """The second goes step by step; what is left of the first is not spoilt."""
    plain, replayed = networks()
    for x in windows(2):
        replayed.unroll(x, replayed.initial_state(4)).outputs.sum().backward()
    replayed.zero_grad()
    x, y = windows(2)
    of_both = []
    for net in (plain, replayed):
        first = net.unroll(x, net.initial_state(4))
        second = net.unroll(y, first.state)  # the gradient goes on to the window before
        (loss_of(first) + loss_of(second)).backward()
        of_both.append([p.grad for p in net.parameters()])
    for p, q in zip(*of_both, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=0)
    window = replayed.unroll(x, replayed.initial_state(4))
    (alone,) = replayed.unroll.windows.values()
    assert alone.waits()
    del window, first, second, net
    assert not alone.waits(), "nobody can go back any more"


def test_a_way_back_is_gone_once_and_with_the_weights_of_the_way_forward():
    _, net = networks()
    x, *more = windows(3)
    for one in more:
        net.unroll(one, net.initial_state(4))
    loss = net.unroll(x, net.initial_state(4)).outputs.sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="the way back through a window that is replayed can be gone once"):
        loss.backward()
    loss = net.unroll(x, net.initial_state(4)).outputs.sum()
    with torch.no_grad():
        net.readout.linear.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_recording_that_fails_is_told_once_and_nothing_else_happens(capsys):
    def fails(forward, backward):
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    plain, net = networks()
    net.unroll = ReplayedUnroll(net, fails)
    for x in (*windows(3), *windows(3, batch=2)):
        batch = x.shape[1]
        assert torch.equal(*(n.unroll(x, n.initial_state(batch)).outputs for n in (plain, net)))
    told = "windows are not replayed as CUDA graphs, they go step by step: operation not permitted when stream is"
    assert capsys.readouterr().out == f"{told} capturing\n"


def test_a_copy_of_the_network_has_recordings_of_its_own():
    _, net = networks()
    (x,) = windows(1)
    for _ in range(2):
        net.unroll(x, net.initial_state(4))
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.readout.linear.bias.add_(1.0)
    assert twin.unroll.network is twin and recorded(twin) == 0
    for _ in range(3):
        shown = [n.unroll(x, n.initial_state(4)).outputs for n in (net, twin)]
    assert not torch.equal(*shown)


FORMS = {f"fptt, {form}": ("fptt", {"parts": 4, "form": form}) for form in ("code", "paper", "none")}
RULES = {"bptt": ("bptt", {}), "tbptt": ("tbptt", {"window": 2}), "eprop": ("eprop", {}), **FORMS}


@pytest.mark.parametrize("neuron", ["lif", "ltc", "lstm"])
@pytest.mark.parametrize("rule", RULES)
def test_training_is_bit_for_bit_the_same(rule, neuron):
    name, options = RULES[rule]
    if name == "eprop" and neuron == "lstm":
        return

    def trained(replays):
        run = spec(batch=16).model_copy(
            update={"rule": component(ALGORITHMS, name, **options), "neuron": component(NEURONS, neuron)}
        )
        built = build(run)
        if replays:
            built.network.unroll = ReplayedUnroll(built.network, record_here)
        update, batch = started(run, built, built.dataset.steps, Clock()), one_batch(run, built)
        losses = [float(learn_batch(built.rule, batch, update)) for _ in range(4)]
        scores = [evaluate(built.network, built.dataset, "test") for _ in range(3)]
        return losses, scores, [p.detach().clone() for p in built.network.parameters()], built.network

    (losses, scores, weights, _), (same, scored, reached, net) = trained(False), trained(True)
    assert losses == same and scores == scored and all(map(torch.equal, weights, reached))
    assert recorded(net) >= (1 if name == "eprop" else 2)


def test_the_switch(monkeypatch):
    net = nn.Module()
    assert replay_windows(net, "cpu") is None and not hasattr(net, "unroll")
    monkeypatch.setenv("THROUGHTIME_CUDA_GRAPHS", "0")
    assert replay_windows(net, "cuda") is False and not hasattr(net, "unroll")
    monkeypatch.delenv("THROUGHTIME_CUDA_GRAPHS")
    assert replay_windows(net, "cuda") is True and net.unroll.record is cuda_graph.record_on_cuda


# On a real device


@on_cuda
@pytest.mark.parametrize("neuron", NEURON)
def test_graphs_are_the_steps_on_cuda(neuron):
    plain, replayed = (net.to("cuda") for net in networks(neuron))
    replayed.unroll = ReplayedUnroll(replayed)
    for x in windows(4):
        shown = []
        for net in (plain, replayed):
            window = net.unroll(x.to("cuda"), net.initial_state(4))
            gradients = torch.autograd.grad(window.outputs.square().sum(), list(net.parameters()))
            shown.append([window.outputs, *window.spikes, *tensors(window.state), *gradients])
        for a, b in zip(*shown, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert recorded(replayed) == 1


@on_cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rule", ["bptt", "tbptt", "fptt"])
@pytest.mark.parametrize("name", ["train", "time"])
def test_passes_replay_on_cuda(name, rule, precision, tmp_path, capsys):
    found = run_pass(name, on(spec(rule, precision=precision), "cuda"), tmp_path)
    assert found.machine["cuda_graphs"] is True
    assert "not replayed" not in capsys.readouterr().out
