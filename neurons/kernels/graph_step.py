"""A step of a layer of neurons as one operation of a graph, elementwise over a map of any shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from throughtime.neurons.base import Neuron
from throughtime.neurons.kernels.kernel import constants_of, loops_of, surrogates_of
from throughtime.neurons.kernels.loops import READ, StepLoops, gradient_at
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.equations.evaluate import Value, evaluate
from throughtime.numerics.equations.expression import Expression
from throughtime.numerics.loops import runs_compiled

Tensors = dict[Expression, Tensor]
"""Tensors by the expressions whose values they are; several currents of a neuron are one tensor, by the first."""
Constants = Mapping[Expression, Value]


def step_in_graph(neuron: Neuron, current: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Return z_t and the next state, as `neuron(current, state)` does, by the loops of a window of one step.

    The gates are modules of any kind, which run before the operation in the graph. For its backward pass the operation
    stores the values that a step of a window stores, if the gradients of this step read them (`StepLoops.read_back`).
    If loops cannot run, or operations are counted, the same expressions are evaluated on tensors. A neuron without
    equations takes its own step.

    Args:
        neuron: the neurons.
        current: I_t, [batch, currents · shape[0], ...].
        state: state before the step.
    """
    loops = loops_of(neuron, single_step=True)
    if loops is None or is_smoothed():
        z, after = neuron(current, state)
        return z, after
    outputs = [gate.output(neuron, current, state) for gate in loops.equations.gates.values()]
    learnt = [getattr(neuron, name) for name in loops.equations.learnt]
    inputs = (current, *outputs, *learnt, *state)
    keep = torch.is_grad_enabled() and any(s.requires_grad for s in inputs)
    to_state = any(s.requires_grad for s in state)
    after = type(state)(*_Step.apply(_Layer(neuron, loops, keep, to_state), *inputs))
    return after.z, after


class _Step(torch.autograd.Function):
    """Arguments: a _Layer; the current, the outputs of the gates, the neurons' parameters, the state before. Results:
    the state after."""

    @staticmethod
    def forward(ctx: Any, layer: _Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
        e, constants = layer.loops.equations, layer.loops.equations.values_of(layer.neuron)
        known = {x: s for x, s in zip(layer.inputs, inputs, strict=True) if x not in constants}
        run = layer.step_in_loops if _runs_compiled(known, constants) else layer.step_on_tensors
        known |= run(known, constants)
        if layer.keep:
            ctx.layer = layer
            # The inputs that are constants are parameters, which are saved so that changes in place are detected.
            learnt = [s for x, s in zip(layer.inputs, inputs, strict=True) if x in constants]
            ctx.save_for_backward(*(known[x] for x in layer.read_back), *learnt)
            ctx.set_materialize_grads(False)
        # Detached, so that each result is a tensor of its own and the graph does not refer to its results.
        return tuple(known[x].detach() for x in e.after.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *δafter: Tensor | None) -> tuple[Tensor | None, ...]:
        layer: _Layer = ctx.layer
        constants = layer.loops.equations.values_of(layer.neuron)
        known = dict(zip(layer.read_back, ctx.saved_tensors, strict=False))
        run = layer.gradients_in_loops if _runs_compiled(known, constants) else layer.gradients_on_tensors
        δ = {f: δs for f, δs in zip(layer.loops.equations.after, δafter, strict=True) if δs is not None}
        needed = [x for x, need in zip(layer.inputs, ctx.needs_input_grad[1:], strict=True) if need]
        gradients = run(known, constants, δ, needed)
        return None, *(gradients.get(x) if x in needed else None for x in layer.inputs)


def _runs_compiled(known: Tensors, constants: Constants) -> bool:
    return runs_compiled(*known.values(), *(c for c in constants.values() if isinstance(c, Tensor)))


class _Layer(NamedTuple):
    """A layer of neurons in a step."""

    neuron: Neuron
    loops: StepLoops
    keep: bool
    """Whether there may be a backward pass."""
    to_state: bool
    """Whether it goes on to the state before the step."""

    @property
    def read_back(self) -> list[Expression]:
        """The values that the backward pass reads."""
        return self.loops.read_back[self.to_state]

    @property
    def inputs(self) -> list[Expression]:
        """The inputs of the operation: current, gates, parameters, state before."""
        e = self.loops.equations
        return [e.currents[0], *e.gates, *(e.constants[name] for name in e.learnt), *e.before.values()]

    def step_on_tensors(self, known: Tensors, constants: Constants) -> Tensors:
        """Return the values of the next state, and the other values to store."""
        wanted = [*self.loops.equations.after.values(), *(self.loops.kept_values if self.keep else ())]
        values = evaluate(wanted, {**known, **self._currents(known), **constants})
        return {x: value for x, value in zip(wanted, values, strict=True) if isinstance(value, Tensor)}

    def gradients_on_tensors(
        self, known: Tensors, constants: Constants, δ: Mapping[str, Tensor], needed: list[Expression]
    ) -> Tensors:
        """Return the gradients by the needed inputs, from those of the state after the step, by field."""
        e, backward = self.loops.equations, self.loops.backward_from(δ)
        given = {READ if f == "z" else gradient_at(f): δs for f, δs in δ.items()}
        wanted = [x for x in (*e.currents[1:], *needed) if x in backward]
        values = evaluate([backward[x] for x in wanted], {**known, **self._currents(known), **constants, **given})
        gradients = {x: value for x, value in zip(wanted, values, strict=True) if isinstance(value, Tensor)}
        if len(e.currents) > 1:
            zeros = known[e.after["z"]].new_zeros(()).expand_as(known[e.after["z"]])
            gradients[e.currents[0]] = torch.cat([gradients.get(I, zeros) for I in e.currents], 1)
        return gradients

    def _currents(self, known: Tensors) -> Tensors:
        """Return each current of a neuron, if the currents are known."""
        I, currents = known.get(self.loops.equations.currents[0]), self.loops.equations.currents
        return {} if I is None else dict(zip(currents, I.chunk(len(currents), 1), strict=True))

    def step_in_loops(self, known: Tensors, constants: Constants) -> Tensors:
        """Return the values of the next state, and the other values to store."""
        e, in_place = self.loops.equations, self.loops.in_place_of_current
        I, like = _window(known[e.currents[0]]), _window(known[e.before["z"]])
        if in_place is not None:
            I = I.clone()  # the current may have other readers
        written = (*(e.after[f] for f in self.loops.moving), e.after["z"], *self.loops.kept_values)
        memory = {x: I if x is in_place else torch.empty_like(like) for x in dict.fromkeys(written)}
        Z, fields = memory[e.after["z"]], tuple(memory[e.after[f]] for f in self.loops.moving)
        values = (*(_window(known[g]) for g in e.gates), *(memory[x] for x in self.loops.kept_values))
        before = tuple(_window(known[x])[0] for x in e.before.values())
        self.loops.forward(0, I, Z, (*fields, Z), (*values, Z), before, constants_of(constants, I))
        return {x: window.view(known[e.before["z"]].shape) for x, window in memory.items()}

    def gradients_in_loops(
        self, known: Tensors, constants: Constants, δ: Mapping[str, Tensor], needed: list[Expression]
    ) -> Tensors:
        """Return the gradients by the needed inputs, and others that nothing reads."""
        e, loops, z = self.loops.equations, self.loops, known[self.loops.equations.after["z"]]
        like = _window(z)
        spikes = z.to(torch.int8) if self.neuron.spiking else z  # bytes, as in a window, for which loops are compiled
        # A value that is not stored is not read; z stands in its place.
        read = tuple(_window(spikes if x is e.after["z"] else known.get(x, z)) for x, _ in loops.windows)
        before = tuple(_window(known.get(x, z)) for _, x in loops.windows if x is not None)
        δz = _own(δ.get("z"), like)
        carried = {f: _own(None if f == "z" else δ.get(f), like)[0] for f in loops.carried}
        δI = δz if len(e.currents) == 1 else like.new_empty(1, like.shape[1], len(e.currents) * like.shape[2])
        δg = {g: torch.empty_like(like) for g in e.gates}
        values = dict(zip(constants, constants_of(constants, like), strict=True))
        learnt = {e.constants[name]: torch.zeros_like(values[e.constants[name]]) for name in e.learnt}
        window_gradients = (δz, δI, *δg.values()), (*carried.values(), δz), (*learnt.values(), δz)
        loops.adjoint(
            0, read, before, *window_gradients, tuple(values.values()), (*surrogates_of(loops.slopes, like), 0)
        )
        gradients = {**δg, **{e.before[f]: δs for f, δs in carried.items()}}
        gradients = {x: δs.view(z.shape) for x, δs in gradients.items()}
        gradients[e.currents[0]] = δI.view(z.shape[0], -1, *z.shape[2:])
        return gradients | {
            x: total.view(getattr(self.neuron, name).shape)
            for name, (x, total) in zip(e.learnt, learnt.items(), strict=True)
        }


def _window(s: Tensor) -> Tensor:
    """Return a tensor [batch, ...] as a window of one step of vectors, [1, batch, ...]."""
    return s.detach().flatten(1)[None]


def _own(δ: Tensor | None, like: Tensor) -> Tensor:
    """Return a gradient as a window of its own, which a loop may overwrite; zeros in place of None."""
    return torch.zeros_like(like) if δ is None else _window(δ).clone(memory_format=torch.contiguous_format)
