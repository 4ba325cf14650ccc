"""The schedules of the learning rate, from torch.optim.lr_scheduler; one step of a schedule is an epoch."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, StepLR

from throughtime.registry import or_default
from throughtime.spec import ScheduleName, Training


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
"""Constructors by name. `spec.ScheduleName` repeats the names, so that reading a suite does not import torch."""
