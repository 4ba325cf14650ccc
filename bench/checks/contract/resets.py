"""The reset of a neuron, as it declares it: in which step, and whether the gradient flows through its spike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from throughtime.checks.fact import DoesNotApplyError, Observed
from throughtime.neurons.base import Neuron


def misdeclared(neuron: Neuron, steps: list[tuple[Tensor, Any, Tensor, Any]]) -> Observed:
    """Count the declarations on the reset that do not hold on some steps.

    A spike of the step before moves v in a reset of the next step, with the spike of this step unchanged, and does not
    in one of the same step. The gradient flows if the derivative of v by the resetting spike is nearer to the change
    of v by that spike than to 0; of a reset in the same step, if there is a derivative.

    Raises:
        DoesNotApplyError: the neuron declares neither.
    """
    declared, flows = neuron.reset_step, neuron.reset_gradient
    if declared is None and flows is None:
        raise DoesNotApplyError("it declares no reset")
    moved = max(float(change_of_v(neuron, current, state, after).max()) for current, state, _, after in steps)
    actual = "next_step" if moved > 1e-9 else "same_step"
    faults = [f"the reset is in the {actual.replace('_', ' ')}"] * (declared not in (None, actual))
    if flows is not None:
        flows_through = flows_from_before if actual == "next_step" else flows_within
        does = any(flows_through(neuron, current, state) for current, state, _, _ in steps)
        faults += [f"the gradient {'flows' if does else 'does not flow'} through the reset"] * (does != flows)
    return Observed(len(faults), "; ".join(faults) or f"{actual.replace('_', ' ')}, {len(steps)} steps")


@torch.no_grad()
def change_of_v(neuron: Neuron, current: Tensor, state: Any, after: Any) -> Tensor:
    """Return |Δv| with the opposite spikes in the state before, 0 where the spike of this step changes, too."""
    z, other = neuron(current, state._replace(z=1 - state.z))
    return (other.v - after.v).abs() * (z == after.z)


def flows_from_before(neuron: Neuron, current: Tensor, state: Any) -> bool:
    """Return whether the derivative of v by the spike of the step before is nearer to its effect than to 0."""
    z = state.z.clone().requires_grad_()
    _, after = neuron(current.clone().requires_grad_(), state._replace(z=z))
    (D,) = torch.autograd.grad(after.v.sum(), z, allow_unused=True, materialize_grads=True)
    with torch.no_grad():
        with_spike, without = (neuron(current, state._replace(z=torch.full_like(z, k)))[1].v for k in (1.0, 0.0))
    F = with_spike - without
    return bool(((D - F).abs() < F.abs() / 2).any())


def flows_within(neuron: Neuron, current: Tensor, state: Any) -> bool:
    """Return whether v depends on the spike of its step in the graph of the step."""
    _, after = neuron(current.clone().requires_grad_(), state)
    (D,) = torch.autograd.grad(after.v.sum(), after.z, allow_unused=True, materialize_grads=True)
    return bool(D.any())
