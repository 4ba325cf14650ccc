"""Speed of kernels relative to their plain twins. Run by name: pytest -m slow tests/benchmarks/test_kernels.py

Each work is done by both in turns, in one process on one thread, with denormals flushed as in a run. The guarded number
is the least time of the twin over the least of the kernel (`ratio` of the benchmark's extra information), in processor
time, for that a busy machine disturbs less; it may not fall below what `lowest_ratios.yaml` says.

    step       the neuron's steps of a window, with what backward needs; the twin: `forward`
    forward    `unroll` of the network, with what backward needs
    backward   the same, and the gradients of a sum of its outputs
    bptt       a batch learnt, with the update
    fptt       some windows of one step, an update after each; the twin's parameters do not lie in one block either
    eprop      a batch learnt; the twin multiplies traces and signals at every step, in place of every block of them
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import torch
import yaml

from tests.kernel_twins import plain_steps
from throughtime.datasets.base import Batch
from throughtime.datasets.task import Classification
from throughtime.harness.batches import learn_batch
from throughtime.harness.clock import Clock
from throughtime.harness.updater import Updater
from throughtime.networks.base import Network
from throughtime.neurons.kernels.kernel import Kernel, kernel_of
from throughtime.neurons.kernels.one_step import NeuronOneStep
from throughtime.numerics.flat import flatten
from throughtime.registry import ALGORITHMS, NETWORKS, NEURONS
from throughtime.spec import Training

pytestmark = pytest.mark.slow

LOWEST = yaml.safe_load((Path(__file__).parent / "lowest_ratios.yaml").read_text(encoding="utf-8"))
NEURON_NAMES = ("lif", "alif", "asrnn", "ltc")
INPUTS, CLASSES = 2, 10
BUDGET = 4.0
"""Seconds of the processor for one work, but 4 to 30 rounds."""

Work = Callable[[], object]


def net_of(neuron: str, network: str = "recurrent", hidden: int = 128) -> Network:
    torch.manual_seed(1)
    return NETWORKS[network].factory(INPUTS, CLASSES, NEURONS[neuron].factory, hidden=[hidden])


def batch_of(steps: int, batch: int) -> Batch:
    torch.manual_seed(2)
    return Batch(2 * torch.randn(steps, batch, INPUTS), torch.randint(CLASSES, (batch,)))


def steps_of(neuron: str, fast: bool) -> Work:
    layer = net_of(neuron).layers[0]
    with torch.no_grad():
        currents = layer.inward(batch_of(100, 64).x)
    state, cell = layer.neuron.initial_state(64, currents), layer.neuron

    def by_kernel() -> None:
        I, Z = currents.clone(), torch.empty_like(currents)
        kernel = kernel_of(cell)(cell, I, True, False)
        kernel.begin(state, Z)
        z = state.z
        for t, (I_t, z_t) in enumerate(zip(I.unbind(0), Z.unbind(0), strict=True)):
            kernel.step(t, I_t, z, z_t)
            z = z_t

    def by_forward() -> None:
        after = state
        for I_t in currents.detach().requires_grad_().unbind(0):
            _, after = cell(I_t, after)

    return torch.no_grad()(by_kernel) if fast else by_forward


def window_of(neuron: str, backward: bool, fast: bool) -> Work:
    net, x = net_of(neuron), batch_of(100, 64).x
    state = net.initial_state(64)

    def unroll() -> None:
        E = net.unroll(x, state).outputs.sum()
        if backward:
            torch.autograd.grad(E, [p for p in net.parameters() if p.requires_grad])

    return within(nullcontext if fast else partial(plain_steps, net), unroll)


def rule_of(
    name: str, neuron: str, network: str, steps: int, size: int, hidden: int, fast: bool, loss_at: str | None = "every"
) -> Work:
    net, batch = net_of(neuron, network, hidden), batch_of(steps, size)
    rule = ALGORITHMS[name].factory(**({"loss_at": loss_at} if loss_at else {}))
    parameters = [p for p in net.parameters() if p.requires_grad]
    if fast or name == "eprop":
        flatten(parameters)
    rule.start(net, Classification(CLASSES), steps)
    update = Updater(parameters, Training(epochs=1, batch=size, learning_rate=1e-6), Clock())
    if fast:
        return lambda: learn_batch(rule, batch, update)
    twin = (
        partial(mock.patch, "throughtime.algorithms.eligibility.blocks.BLOCK", 1)
        if name == "eprop"
        else partial(plain_steps, net)
    )
    return within(twin, lambda: learn_batch(rule, batch, update))


def within(context: Callable[[], AbstractContextManager], work: Work) -> Work:
    def inside() -> None:
        with context():
            work()

    return inside


WORKS: dict[str, Callable[[bool], Work]] = {}
for neuron in NEURON_NAMES:
    WORKS |= {
        f"{neuron} step": partial(steps_of, neuron),
        f"{neuron} forward": partial(window_of, neuron, False),
        f"{neuron} backward": partial(window_of, neuron, True),
        f"{neuron} bptt": partial(rule_of, "bptt", neuron, "recurrent", 100, 64, 128),
        f"{neuron} fptt": partial(rule_of, "fptt", neuron, "recurrent", 20, 64, 128, loss_at=None),
    }
    if neuron != "ltc":  # its traces, one a synapse and gate, take seconds
        WORKS[f"{neuron} eprop"] = partial(rule_of, "eprop", neuron, "recurrent", 100, 64, 128)
WORKS["ltc fptt, S-MNIST"] = partial(rule_of, "fptt", "ltc_smnist", "smnist_srnn", 10, 128, 256, loss_at=None)


def ratio_of(work: Callable[[bool], Work], benchmark=None) -> float:
    """Return the least time of the plain twin over that of the fast one; their runs alternate."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    works = {fast: work(fast) for fast in (True, False)}

    def once(fast: bool) -> None:
        started = time.process_time()
        works[fast]()
        seconds[fast].append(time.process_time() - started)

    once(True), once(False)
    rounds = max(4, min(30, int(BUDGET / (seconds[True].pop() + seconds[False].pop()))))
    if benchmark is None:
        for _ in range(rounds):
            once(False), once(True)
    else:
        benchmark.pedantic(once, (True,), setup=lambda: once(False), rounds=rounds)
    return min(seconds[False]) / min(seconds[True])


def guard(name: str, ratio: float) -> None:
    assert ratio >= LOWEST[name], f"{name}: {ratio:.2f} times as fast as its plain twin, and not {LOWEST[name]}"


@pytest.fixture(autouse=True)
def as_in_a_run():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", WORKS)
def test_ratio_to_the_plain_twin(benchmark, name):
    ratio = benchmark.extra_info["ratio"] = ratio_of(WORKS[name], benchmark)
    guard(name, ratio)


def test_every_work_is_guarded():
    assert LOWEST.keys() == WORKS.keys()


def test_a_kernel_that_got_slow_is_found(monkeypatch):
    def slowed(whose: type, method: str, seconds: float) -> None:
        plain = getattr(whose, method)

        def slow(*given):
            until = time.process_time() + seconds
            while time.process_time() < until:
                pass
            return plain(*given)

        monkeypatch.setattr(whose, method, slow)

    slowed(Kernel, "step", 0.002)
    slowed(Kernel, "run", 0.2)  # many steps at once
    slowed(NeuronOneStep, "step", 0.002)
    for name in ("lif step", "lif forward", "lif bptt", "lif fptt"):
        with pytest.raises(AssertionError, match=f"{name}: .* times as fast"):
            guard(name, ratio_of(WORKS[name]))
