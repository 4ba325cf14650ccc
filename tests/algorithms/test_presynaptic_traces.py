"""The sums of presynaptic traces over blocks of steps, and the gradients made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import throughtime as tt
from throughtime.algorithms.presynaptic_trace.filters import Filter
from throughtime.datasets import Classification
from throughtime.numerics.loops import without_compiled_loops

BATCH, SIZE, LENGTHS = 2, 3, (3, 1, 5)
CHOICES: dict[str, Callable[[int], Any]] = {
    "all steps": lambda steps: slice(-steps, None),
    "the last step": lambda steps: slice(-1, None),
    "two steps": lambda steps: torch.tensor([0, steps - 1][:steps]),
}


def test_a_trace_by_hand():
    """λ = 1/2, inputs 1, 0, 0, and a signal of 4 at the last step: 4 · 1/4 for the weight; for the bias, whose input is
    1 at each step, 4 (1 + 1/2 + 1/4)."""
    p = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    (term,) = Filter(0.5).terms({"x": p}, torch.full((1, 1, 1), 4.0), None, slice(-1, None))
    assert float((term.c * term.a["x"]).sum()) == 1.0
    assert float((term.bias_input * term.c).sum()) == 7.0


class EndsAtBlocks(Filter):
    def terms(self, *arguments):
        self.last.clear()
        yield from super().terms(*arguments)


class CountsTheInputTwice(Filter):
    def terms(self, p, trace_signal, input_signal, steps):
        yield from super().terms(p, trace_signal + (0.0 if input_signal is None else input_signal), input_signal, steps)


def sums(trace_filter: Filter, λ: float, choice: str, direct: bool) -> tuple[torch.Tensor, ...]:
    """Return Σ_t (δ^t â^t + d^t p^t) over three blocks, and the same of the bias: by the filter, and by the trace of
    each step."""
    generator = torch.Generator().manual_seed(3)
    drawn = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)  # noqa: E731
    weight_sum, bias_sum = torch.zeros(2, SIZE, 4, dtype=torch.float64), torch.zeros(2, SIZE, dtype=torch.float64)
    â, bias_trace = torch.zeros(BATCH, 4, dtype=torch.float64), 0.0
    for steps in LENGTHS:
        chosen, p = CHOICES[choice](steps), drawn(steps, BATCH, 4)
        n = len(torch.arange(steps)[chosen])
        δ, d = drawn(n, BATCH, SIZE), drawn(n, BATCH, SIZE) if direct else None
        for term in trace_filter.terms({"x": p}, δ, d, chosen):
            weight_sum[0] += torch.einsum("tbj,tbi->ji", term.c, term.a["x"])
            bias_sum[0] += term.bias_input * term.c.sum((0, 1))
        learnt = torch.arange(steps)[chosen].tolist()
        for t in range(steps):
            â, bias_trace = λ * â + p[t], λ * bias_trace + 1
            for k in [learnt.index(t)] if t in learnt else []:
                weight_sum[1] += torch.einsum("bj,bi->ji", δ[k], â)
                bias_sum[1] += bias_trace * δ[k].sum(0)
                if d is not None:
                    weight_sum[1] += torch.einsum("bj,bi->ji", d[k], p[t])
                    bias_sum[1] += d[k].sum(0)
    return weight_sum[0], weight_sum[1], bias_sum[0], bias_sum[1]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("λ", [0.0, 0.7])
def test_sums_over_blocks_are_those_of_the_traces_of_each_step(λ, direct, choice):
    result, expected, bias_sum, expected_of_bias = sums(Filter(λ), λ, choice, direct)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(bias_sum, expected_of_bias, rtol=1e-12, atol=1e-12)
    with without_compiled_loops():
        on_tensors, *_ = sums(Filter(λ), λ, choice, direct)
    torch.testing.assert_close(result, on_tensors, rtol=1e-12, atol=1e-12)
    broken = [EndsAtBlocks(λ)] if λ else []
    for twin in [*broken, *([CountsTheInputTwice(λ)] if direct else [])]:
        result, expected, *_ = sums(twin, λ, choice, direct)
        assert not torch.allclose(result, expected, rtol=1e-3)


@pytest.mark.parametrize("rule", ["sltt", "ottt", "s_tllr"])
def test_in_one_step_an_input_of_few_numbers_gives_the_gradient_of_bptt(rule):
    """A layer wide enough for sparse products; the numbers of the input are neither 0 nor 1."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, 8, 40, generator=generator) * (torch.rand(1, 8, 40, generator=generator) < 0.1)
    target = torch.randint(2, (8,), generator=generator)
    changes = []
    for name in ("bptt", rule):
        torch.manual_seed(3)
        network = tt.build_network("recurrent", inputs=40, outputs=2, neuron="lif", hidden=[128], readout="membrane")
        before = [p.detach().clone() for p in network.parameters()]
        learner = tt.Learner(network, tt.build_rule(name), Classification(2), steps=1)
        learner.learn(x, target, torch.optim.SGD(learner.parameters(), lr=1.0))
        changes.append([p.detach() - b for p, b in zip(network.parameters(), before, strict=True)])
    assert max(float(change.abs().max()) for change in changes[0]) > 1e-3
    torch.testing.assert_close(changes[1], changes[0])
