"""Checks of the arguments of a `Learner`: each fault is named in the caller's terms, before any weight changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.task import Classification, Distribution, MultiLabel, Regression, Task
from throughtime.errors import UsageError
from throughtime.networks.base import Network
from throughtime.numerics.trees import Tree, tensors

EXPECTED = {
    "network": (Network, "tt.build_network({})"),
    "rule": (LearningRule, "tt.build_rule({})"),
    "task": (Task, "Classification(10) of throughtime.datasets.task, or the task of a dataset"),
}
"""Type of each argument, and an expression that gives it."""
OPTIONS = (type(None), bool, int, float, str)
"""Types of the attributes of a rule that tell it from one with other options."""


def check_arguments(network: Any, rule: Any, task: Any, steps: Any) -> None:
    """Raise UsageError for an argument of another type, a rule in use, and a network with too few outputs."""
    for name, value in (("network", network), ("rule", rule), ("task", task)):
        kind, expression = EXPECTED[name]
        if not isinstance(value, kind):
            hint = expression.format(repr(value) if isinstance(value, str) else "...")
            raise UsageError(f"{name} is {value!r:.40}, no {kind.__name__}", hint=f"pass {hint}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UsageError(f"steps is {steps!r}", hint="pass the number of time steps of each sequence")
    if hasattr(rule, "task"):
        raise UsageError("the rule belongs to another learner", hint="build a rule of its own: tt.build_rule(...)")
    check_readouts(network, task)
    outputs = _outputs(network)
    if type(task) is Classification and outputs is not None and outputs < task.classes:
        raise UsageError(f"the network has {outputs} outputs; the task has {task.classes} classes")


def check_readouts(network: Network, task: Task) -> None:
    """Raise UsageError for a network of several readouts on a task that reads one."""
    if type(task) in (Classification, Distribution, MultiLabel, Regression) and len(network.readouts) > 1:
        names = ", ".join(readout.name for readout in network.readouts)
        raise UsageError(f"{type(task).__name__} reads one readout; the network has {names}")


def check_optimiser(optimiser: Any, parameters: Sequence[Tensor]) -> None:
    """Raise UsageError for an optimiser that would change none of the parameters; microseconds."""
    if not isinstance(optimiser, Optimizer):
        raise UsageError(f"optimiser is {optimiser!r:.40}, no torch.optim.Optimizer")
    if not any(p is q for group in optimiser.param_groups for p in group["params"] for q in parameters):
        raise UsageError("the optimiser has no parameter of this learner", hint="make it over learner.parameters()")


def identity(rule: LearningRule) -> dict[str, Any]:
    """Return the class and the options of a rule that was just started, as plain values for `state_dict`."""
    parts = vars(rule).items()
    return {
        "class": type(rule).__qualname__,
        **{name: value for name, value in parts if isinstance(value, OPTIONS)},
        **{name: identity(value) for name, value in parts if isinstance(value, LearningRule)},
    }


def check_state(state: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise UsageError for the `state_dict` of a learner with another rule, other options or another number of steps.

    Args:
        state: the state.
        own: the `identity` of the rule that would continue from it.
    """
    if "identity" not in state:
        raise UsageError("it does not name its rule, as what state_dict() returns does")
    found = state["identity"]
    for name in {**own, **found}:
        if found.get(name) != own.get(name):
            raise UsageError(f"its {name} is {found.get(name)!r}, not {own.get(name)!r}")


def supported(rule: LearningRule, network: Network, task: Task, steps: int) -> str | None:
    """Return the reason why a rule does not support a network, task or length; None: it supports them.

    Raises:
        TypeError: `supports` returned neither text nor None.
    """
    reason = rule.supports(network, task, steps)
    if reason is not None and not isinstance(reason, str):
        raise TypeError(f"supports returned {reason!r}, neither a reason nor None")
    return reason


def check_clip(clip: float | None) -> None:
    """Raise UsageError unless a bound of the norm is a number above 0, or None."""
    if clip is not None and not isinstance(clip, Real):
        raise UsageError(f"clip is {clip!r}, no number", hint="None: no clipping")
    if clip is not None and not clip > 0:
        raise UsageError(f"clip must be above 0, not {clip:g}", hint="None: no clipping")


def check_batch(x: Tree, target: Tree, network: Network, task: Task) -> None:
    """Check the types and shapes of a batch, and on the CPU the classes; microseconds.

    Raises:
        UsageError: x or the target is not a tensor, has another dtype, or does not fit the network or the task.
    """
    for name, tree in (("x", x), ("target", target)):
        if type(tree).__module__ == "numpy":
            raise UsageError(f"{name} is a NumPy array", hint=f"pass torch.from_numpy({name})")
    for part in tensors(x):
        if not part.is_floating_point():
            raise UsageError(f"x has the dtype {_dtype(part)}", hint="pass x.float()")
        if part.dtype == torch.float64 and all(p.dtype != part.dtype for p in network.parameters()):
            raise UsageError("x has the dtype float64, and no weight has it", hint="pass x.float()")
        if part.dim() < 2:
            raise UsageError(f"x is {list(part.shape)}; expected [steps, batch, inputs]")
    if isinstance(x, Tensor) and network.inputs is not None:
        width = network.inputs if isinstance(network.inputs, int) else math.prod(network.inputs)
        if math.prod(x.shape[2:]) != width:
            raise UsageError(f"x is {list(x.shape)}; the network takes {width} inputs a step")
    if not isinstance(target, Tensor):
        return
    if type(task) is Classification:
        if target.dtype != torch.int64:
            raise UsageError(
                f"the target of a classification has the dtype {_dtype(target)}", hint="pass target.long()"
            )
        _check_shape(target, x, "batch", "classification", task.per_step)
        _check_classes(target, task)
    if type(task) is Regression:
        if not target.is_floating_point():
            raise UsageError(f"the target of a regression has the dtype {_dtype(target)}", hint="pass target.float()")
        _check_shape(target, x, "batch, outputs", "regression", task.per_step)
        if (outputs := _outputs(network)) not in (None, target.shape[-1]):
            raise UsageError(f"the target has {target.shape[-1]} numbers; the network has {outputs} outputs")


def _outputs(network: Network) -> int | None:
    """Return the number of outputs of a network with one readout; None for several, and for a network that does not
    describe itself."""
    return network.readouts[0].neuron.size if len(network.readouts) == 1 else None


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


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
