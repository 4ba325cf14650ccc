"""The neuron contract: a pure step from (current, state) to (spikes, state)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from throughtime.neurons.equations import DERIVATIVES, equations_of, evaluated, report_refusal
from throughtime.neurons.gate import Gate, is_dense

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


def _no_step(self: nn.Module, *inputs: Any) -> NoReturn:
    raise NotImplementedError(f"{type(self).__name__} has neither step nor forward")


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

    mixes_samples: ClassVar[bool] = False
    """Whether a sample's step depends on the other samples of its batch."""
    reset_step: Literal["next_step", "same_step"] | None = None
    """Step in which a spike resets v: the one after the spike, or that of the spike; None: not declared. A check tests
    this and the next."""
    reset_gradient: bool | None = None
    """Whether the gradient flows through the spike that resets v; None: not declared."""

    gates: dict[str, Gate]
    """The neuron's gates, by their names in the step; none by default."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape_of(shape)
        self.size = math.prod(self.shape)
        self.gates = {}

    @classmethod
    def on_registration(cls) -> None:
        """Trace the step with the default options; a step that cannot be compiled is reported with its line."""
        report_refusal(cls)

    @abstractmethod
    def initial_state(self, batch: int, like: Tensor) -> Any:
        """Return the state before the first step, [batch, *shape], with the dtype and device of `like`."""

    step: Callable[..., Any] = _no_step
    """`step(I, s)`, or `step(I, s, g)` for a neuron with gates: return the next state.

    The method is a sequence of straight-line equations: +, −, ×, /, `σ`, `tanh`, `exp`, `sqrt`, `sin`, `cos` and
    `absolute` of `numerics.equations`, `spike` and `constant` of `neurons.surrogate`, applied to I, fields of s,
    outputs of gates and attributes of the neuron that are numbers or tensors of shape [*shape] or []. The compiled
    loops, their adjoints, single steps and `partials` are derived from it. Options that are not numbers may select
    between equations.

        I    the current, [batch, *shape]; a tuple of such tensors if the neuron has several currents
        s    the previous state, with its fields as attributes
        g    the outputs of the gates, [batch, *shape], by their names as attributes
    """

    @property
    def has_equations(self) -> bool:
        """Whether the neuron defines `step` and does not override `forward`."""
        return type(self).forward is Neuron.forward and type(self).step is not Neuron.step

    def forward(self, current: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return z_t [batch, *shape] and the next state, from I_t [batch, currents · shape[0], ...]. A neuron whose
        step does not have the form of `step` overrides this method with arbitrary PyTorch code."""
        I = current if self.currents == 1 else current.chunk(self.currents, 1)
        outputs = {name: gate.output(self, current, state) for name, gate in self.gates.items()}
        after = self.step(I, state, SimpleNamespace(**outputs)) if outputs else self.step(I, state)
        return after.z, after

    def partials(self, current: Tensor, state: Any, next_state: Any) -> Partials | None:
        """Return the partial derivatives of the step from `state` with `current` to `next_state`; None for a neuron
        without equations, or with gates that are not dense (the rule diagonal_rtrl then uses automatic
        differentiation). The derivatives of a gate are those by the current and state of its own neuron."""
        equations = equations_of(self)
        if equations is None or not all(is_dense(getattr(self, gate.map)) for gate in self.gates.values()):
            return None
        known = {**equations.known(self, current, state), **equations.values_of(self)}
        known |= {e: getattr(next_state, field) for field, e in equations.after.items() if e.op != "input"}
        value = evaluated(equations.jacobian, known)
        by: dict[str, dict[tuple[str, str], Derivative]] = {kind: {} for kind in DERIVATIVES}
        for (s, kind, name), derivative in value.items():
            by[kind][s, name] = derivative
        before, currents, inflows = by["before"], by["current"], dict[str, InputJacobian]()
        for gate in self.gates.values():
            by_gate = {s: derivative for (s, map), derivative in by["gate"].items() if map == gate.map}
            inflows[gate.map] = InputJacobian(by_gate, presynaptic=gate.input(current, state))
            W = getattr(self, gate.map).weight.detach()
            for s, by_g in by_gate.items():
                if gate.reads is not None:
                    _add(before, (s, gate.reads), by_g * W[:, -self.size :].diagonal())
                for n in range(self.currents if gate.current else 0):
                    _add(currents, (s, f"{n}"), by_g * W[:, n * self.size : (n + 1) * self.size].diagonal())
        for name in equations.learnt:
            inflows[name] = InputJacobian(
                {s: derivative for (s, p), derivative in by["parameter"].items() if p == name}
            )
        return Partials(before, by["after"], {"current": InputJacobian(self._joined(currents, state.z)), **inflows})

    def _joined(self, currents: Mapping[tuple[str, str], Derivative], like: Tensor) -> dict[str, Derivative]:
        """Return the derivatives by the current of each variable; by several currents as [batch, currents, size]."""
        if self.currents == 1:
            return {s: derivative for (s, _), derivative in currents.items()}
        joined: dict[str, Derivative] = {}
        for s in dict.fromkeys(s for s, _ in currents):
            derivatives = (currents.get((s, f"{n}"), 0.0) for n in range(self.currents))
            joined[s] = torch.stack(
                [torch.as_tensor(d, dtype=like.dtype, device=like.device).expand_as(like) for d in derivatives], 1
            )
        return joined


def _add(total: dict[tuple[str, str], Derivative], pair: tuple[str, str], more: Derivative) -> None:
    total[pair] = total[pair] + more if pair in total else more
