"""Checks of a batch for a `Learner`: each fault is named in the caller's terms, before any weight changes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from throughtime.datasets.task import Classification, Task
from throughtime.errors import UsageError
from throughtime.harness.learner_checks import KINDS, outputs_of
from throughtime.networks.base import Network
from throughtime.numerics.trees import Tree, tensors


def check_batch(x: Tree, target: Tree, network: Network, task: Task) -> None:
    """Check the types and shapes of a batch, and on the CPU the classes; microseconds.

    Raises:
        UsageError: x or the target is not a tensor, is empty, has another dtype, or does not fit the network or the
            task. Or autocast is on, which rules that compute derivatives themselves do not follow.
    """
    for name, tree in (("x", x), ("target", target)):
        _check_type(name, tree)
    for part in tensors(x):
        _check_input(part, network)
    if isinstance(x, Tensor) and network.inputs is not None:
        width = network.inputs if isinstance(network.inputs, int) else math.prod(network.inputs)
        if math.prod(x.shape[2:]) != width:
            raise UsageError(f"x is {list(x.shape)}; the network takes {width} inputs a step")
    if (kind := KINDS.get(type(task))) is None:
        return
    if not isinstance(target, Tensor):
        raise UsageError(f"the target of a {kind} is a {type(target).__name__}, no tensor")
    if type(task) is Classification:
        if target.dtype != torch.int64:
            raise UsageError(f"the target of a {kind} has the dtype {_name(target.dtype)}", hint="pass target.long()")
        _check_shape(target, x, "batch", kind, task.per_step)
        _check_classes(target, task)
        return
    if not target.is_floating_point():
        raise UsageError(f"the target of a {kind} has the dtype {_name(target.dtype)}", hint="pass target.float()")
    _check_shape(target, x, "batch, outputs", kind, task.per_step)
    if (outputs := outputs_of(network)) not in (None, target.shape[-1]):
        raise UsageError(f"the target has {target.shape[-1]} numbers; the network has {outputs} outputs")


def _check_type(name: str, tree: Tree) -> None:
    """Raise UsageError for an array of NumPy, and for a tree without a tensor."""
    if type(tree).__module__ == "numpy":
        raise UsageError(f"{name} is a NumPy array", hint=f"pass torch.from_numpy({name})")
    if not tensors(tree):
        raise UsageError(f"{name} is {tree!r:.40}, no tensor")


def _check_input(x: Tensor, network: Network) -> None:
    """Raise UsageError for an input without sequences, of another dtype than the weights, or under autocast."""
    if not x.is_floating_point():
        raise UsageError(f"x has the dtype {_name(x.dtype)}", hint="pass x.float()")
    if all(p.dtype != x.dtype for p in network.parameters()):
        dtype = next(network.parameters()).dtype
        hint = "pass x.float()" if dtype == torch.float32 else f"pass x.to({dtype})"
        raise UsageError(f"x has the dtype {_name(x.dtype)}, and no weight has it", hint=hint)
    if x.dim() < 2:
        raise UsageError(f"x is {list(x.shape)}; expected [steps, batch, inputs]")
    if not x.shape[1]:
        raise UsageError(f"x is {list(x.shape)}; the batch is empty")
    if torch.is_autocast_enabled(x.device.type):
        raise UsageError("autocast is on; a rule computes in the dtype of the weights", hint="call learn outside of it")


def _check_classes(target: Tensor, task: Classification) -> None:
    """Raise UsageError for a class out of range."""
    if target.device.type != "cpu" or not target.numel():  # to read from a GPU would wait for it
        return
    lowest, highest = int(target.min()), int(target.max())
    if highest >= task.classes or lowest < (-1 if task.per_step else 0):
        wrong = highest if highest >= task.classes else lowest
        no_label = "; -1 is no label" if task.per_step else ""
        raise UsageError(f"the target has the class {wrong}; the classes are 0 ... {task.classes - 1}{no_label}")


def _check_shape(target: Tensor, x: Tree, shape: str, kind: str, per_step: bool) -> None:
    shape = f"steps, {shape}" if per_step else shape
    leading = tensors(x)[0].shape[: 1 + per_step] if per_step else tensors(x)[0].shape[1:2]
    if target.dim() != shape.count(",") + 1 or target.shape[: len(leading)] != leading:
        raise UsageError(f"the target of a {kind} is [{shape}], not {list(target.shape)}")


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
