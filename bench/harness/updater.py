"""The update of the parameters: clipping, optimiser step, learning rate schedule."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, StepLR

from throughtime.harness.clock import Clock
from throughtime.harness.optimisers import build_optimiser
from throughtime.numerics.flat import Flat
from throughtime.numerics.loops import runs_compiled
from throughtime.numerics.reductions import scale, sum_of_squares, sum_of_squares_in_float64
from throughtime.registry import or_default
from throughtime.spec import NormType, ScheduleName, Training


class Updater:
    """Callable with which a rule updates: it clips, steps the optimiser, clears the gradients and counts the update.

    Parameters that are contiguous in memory are updated as one flat tensor. A parameter without a gradient is updated
    with a gradient of 0.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], training: Training, clock: Clock) -> None:
        self.parameters, self.flat = parameters, Flat(parameters)
        self.clip, self.norm_in, self.clock, self.count = training.clip, training.norm_in, clock, 0
        self.zeroed: int | Tensor = 0
        """Updates whose gradient clipping set to 0; see `clip`."""
        self.optimiser = build_optimiser(self.flat.weights, training)
        self.schedule = SCHEDULES[training.schedule](self.optimiser, training)

    def __call__(self) -> None:
        with self.clock.phase("update"):
            gradients = self.flat.gradients()
            if self.clip is not None:
                self.zeroed = self.zeroed + clip(gradients, self.clip, self.norm_in)
            for w, gradient in zip(self.flat.weights, gradients, strict=True):
                w.grad = gradient
            self.optimiser.step()
            for w in self.flat.weights:
                w.grad = None
            for p in self.parameters:
                p.grad = None
            increment_version(self.parameters)  # so that autograd refuses a backward pass through an older graph
            self.count += 1

    def end_epoch(self) -> None:
        """Set the learning rate of the next epoch."""
        if self.schedule is not None:
            with warnings.catch_warnings():
                # After a restart between an epoch's last update and its end, this process has made no update yet.
                warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
                self.schedule.step()


def all_finite(weights: Sequence[Tensor]) -> bool:
    """Return whether no weight is infinite or NaN.

    The loss does not show such weights: a neuron whose membrane is NaN emits no spike, and its outputs are finite.
    """
    return all(bool(w.isfinite().all()) for w in weights)


@torch.no_grad()
def clip(gradients: Sequence[Tensor], largest: float, norm_in: NormType = "float32") -> bool | Tensor:
    """Compute g ← g min(1, c / (‖g‖ + 10⁻⁶)), with norm ‖g‖ of all gradients and bound c, as clip_grad_norm_.

    The squares of numbers above 1.8e19 are infinite in float32: then ‖g‖ is, too, and g becomes 0.

    Args:
        gradients: g, changed in place.
        largest: c.
        norm_in: data type in which ‖g‖ is computed.

    Returns:
        Whether ‖g‖ is infinite; a tensor on devices other than the CPU, since reading it would synchronise.
    """
    if gradients[0].numel() and runs_compiled(*gradients):
        squares = sum_of_squares if norm_in == "float32" else sum_of_squares_in_float64
        norm_of_all = math.sqrt(sum(squares(g.flatten()) for g in gradients))
        factor = largest / (norm_of_all + 1e-6)
        if not factor >= 1:
            for g in gradients:
                scale(g.flatten(), factor)
        return math.isinf(norm_of_all)
    wider = torch.float64 if norm_in == "float64" else None
    norms = [torch.linalg.vector_norm(g, dtype=wider) for g in gradients]
    norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    factors = (largest / (norm + 1e-6)).clamp_(max=1)
    for g in gradients:
        g.mul_(factors)
    return math.isinf(norm.item()) if norm.device.type == "cpu" else norm.isinf()


def _cosine(optimiser: Optimizer, training: Training) -> LRScheduler:
    return CosineAnnealingLR(optimiser, or_default(training.period, training.epochs))


def _linear(optimiser: Optimizer, training: Training) -> LRScheduler:
    return LinearLR(optimiser, start_factor=1.0, end_factor=0.0, total_iters=training.epochs)


def _multistep(optimiser: Optimizer, training: Training) -> LRScheduler:
    return MultiStepLR(optimiser, training.milestones, gamma=or_default(training.factor, 0.1))


def _step(optimiser: Optimizer, training: Training) -> LRScheduler:
    assert training.step_size is not None  # a suite without it is refused
    return StepLR(optimiser, training.step_size, gamma=or_default(training.factor, 0.1))


SCHEDULES: dict[ScheduleName, Callable[[Optimizer, Training], LRScheduler | None]] = {
    "constant": lambda optimiser, training: None,
    "cosine": _cosine,
    "linear": _linear,
    "multistep": _multistep,
    "step": _step,
}
"""Constructors of the schedules of the learning rate by name; one step of a schedule is an epoch. `spec.ScheduleName`
repeats the names, so that reading a suite does not import torch."""
