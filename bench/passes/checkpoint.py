"""The checkpoint of a training: a file from which another process goes on, bit for bit.

It holds plain values and tensors alone, and is read as such: a file that holds code is refused, not run.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import torch
from torch import nn

from throughtime.algorithms.base import LearningRule
from throughtime.harness.batches import cuda_devices
from throughtime.harness.updater import Updater
from throughtime.passes.rule_state import kept, put_back

"""The file's name in a run's folder."""


class DamagedError(Exception):
    """A file that is no whole checkpoint; the message says what is wrong with it."""


def state_of(rule: LearningRule, network: nn.Module, update: Updater) -> dict[str, Any]:
    """All that the next batch depends on, the data apart: weights, optimiser, what the rule keeps, random numbers.

    The tensors in it are those at work, not copies. Time: of a walk through the rule's attributes.

    Raises:
        CannotKeepError: the rule keeps something that no checkpoint can hold.
    """
    return {
        "network": network.state_dict(),
        "gradients": [parameter.grad for parameter in update.parameters],
        "optimiser": update.optimiser.state_dict(),
        "updates": update.count,
        "rule": kept(rule, network, update),
        "random": torch.get_rng_state(),
        "random_on": {device: torch.cuda.get_rng_state(device) for device in cuda_devices(network)},
    }


def restore(state: dict[str, Any], rule: LearningRule, network: nn.Module, update: Updater) -> None:
    """Put what `state_of` gave into a network and a rule that were built and started as those were.

    Raises:
        Exception: of any kind, where the state is that of something else; network and rule are then half filled.
    """
    network.load_state_dict(state["network"])
    put_back(state["rule"], rule, network, update)
    for parameter, gradient in zip(update.parameters, state["gradients"], strict=True):
        parameter.grad = gradient
    update.optimiser.load_state_dict(state["optimiser"])
    update.count = state["updates"]
    torch.set_rng_state(state["random"])
    for device, numbers in state["random_on"].items():
        torch.cuda.set_rng_state(numbers, device)


def packed(contents: dict[str, Any]) -> bytes:
    """A checkpoint's bytes."""
    file = io.BytesIO()
    torch.save(contents, file)
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, Any]:
    """What a checkpoint's bytes hold. Nothing in them is run.

    Raises:
        DamagedError: cut short, a byte changed, no checkpoint at all, or one with more than values in it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if broken := archive.testzip():  # torch looks at no checksum
                raise DamagedError(f"{broken} is not what was written")
        contents = torch.load(io.BytesIO(data), weights_only=True)
    except DamagedError:
        raise
    except Exception as error:
        # What torch says here goes on to advise reading the file with code and all.
        raise DamagedError(f"not a whole checkpoint of plain values ({type(error).__name__})") from error
    if not isinstance(contents, dict):
        raise DamagedError("not a checkpoint")
    return contents
