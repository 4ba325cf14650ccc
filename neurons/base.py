"""The neuron contract: a pure step from (current, state) to (spikes, state)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.neurons.equations import equations_of, evaluated

Shape = int | tuple[int, ...]
"""Sizes of an array's dimensions; a whole number stands for one dimension."""


def shape_of(shape: Shape) -> tuple[int, ...]:
    """Return the shape as a tuple."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


Derivative = float | Tensor
"""A partial derivative: a number, or a tensor that broadcasts to [batch, size]. A derivative that is the same for all
neurons is a number or has a last dimension of 1: eligibility traces then need one number instead of one per
neuron. A derivative by several currents per neuron is [batch, currents, size]."""


class InputJacobian(NamedTuple):
    """Derivatives of the state by one input of the step: the current, or a trained map or parameter of the neuron."""

    by_input: Mapping[str, Derivative]
    """s: ∂s_t / ∂(current, output of the map, parameter)."""
    presynaptic: Tensor | None = None
    """The input of a map in this step, [batch, in]; None for the current and for parameters."""


class Partials(NamedTuple):
    """The non-zero partial derivatives of one step of each neuron by its own state and inputs.

    They follow the neuron's equations line by line: each variable is computed from variables of the step before, from
    inputs of the step, and from variables of the same step. The variables are the fields of the State and any
    intermediate ones that the equations name. A value that the step holds constant (`constant`) has no entry.
    """

    from_previous: Mapping[tuple[str, str], Derivative]
    """(s, r): ∂s_t / ∂r_{t−1}."""
    within_step: Mapping[tuple[str, str], Derivative]
    """(s, q): ∂s_t / ∂q_t; an entry comes after all those of its q."""
    inflows: Mapping[str, InputJacobian]
    """By `current` and by the name of each trained map (nn.Linear) and parameter of the neuron."""


class Neuron(nn.Module):
    """A layer of neurons without its synapses; dt = 1 step.

    A neuron is registered with `@neuron("name")`; it takes a shape, which is a number of neurons or a tuple of
    dimensions, and keyword-only options. Its State is a NamedTuple of [batch, *shape] tensors with the fields `v`
    (membrane potential after the step, which membrane readouts read) and `z` (spikes; the output of a cell that does
    not spike).

    Rules with per-neuron derivatives can train a parameter of shape [size] (one per neuron) or [] (one for all), and
    an nn.Linear with `size` outputs, one per neuron; `size` is the number of neurons.

    Args:
        shape: dimensions of the layer, or its number of neurons.
    """

    currents: ClassVar[int] = 1
    """Number of currents per neuron; `forward` takes [batch, currents · shape[0], ...], grouped by current."""
    spiking: ClassVar[bool] = True
    """Whether z is 0 or 1; False for the cells of ordinary recurrent networks, which have no firing rate."""
    elementwise: ClassVar[bool] = False
    """Whether a neuron's step depends on no other neuron of its layer. If so, e-prop drops only the credit that goes
    through other neurons, and derivatives are cheap; otherwise rules with per-neuron derivatives use the diagonal of
    the Jacobian of the step."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape_of(shape)
        self.size = math.prod(self.shape)

    @abstractmethod
    def initial_state(self, batch: int, like: Tensor) -> Any:
        """Return the state before the first step, [batch, *shape], with the dtype and device of `like`."""

    def step(self, I: Any, s: Any) -> Any:
        """Return the next state, from the currents I and the state s.

        The method is a sequence of straight-line equations: +, −, ×, /, σ, tanh, exp and `constant` of
        `numerics.equations` and the spike of `neurons.surrogate`, applied to I, fields of s and attributes of the
        neuron that are numbers or tensors of shape [*shape] or []. The compiled loops, their adjoints, single steps and
        `partials` are derived from it. Options that are not numbers may select between equations.

        Args:
            I: [batch, *shape]; a tuple of such tensors if the neuron has several currents.
            s: the previous state, with its fields as attributes.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither step nor forward")

    @property
    def has_equations(self) -> bool:
        """Whether the neuron defines `step` and does not override `forward`."""
        return type(self).forward is Neuron.forward and type(self).step is not Neuron.step

    def forward(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return z_t [batch, *shape] and the next state, from I_t [batch, currents · shape[0], ...]. A neuron whose
        step does not have the form of `step` overrides this method with arbitrary PyTorch code."""
        after = self.step(current if self.currents == 1 else current.chunk(self.currents, 1), state)
        return after.z, after

    def partials(self, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        """Return the partial derivatives of the step from `state` with `current` to `next_state`; None for a neuron
        without equations (the rule diagonal_rtrl then uses automatic differentiation)."""
        equations = equations_of(self)
        if equations is None:
            return None
        known = {**equations.known(current, state), **equations.values_of(self)}
        known |= {e: getattr(next_state, field) for field, e in equations.after.items() if e.op != "input"}
        value = evaluated(equations.jacobian, known)
        fields = equations.fields_in_order()
        currents = [f"I {n}" for n in range(self.currents)]
        inflows: dict[str, dict[str, Derivative]] = {"current": {}}
        for s in fields:
            if any((s, I) in value for I in currents):
                by_current = [value.get((s, I), 0.0) for I in currents]
                inflows["current"][s] = by_current[0] if self.currents == 1 else _stacked(by_current, state.z)
            for name in equations.learnt:
                if (s, name) in value:
                    inflows.setdefault(name, {})[s] = value[s, name]
        return Partials(
            {(s, r): value[s, f"{r} before"] for s in fields for r in fields if (s, f"{r} before") in value},
            {(s, q): value[s, f"{q} after"] for s in fields for q in fields if (s, f"{q} after") in value},
            {name: InputJacobian(by_input) for name, by_input in inflows.items()},
        )


def _stacked(by_current: Sequence[Derivative], like: Tensor) -> Tensor:
    """Return derivatives by several currents as [batch, currents, size]."""
    each = [torch.as_tensor(d, dtype=like.dtype, device=like.device).expand_as(like) for d in by_current]
    return torch.stack(each, 1)
