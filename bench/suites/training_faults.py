"""Training settings that contradict each other, or that would do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from throughtime.spec import Scale, ScheduleName, Training
from throughtime.suites.strict_yaml import Key

SCHEDULES_WITH: dict[str, tuple[ScheduleName, ...]] = {
    "period": ("cosine",),
    "milestones": ("multistep",),
    "step_size": ("step",),
    "factor": ("multistep", "step"),
}
"""The schedules that use a setting; the others would ignore it."""
REQUIRED = ("milestones", "step_size")
"""Settings that those schedules cannot do without."""


def training_faults(training: Training, scale: Scale) -> Iterator[tuple[str, Key]]:
    """Yield each fault of merged settings, with the path of the setting at fault."""
    for i, epoch in enumerate(training.alignment):
        if epoch > training.epochs:
            last = f'at the scale "{scale}" the last epoch is {training.epochs}'
            yield f'"alignment" has epoch {epoch}; {last}', ("alignment", i)
    if training.mean_of_last > training.epochs:
        yield f'"mean_of_last" exceeds the {training.epochs} epochs of the scale "{scale}"', ("mean_of_last",)
    for name, schedules in SCHEDULES_WITH.items():
        present = getattr(training, name) not in (None, [])
        if present and training.schedule not in schedules:
            yield f'"{name}" would do nothing without schedule: {" or ".join(schedules)}', (name,)
        if name in REQUIRED and not present and training.schedule in schedules:
            yield f'schedule: {training.schedule} needs "{name}"', ("schedule",)
    if training.momentum and training.optimiser != "sgd":
        yield '"momentum" would do nothing without optimiser: sgd', ("momentum",)
    if training.nesterov and not training.momentum:
        yield '"nesterov" needs "momentum"', ("nesterov",)
    if training.norm_in != "float32" and training.clip is None:
        yield '"norm_in" would do nothing without "clip"', ("norm_in",)
    for name in ("milestones", "alignment"):
        if getattr(training, name) != sorted(set(getattr(training, name))):
            yield f'"{name}" must increase', (name,)
