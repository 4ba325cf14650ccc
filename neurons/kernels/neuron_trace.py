"""Traces of neurons: the derivative of a neuron's state, carried forward in time along its own recursion."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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

Traces = tuple[Tensor, ...]
"""ε of the fields of a state, [batch, size] each."""

DECAY = Expression("input", name="λ of traces", level=Level.NUMBER)
GAIN = Expression("input", name="1 − λ of traces", level=Level.NUMBER)


@torch.no_grad()
def advance_traces(neuron: Neuron, I: Tensor, states: Any, ε: Traces | None, λ: float, o: str) -> tuple[Tensor, Traces]:
    """Advance the traces of `NeuronTrace` over a block of steps, in a compiled loop or on tensors.

    Args:
        neuron: a vector of neurons with equations, and one current each.
        I: the currents, [steps, batch, size].
        states: states before the first step and after each step, [1 + steps, batch, size].
        ε: what the block before returned, in memory that this one overwrites; None: 0.
        λ: decay.
        o: a variable.

    Returns:
        ε_o of each step, [steps, batch, size], and the traces that the next block needs.
    """
    loops = loops_of(neuron)
    assert loops is not None, "the neuron has equations"
    trace = loops.equations.once(NeuronTrace)
    ε = tuple(torch.zeros_like(I[0]) for _ in trace.before) if ε is None else ε
    before = type(states)(*(s[:-1].flatten(0, 1) for s in states))
    gates = [gate.output(neuron, I.flatten(0, 1), before).view_as(I) for gate in loops.equations.gates.values()]
    constants, ε_o = trace.constants(neuron, λ), torch.empty_like(I)
    if runs_compiled(I, *states, *gates, *(c for c in constants.values() if isinstance(c, Tensor))):
        loop, slopes = trace.loop(o, constants)
        surrogates = (*surrogates_of(slopes, I), 0)
        loop(ε_o, I, tuple(states), (*gates, I), (*ε, I), constants_of(constants, I), surrogates)
        return ε_o, ε
    for t, ε_o_t in enumerate(ε_o.unbind(0)):
        known = constants | trace.values(
            I[t], [s[t] for s in states], [s[t + 1] for s in states], [g[t] for g in gates]
        )
        known |= zip(trace.before.values(), ε, strict=True)
        ε_o_t[...], *after = evaluate([trace.after[o], *(trace.after[r] for r in trace.before)], known)
        ε = tuple(ε_r.new_empty(ε_r.shape).copy_(torch.as_tensor(s)) for ε_r, s in zip(ε, after, strict=True))
    return ε_o, ε


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
        """ε_r^{t−1} of the fields of the state that depend on others or on an input."""
        traced = {s for s, _, _ in self.equations.jacobian}
        fields = [r for r in self.equations.before if r in traced]
        return {r: Expression("input", name=f"ε_{r} before", level=Level.SAMPLE) for r in fields}

    @cached_property
    def diagonals(self) -> dict[str, tuple[Expression, Expression]]:
        """The derivatives of each gate by the current and by the field of its own neuron, by the name of its map."""
        maps = [gate.map for gate in self.equations.gates.values()]
        return {map: (_diagonal(f"∂{map}/∂I"), _diagonal(f"∂{map}/∂s")) for map in maps}

    @cached_property
    def after(self) -> dict[str, Expression]:
        """ε_s^t by variable."""
        past = {r: DECAY * ε for r, ε in self.before.items()}
        by_gate: dict[str, Expression] = {}
        for gate in self.equations.gates.values():
            by_I, by_s = self.diagonals[gate.map]
            by_gate[gate.map] = (by_I * GAIN if gate.current else ZERO) + by_s * past.get(gate.reads or "", ZERO)
        after: dict[str, Expression] = {}
        sources = {"before": past, "current": {"0": GAIN}, "gate": by_gate, "after": after}
        for (s, kind, q), derivative in self.equations.jacobian.items():
            if kind in sources:
                after[s] = after.get(s, ZERO) + derivative * sources[kind].get(q, ZERO)
        return after

    def constants(self, neuron: Neuron, λ: float) -> dict[Expression, Value]:
        """Return the values that are the same at all steps and in all samples."""
        constants: dict[Expression, Value] = self.equations.values_of(neuron) | {DECAY: λ, GAIN: 1 - λ}
        for gate in self.equations.gates.values():
            blocks = gate.blocks(getattr(neuron, gate.map).weight.detach(), neuron.size)
            for e, W in zip(self.diagonals[gate.map], (blocks[0], blocks[-1]), strict=True):
                constants[e] = W.diagonal().contiguous()
        return constants

    def values(
        self, I: Tensor, before: Sequence[Tensor], after: Sequence[Tensor], gates: Sequence[Tensor]
    ) -> dict[Expression, Value]:
        """Return the values of one step, [batch, size]."""
        e = self.equations
        values: dict[Expression, Value] = dict(zip(e.after.values(), after, strict=True))
        return values | dict(zip((*e.before.values(), *e.currents, *e.gates), (*before, I, *gates), strict=True))

    def loop(self, o: str, constants: Collection[Expression]) -> tuple[CompiledLoop, list[Expression]]:
        """Return the loop of a block, with arguments (ε_o, I, states, gates, ε, constants, surrogates), and the slopes
        of surrogates that it reads. It writes ε_o of each step, and advances ε in place."""
        if o not in self._loops:
            slopes = slopes_of([self.after[o], *(self.after[r] for r in self.before)])
            self._loops[o] = self._loop(o, constants, slopes), slopes
        return self._loops[o]

    def _loop(self, o: str, constants: Collection[Expression], slopes: Sequence[Expression]) -> CompiledLoop:
        e = self.equations
        head = ["like = ε_o", "number = like.dtype.type", "batch, size = ε_o.shape[1:]"]
        ahead, loads = ["o_t = ε_o[t]", "I_t = I[t]"], {e.currents[0]: "I_t[n, i]"}
        for k, f in enumerate(e.after):
            ahead += [f"p_{f} = states[{k}][t]", f"s_{f} = states[{k}][t + 1]"]
            loads |= {e.after[f]: f"s_{f}[n, i]", e.before[f]: f"p_{f}[n, i]"}
        for k, g in enumerate(e.gates):
            ahead.append(f"g_{k} = gates[{k}][t]")
            loads[g] = f"g_{k}[n, i]"
        for k, c in enumerate(constants):
            of_neurons = c.level == Level.NEURON
            head.append(f"c_{k} = constants[{k}]" if of_neurons else f"c_{k} = constants[{k}][()]")
            loads[c] = f"c_{k}[i]" if of_neurons else f"c_{k}"
        stores = [StoredExpression(self.after[o], "o_t[n, i] = {}", Level.SAMPLE)]
        for k, (r, ε) in enumerate(self.before.items()):
            head.append(f"ε_{r} = ε[{k}]")
            loads[ε] = f"ε_{r}[n, i]"
            stores.append(StoredExpression(self.after[r], f"ε_{r}[n, i] = {{}}", Level.SAMPLE))
        body = Body(loads, stores, calls_of(slopes))
        lines = (*head, "for t in range(len(ε_o)):", *indented([*ahead, *body.over_samples()]))
        return loop_from("neuron_trace", "ε_o, I, states, gates, ε, constants, surrogates", lines, (h_of_row,))


def _diagonal(name: str) -> Expression:
    return Expression("input", name=name, level=Level.NEURON)
