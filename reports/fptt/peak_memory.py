"""Exact bytes of the paper's shallow network under a rule at some number of frames."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor

from throughtime.harness.build import build
from throughtime.measuring.exact_memory import ExactMemory, exact_memory
from throughtime.neurons.ltc import LTC
from throughtime.reports.fptt.memory import SUITE, Input
from throughtime.suites.suite import load_suite


class _ByAutograd(LTC):
    """LTC without the compiled loops: a neuron that overrides `forward` is differentiated by autograd, step by step."""

    def forward(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        return super().forward(current, state)


def peak(rule: str, steps: int, compiled: bool, input: Input) -> int:
    """Return the bytes at the peak of training on sequences of `steps` frames; a few seconds.

    Args:
        rule: label of a rule of the suite.
        steps: number of frames.
        compiled: whether the neurons' steps are compiled, or left to autograd.
        input: where the input is.
    """
    memory = _measured(rule, steps, compiled)
    if input == "streamed":
        return memory.streamed
    return memory.peak - (memory.owned["input"] if input == "excluded" else 0)


@cache
def _measured(rule: str, steps: int, compiled: bool) -> ExactMemory:
    """Return the exact memory of the shallow network under a rule of the suite."""
    spec = next(run for run in load_suite(SUITE).expand("laptop") if run.cell[:3] == (rule, "ltc", "shallow"))
    data = spec.dataset.model_copy(update={"options": {**spec.dataset.options, "steps": steps}})
    spec = spec.model_copy(update={"dataset": data})
    built = build(spec)
    for module in () if compiled else built.network.modules():
        if isinstance(module, LTC):
            module.__class__ = _ByAutograd
    return exact_memory(spec, built, next(built.dataset.batches("train", spec.training.batch)))
