"""A neuron's step from a state that is held constant, and its gradient, on buffers that all steps share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.neurons.base import Neuron
from throughtime.neurons.gate import Gate
from throughtime.neurons.kernels.kernel import constants_of, loops_of, surrogates_of
from throughtime.neurons.kernels.map_step import MapStep
from throughtime.numerics.loops import bound


class GradientMemory:
    """The memory for the gradients of parameters; a fixed parameter has a dummy buffer.

    Attributes:
        written: the part of this memory that a step writes, by the parameters that it reads.
    """

    def __init__(self, places: Mapping[Tensor, Tensor]) -> None:
        self.places, self.written = places, dict[Tensor, Tensor]()

    def memory(self, parameter: Tensor) -> Tensor:
        if parameter not in self.places:
            return torch.empty_like(parameter)
        self.written[parameter] = self.places[parameter]
        return self.places[parameter]


class _GateStep:
    """The products of a gate, g_t = W_I I_t + W_s s_{t−1} + b, one of them, or W (I_t + s_{t−1}) + b, in memory of one
    step."""

    def __init__(self, gate: Gate, map: nn.Linear, I: Tensor, like: Tensor, gradients: GradientMemory) -> None:
        self.gate, self.I = gate, I
        self.g, self.δg = torch.empty_like(like), torch.empty_like(like)
        biases: tuple[Tensor | None, Tensor | None] = (None, None)
        if map.bias is not None:
            biases = map.bias.detach(), gradients.memory(map.bias)
        parts = (gate.blocks(W, like.shape[1]) for W in (map.weight.detach(), gradients.memory(map.weight)))
        self.maps: list[MapStep] = []
        for W, δW in zip(*parts, strict=True):
            b, δb = (None, None) if self.maps else biases
            self.maps.append(MapStep(W, b, self.g, self.δg, δW, δb))

    def step(self, before: Any) -> None:
        """Compute g_t from the currents and the state before the step."""
        first, *others = self.gate.parts(self.I, self.gate.field(before))
        self.maps[0].write(first)
        for map, part in zip(self.maps[1:], others, strict=True):
            map.add(part)

    def gradient(self, before: Any, δI: Tensor) -> None:
        """Compute the gradients of the map, and add the contribution of δg_t to δI_t."""
        if self.gate.current:
            self.maps[0].add_input_gradient(δI)
        for map, part in zip(self.maps, self.gate.parts(self.I, self.gate.field(before)), strict=True):
            map.gradient(part)


class StepAdjoint:
    """The gradient of steps of neurons with equations, each from a state that is held constant.

        δI = (∂z_t/∂I_t)ᵀ δz_t + (∂v_t/∂I_t)ᵀ δv_t,     and likewise for the neuron's parameters, summed over the batch

    Steps of several times are one batch.

    Args:
        neuron: the layer of neurons.
        I: the currents, [batch, currents · size].
        δz, δv: gradients of z_t and v_t, [batch, size].
        gradients: the memory for the gradients of the neuron's parameters.

    Attributes:
        δI: memory for the gradient of the currents.
        gates: the products of the neuron's gates.
    """

    def __init__(self, neuron: Neuron, I: Tensor, δz: Tensor, δv: Tensor, gradients: GradientMemory) -> None:
        loops = loops_of(neuron)
        assert loops is not None
        self.loops, self.I, self.δz, self.δv, self.δI = loops, I, δz, δv, torch.empty_like(I)
        gates = loops.equations.gates.values()
        self.gates = [_GateStep(gate, getattr(neuron, gate.map), I, δz, gradients) for gate in gates]
        self.constants = constants_of(loops.equations.values_of(neuron), I)
        self.learnt = tuple(
            gradients.memory(getattr(neuron, name)).reshape(c.shape)
            for name, c in zip(loops.equations.constants, self.constants, strict=True)
            if name in loops.equations.learnt
        )

    def bound(self, before: Any, after: Any) -> Callable[[], Any]:
        """Return the loop of the gradient of the steps from the states `before` to those `after`."""
        δ = (self.δz, self.δv, self.δI, *(gate.δg for gate in self.gates))
        read = (self.I, (*(gate.g for gate in self.gates), self.I), tuple(before), tuple(after))
        surrogates = (*surrogates_of(self.loops.single_slopes, self.I), 0)
        return bound(self.loops.single_adjoint, *read, δ, (*self.learnt, self.δI), self.constants, surrogates)

    def pass_gates(self, before: Any) -> None:
        """Compute the gradients of the gates' maps, and add the contributions of the gates to δI, after the loop."""
        for gate in self.gates:
            gate.gradient(before, self.δI)


def gradient_of_steps(
    neuron: Neuron, I: Tensor, states: tuple[Any, Any], δ: tuple[Tensor, Tensor], gradients: GradientMemory
) -> Tensor:
    """Return δI of steps that were taken, and write the gradients of the neuron's parameters; arguments as in
    `StepAdjoint`, with the states before and after the steps, [batch, size], and δ = (δz, δv)."""
    adjoint, (before, after) = StepAdjoint(neuron, I, *δ, gradients), states
    for gate in adjoint.gates:
        gate.step(before)
    adjoint.bound(before, after)()
    adjoint.pass_gates(before)
    return adjoint.δI


class NeuronOneStep:
    """The step of one layer of neurons with equations, and its gradient from δz_t and δv_t.

    The state has two buffers, 0 and 1: a step reads buffer 1 − now and writes buffer `now`, and the gradient of the
    step reads both. The first step writes buffer 0. Each direction is a compiled loop, prepared once for each buffer,
    and the products of the gates.

    Args:
        neuron: the layer of neurons.
        I: the memory of the currents, [batch, currents · size].
        state: the state before the first step.
        gradients: the memory for the gradients of the neuron's parameters.

    Attributes:
        v, z: the two buffers of each, [batch, size].
        δz, δv: memory for the gradients from the readers of z_t and v_t; 0 if there are none.
        δI: memory for the gradient of the currents.
    """

    def __init__(self, neuron: Neuron, I: Tensor, state: Any, gradients: GradientMemory) -> None:
        slots = [torch.stack((torch.empty_like(s), s)).unbind(0) for s in state]
        self.states = [type(state)(*buffers) for buffers in zip(*slots, strict=True)]
        self.v, self.z = ([getattr(s, name) for s in self.states] for name in ("v", "z"))
        self.δz, self.δv = torch.zeros_like(state.z), torch.zeros_like(state.v)
        self.adjoint = StepAdjoint(neuron, I, self.δz, self.δv, gradients)
        self.δI = self.adjoint.δI
        self._steps, self._gradients = zip(*(self._bound(now) for now in (0, 1)), strict=True)

    def _bound(self, now: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        """Return the loops of a step that writes buffer `now`, and of its gradient."""
        loops, I, after, before = self.adjoint.loops, self.adjoint.I, self.states[now], self.states[1 - now]
        for f in before._fields:
            if f not in loops.moving and f != "z":
                getattr(after, f).copy_(getattr(before, f))
        fields, z = tuple(getattr(after, f)[None] for f in loops.moving), after.z[None]
        outputs = tuple(gate.g[None] for gate in self.adjoint.gates)
        memory = (I[None], z, (*fields, z), (*outputs, z), tuple(before), self.adjoint.constants)
        return bound(loops.single, 0, *memory), self.adjoint.bound(before, after)

    def step(self, now: int) -> None:
        """Compute the state in buffer `now` from the previous state and the currents."""
        for gate in self.adjoint.gates:
            gate.step(self.states[1 - now])
        self._steps[now]()

    def gradient(self, now: int) -> None:
        """Compute the gradients of the currents and parameters of the step from those of its results."""
        self._gradients[now]()
        self.adjoint.pass_gates(self.states[1 - now])


def single_step_of(neuron: Neuron) -> type[NeuronOneStep] | None:
    """Return the single steps of a neuron; None if its loops cannot be derived."""
    return None if loops_of(neuron) is None else NeuronOneStep
