"""Checks of the arguments of a `Learner`: each fault is named in the caller's terms, before any weight changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from torch import Tensor
from torch.optim import LBFGS, Optimizer

from throughtime.algorithms.base import LearningRule
from throughtime.datasets.task import Classification, Distribution, MultiLabel, Regression, Task
from throughtime.errors import UsageError
from throughtime.networks.base import Network

EXPECTED = {
    "network": (Network, "tt.build_network({})"),
    "rule": (LearningRule, "tt.build_rule({})"),
    "task": (Task, "Classification(10) of throughtime.datasets.task, or the task of a dataset"),
}
"""Type of each argument, and an expression that gives it."""
KINDS = {
    Classification: "classification",
    Distribution: "distribution",
    MultiLabel: "set of labels",
    Regression: "regression",
}
"""What a target is, by the type of its task; these tasks read one readout."""
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
    outputs = outputs_of(network)
    if type(task) is Classification and outputs is not None and outputs < task.classes:
        raise UsageError(f"the network has {outputs} outputs; the task has {task.classes} classes")


def check_readouts(network: Network, task: Task) -> None:
    """Raise UsageError for a network of several readouts on a task that reads one."""
    if type(task) in KINDS and len(network.readouts) > 1:
        names = ", ".join(readout.name for readout in network.readouts)
        raise UsageError(f"{type(task).__name__} reads one readout; the network has {names}")


def check_optimiser(optimiser: Any, parameters: Sequence[Tensor]) -> None:
    """Raise UsageError for an optimiser that would change none of the parameters, or needs a closure; microseconds."""
    if not isinstance(optimiser, Optimizer):
        raise UsageError(f"optimiser is {optimiser!r:.40}, no torch.optim.Optimizer")
    if isinstance(optimiser, LBFGS):
        raise UsageError("LBFGS computes the loss several times in a step, and a rule computes one gradient")
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
    if not any(p.requires_grad for p in network.parameters()):
        return "no parameter of the network is trained"
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


def outputs_of(network: Network) -> int | None:
    """Return the number of outputs of a network with one readout; None for several, and for a network that does not
    describe itself."""
    return network.readouts[0].neuron.size if len(network.readouts) == 1 else None
