"""Memory a frame of the paper's shallow network, from exact bytes of two short sequences; the published numbers."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from torch import Tensor

from throughtime.harness.build import build
from throughtime.measuring.exact_memory import ExactMemory, exact_memory
from throughtime.neurons.ltc import LTC
from throughtime.reports.papers.stored import stored
from throughtime.reports.quantities import MIB
from throughtime.suites.suite import load_suite

Input = Literal["on the device", "excluded", "streamed"]
SUITE = "fptt-memory"
FRAMES = (20, 40, 60, 80, 100, 200, 500)
PUBLISHED = {
    "bptt": (1907, 2297, 2687, 3077, 3465, 5417, 11181),
    "fptt-step": (1745, 1903, 2065, 2227, 2385, 3187, 5587),
}
"""Memory of the authors' GPU at each number of frames, MiB (lr copy.ipynb, cell 64)."""


class _ByAutograd(LTC):
    """LTC without the compiled loops: a neuron that overrides `forward` is differentiated by autograd, step by step."""

    def forward(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        return super().forward(current, state)


def published_slope(rule: str) -> float:
    """Return MiB a frame between the first and the last of the published numbers."""
    memory = PUBLISHED[rule]
    return (memory[-1] - memory[0]) / (FRAMES[-1] - FRAMES[0])


@stored
def slope(rule: str, input: Input, compiled: bool = True) -> float:
    """Return MiB a frame at the authors' batch of 64, from 4 and 8 frames under FPTT, where a frame needs the same at
    each number of frames, and from 8 and 20 under BPTT. Fewer frames than 8 need less than the gradients, whose size is
    constant; a frame beside the input needs 3.0 MiB from 8 to 20 frames, and 3.5 from 20 to 40. The neurons' steps are
    compiled, or left to autograd, under which BPTT needs the same from 8 to 12 frames as from 8 to 20."""
    frames = (8, 20 if compiled else 12) if rule == "bptt" else (4, 8)
    few, many = (_peak(_measured(rule, steps, compiled), input) for steps in frames)
    return (many - few) / (frames[1] - frames[0]) / MIB


def _peak(memory: ExactMemory, input: Input) -> int:
    if input == "streamed":
        return memory.streamed
    return memory.peak - (memory.owned["input"] if input == "excluded" else 0)


@cache
def _measured(rule: str, steps: int, compiled: bool) -> ExactMemory:
    """Return the exact memory of the shallow network under a rule of the suite; a few seconds."""
    spec = next(run for run in load_suite(SUITE).expand("laptop") if run.cell[:3] == (rule, "ltc", "shallow"))
    data = spec.dataset.model_copy(update={"options": {**spec.dataset.options, "steps": steps}})
    spec = spec.model_copy(update={"dataset": data})
    built = build(spec)
    for module in () if compiled else built.network.modules():
        if isinstance(module, LTC):
            module.__class__ = _ByAutograd
    return exact_memory(spec, built, next(built.dataset.batches("train", spec.training.batch)))
