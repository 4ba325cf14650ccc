"""Checkpoint of a training: the state from which another process resumes bit for bit, as plain values and tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from throughtime.algorithms.base import LearningRule
from throughtime.harness.batches import cuda_devices
from throughtime.harness.rule_state import restore_attributes, saved_attributes
from throughtime.harness.updater import Updater


def state_of(rule: LearningRule, network: nn.Module, update: Updater) -> dict[str, Any]:
    """Return everything but the data on which the next batch depends: weights, optimiser, rule, random state.

    The tensors are the original ones, not copies. Time: a walk through the rule's attributes.

    Raises:
        CannotKeepError: the rule has an attribute that a checkpoint cannot contain.
    """
    return {
        "network": network.state_dict(),
        "gradients": [parameter.grad for parameter in update.parameters],
        "optimiser": update.optimiser.state_dict(),
        "schedule": update.schedule.state_dict() if update.schedule is not None else {},
        "updates": update.count,
        "zeroed": int(update.zeroed),
        "rule": saved_attributes(rule, network, update),
        "random": torch.get_rng_state(),
        "random_on": {device: torch.cuda.get_rng_state(device) for device in cuda_devices(network)},
    }


def restore(state: dict[str, Any], rule: LearningRule, network: nn.Module, update: Updater) -> None:
    """Restore the result of `state_of` in a network and a rule that were built and started in the same way.

    Raises:
        Exception: of any type, if the state belongs to other components; they are then restored in part.
    """
    network.load_state_dict(state["network"])
    restore_attributes(state["rule"], rule, network, update)
    for parameter, gradient in zip(update.parameters, state["gradients"], strict=True):
        parameter.grad = gradient
    update.optimiser.load_state_dict(state["optimiser"])
    if update.schedule is not None:
        update.schedule.load_state_dict(state["schedule"])
    update.count = state["updates"]
    update.zeroed = state["zeroed"]
    torch.set_rng_state(state["random"])
    for device, numbers in state["random_on"].items():
        torch.cuda.set_rng_state(numbers, device)
