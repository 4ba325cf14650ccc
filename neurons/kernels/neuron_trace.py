"""Traces of neurons: the derivative of a neuron's state, carried forward in time along its own recursion."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from throughtime.neurons.base import Neuron
from throughtime.neurons.equations import Equations
from throughtime.neurons.kernels.kernel import constants_of, loops_of, surrogates_of
from throughtime.neurons.kernels.loops import calls_of, slopes_of
from throughtime.neurons.surrogate import h_of_row
from throughtime.numerics.equations.emit import Body, StoredExpression, indented, loop_from
from throughtime.numerics.equations.evaluate import Value, evaluate
from throughtime.numerics.equations.expression import ZERO, Expression, Level
from throughtime.numerics.loops import CompiledLoop, runs_compiled

DECAY = Expression("input", name="λ of traces", level=Level.NUMBER)
GAIN = Expression("input", name="1 − λ of traces", level=Level.NUMBER)


@dataclass(frozen=True, eq=False)
class NeuronTrace:
    """ε of the variables of a neuron's step, built once for its equations.

        ε_s^t = λ Σ_r (∂s_t/∂r_{t−1}) ε_r^{t−1} + (1 − λ) ∂s_t/∂I_t + Σ_q (∂s_t/∂q_t) ε_q^t

    The derivatives of a gate are those by the current and state of its own neuron.
    """

    equations: Equations
    _loops: dict[str, tuple[CompiledLoop, list[Expression]]] = member(default_factory=dict)

    @cached_property
    def before(self) -> dict[str, Expression]:
        """ε_r^{t−1} of each field of the state on which a step's derivatives act."""
        traced = {s for s, _, _ in self.equations.jacobian}
        fields = [r for r in self.equations.before if r in traced]
        return {r: Expression("input", name=f"ε_{r} before", level=Level.SAMPLE) for r in fields}

    @cached_property
    def diagonals(self) -> dict[str, tuple[Expression, Expression]]:
        """The derivatives of each gate by the current and by the field that it reads, by the name of its map."""
        maps = [gate.map for gate in self.equations.gates.values()]
        return {
            map: (
                Expression("input", name=f"∂{map}/∂I", level=Level.NEURON),
                Expression("input", name=f"∂{map}/∂s", level=Level.NEURON),
            )
            for map in maps
        }

    @cached_property
    def after(self) -> dict[str, Expression]:
        """ε_s^t by variable, from ε^{t−1}, the derivatives' operands and the constants."""
        past = {r: DECAY * ε for r, ε in self.before.items()}
        by_gate: dict[str, Expression] = {}
        for gate in self.equations.gates.values():
            by_I, by_s = self.diagonals[gate.map]
            by_gate[gate.map] = (by_I * GAIN if gate.current else ZERO) + by_s * past.get(gate.reads or "", ZERO)
        after: dict[str, Expression] = {}
        inflows: dict[str, Mapping[str, Expression]] = {
            "before": past,
            "current": {"0": GAIN},
            "gate": by_gate,
            "after": after,
        }
        for (s, kind, q), derivative in self.equations.jacobian.items():
            if kind in inflows:
                after[s] = after.get(s, ZERO) + derivative * inflows[kind].get(q, ZERO)
        return after

    def constants(self, neuron: Neuron, λ: float) -> dict[Expression, Value]:
        """Return the values that are the same at all steps and in all samples."""
        constants: dict[Expression, Value] = self.equations.values_of(neuron) | {DECAY: λ, GAIN: 1 - λ}
        for gate in self.equations.gates.values():
            W = getattr(neuron, gate.map).weight.detach()
            blocks = gate.blocks(W, neuron.size)
            for e, block in zip(self.diagonals[gate.map], (blocks[0], blocks[-1]), strict=True):
                constants[e] = block.diagonal().contiguous()
        return constants

    def loop(self, o: str, constants: Collection[Expression]) -> tuple[CompiledLoop, list[Expression]]:
        """Return the loop of the steps of a block, with arguments (ε_o, I, states, gates, ε, constants, surrogates), and
        the slopes of surrogates that it reads; it writes ε_o of each step, and advances ε of the fields of the state."""
        if o not in self._loops:
            slopes = slopes_of([self.after[o], *(self.after[r] for r in self.before)])
            self._loops[o] = self._loop(o, constants, slopes), slopes
        return self._loops[o]

    def _loop(self, o: str, constants: Collection[Expression], slopes: Sequence[Expression]) -> CompiledLoop:
        e = self.equations
        ahead, loads = ["o_t = ε_o[t]", "I_t = I[t]"], {e.currents[0]: "I_t[n, i]"}
        for k, f in enumerate(e.after):
            ahead += [f"p_{f} = states[{k}][t]", f"s_{f} = states[{k}][t + 1]"]
            loads |= {e.after[f]: f"s_{f}[n, i]", e.before[f]: f"p_{f}[n, i]"}
        for k, g in enumerate(e.gates):
            ahead.append(f"g_{k} = gates[{k}][t]")
            loads[g] = f"g_{k}[n, i]"
        head = ["like = ε_o", "number = like.dtype.type", "batch, size = ε_o.shape[1:]"]
        for k, c in enumerate(constants):
            head.append(f"c_{k} = constants[{k}]" + ("" if c.level == Level.NEURON else "[()]"))
            loads[c] = f"c_{k}[i]" if c.level == Level.NEURON else f"c_{k}"
        stores = [StoredExpression(self.after[o], "o_t[n, i] = {}", Level.SAMPLE)]
        for k, (r, ε) in enumerate(self.before.items()):
            head.append(f"ε_{r} = ε[{k}]")
            loads[ε] = f"ε_{r}[n, i]"
            stores.append(StoredExpression(self.after[r], f"ε_{r}[n, i] = {{}}", Level.SAMPLE))
        body = Body(loads, stores, calls_of(slopes))
        lines = (*head, "for t in range(len(ε_o)):", *indented([*ahead, *body.over_samples()]))
        arguments = "ε_o, I, states, gates, ε, constants, surrogates"
        return loop_from("neuron_trace", arguments, lines, (h_of_row,))


_known: weakref.WeakKeyDictionary[Equations, NeuronTrace] = weakref.WeakKeyDictionary()


def advance_traces(
    neuron: Neuron, I: Tensor, states: Any, ε: tuple[Tensor, ...] | None, λ: float, o: str
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Advance the traces of `NeuronTrace` over a block of steps.

    Args:
        neuron: a vector of neurons with equations, and one current each.
        I: the currents, [steps, batch, size].
        states: states before the first step and after each step, [1 + steps, batch, size].
        ε: what the block before returned, in memory that this one overwrites; None: 0.
        λ: decay.
        o: a variable.

    Returns:
        ε_o of each step, [steps, batch, size], and the traces that the next block needs, [batch, size].
    """
    loops = loops_of(neuron)
    assert loops is not None, "the neuron has equations"
    trace = _known.setdefault(loops.equations, NeuronTrace(loops.equations))
    ε = tuple(torch.zeros_like(I[0]) for _ in trace.before) if ε is None else ε
    before, flat_I = type(states)(*(s[:-1].flatten(0, 1) for s in states)), I.flatten(0, 1)
    gates = [gate.output(neuron, flat_I, before).view_as(I) for gate in loops.equations.gates.values()]
    constants, ε_o = trace.constants(neuron, λ), torch.empty_like(I)
    tensors = [value for value in constants.values() if isinstance(value, Tensor)]
    if runs_compiled(I, *states, *gates, *tensors):
        loop, slopes = trace.loop(o, constants)
        surrogates = (*surrogates_of(slopes, I), 0)
        loop(ε_o, I, tuple(states), (*gates, I), (*ε, I), constants_of(constants, I), surrogates)
        return ε_o, ε
    e, wanted = loops.equations, [trace.after[o], *(trace.after[r] for r in trace.before)]
    for t, ε_o_t in enumerate(ε_o.unbind(0)):
        known: dict[Expression, Value] = {e.after[f]: s[t + 1] for f, s in zip(e.after, states, strict=True)}
        known |= {e.before[f]: s[t] for f, s in zip(e.after, states, strict=True)} | {e.currents[0]: I[t]}
        known |= dict(zip(e.gates, (g[t] for g in gates), strict=True)) | constants
        known |= dict(zip(trace.before.values(), ε, strict=True))
        ε_o_t[...], *new = evaluate(wanted, known)
        ε = tuple(torch.empty_like(old).copy_(torch.as_tensor(s)) for old, s in zip(ε, new, strict=True))
    return ε_o, ε
