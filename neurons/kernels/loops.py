"""The loops of a neuron's step: forward and backward through a window, and a single step with its gradient.

A value of level SAMPLE is an array [batch, size], one of level NEURON [size]. The state before a step is the row of the
previous step in the windows; the state before the first step is a separate argument.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as member
from functools import cached_property

from throughtime.neurons.equations import Equations
from throughtime.neurons.surrogate import h_of_row
from throughtime.numerics.equations.adjoint import adjoint
from throughtime.numerics.equations.emit import TAB, Body, StoredExpression, indented, loop_from
from throughtime.numerics.equations.expression import ONE, ZERO, Expression, Level, ancestors
from throughtime.numerics.equations.keep import Item, fewest
from throughtime.numerics.loops import CompiledLoop
from throughtime.numerics.spike_product import FEW_IN_A_RUN, add_rows_of_sample, nonzero, room_for_spiking


def gradient_at(field: str) -> Expression:
    """Return the symbol of δ of a field of the state, from later steps."""
    return Expression("input", name=f"δ{field}", level=Level.SAMPLE)


READ = Expression("input", name="δ of what reads z", level=Level.SAMPLE)
"""δz_t from synapses and readouts."""


@dataclass(frozen=True, eq=False)
class StepLoops:
    """The loops of a neuron, and the values that a window stores; built once for the equations of a neuron."""

    equations: Equations
    _backward_from: dict[frozenset[str], dict[Expression, Expression]] = member(default_factory=dict)

    @cached_property
    def moving(self) -> list[str]:
        """The fields of the state other than z that a step changes."""
        e = self.equations
        return [field for field in e.after if field != "z" and e.after[field] is not e.before[field]]

    @cached_property
    def copies(self) -> list[str]:
        """The fields of the state that equal z."""
        return [field for field in self.moving if self.equations.after[field] is self.equations.after["z"]]

    @cached_property
    def carried(self) -> list[str]:
        """The fields whose gradient passes from a step to the previous one inside the neuron."""
        e = self.equations
        sends_inside = adjoint(dict.fromkeys(e.after.values(), ONE), [e.before["z"]]) or "z" in self._read_by_gates
        return [f for f in e.after if f != "z" or sends_inside]

    @cached_property
    def backward(self) -> dict[Expression, Expression]:
        """The gradients by currents, previous state and parameters, from those of the next state."""
        return self._gradients({self.equations.after["z"]: READ}, self.carried)

    def _gradients(self, seeds: dict[Expression, Expression], fields: Iterable[str]) -> dict[Expression, Expression]:
        """Return the gradients by all inputs, from `seeds` and those of some fields of the next state."""
        e = self.equations
        for field in fields:
            seeds[e.after[field]] = seeds.get(e.after[field], ZERO) + gradient_at(field)
        return adjoint(seeds, [*e.currents, *e.gates, *e.before.values(), *(e.constants[name] for name in e.learnt)])

    def backward_from(self, fields: Iterable[str]) -> dict[Expression, Expression]:
        """Return `backward` of a step of whose results only some fields have a gradient; that of z is READ."""
        key = frozenset(fields)
        if key not in self._backward_from:
            seeds = {self.equations.after["z"]: READ} if "z" in key else {}
            self._backward_from[key] = self._gradients(seeds, sorted(key - {"z"}))
        return self._backward_from[key]

    @property
    def _read_by_gates(self) -> list[str]:
        return [gate.reads for gate in self.equations.gates.values() if gate.reads is not None]

    @cached_property
    def slopes(self) -> list[Expression]:
        """The slopes of surrogates in `backward`; the argument `surrogates` of a loop has two items for each."""
        return slopes_of(self.backward.values())

    @cached_property
    def single_slopes(self) -> list[Expression]:
        """The slopes in `single_backward`."""
        return slopes_of(self.single_backward.values())

    @cached_property
    def stored(self) -> list[Item]:
        """The smallest set of values per step, besides z, from which its gradients can be computed. It includes the
        inputs of gates, for the gradients of their weights."""
        e = self.equations
        states: dict[str, Item] = {field: (e.after[field], e.before[field]) for field in self.moving}
        gate_inputs = [item for field, item in states.items() if field in self._read_by_gates]
        gate_inputs += [e.currents] if any(gate.current for gate in e.gates.values()) else []
        free = [e.after["z"], e.before["z"], *itertools.chain(*gate_inputs)]
        free += [e.before[field] for field in e.after if field not in self.moving]
        items = [item for item in (*states.values(), e.currents, *((g,) for g in e.gates)) if item not in gate_inputs]
        gradients = [READ, *map(gradient_at, self.carried)]
        return gate_inputs + fewest([*self.backward.values()], items, free, gradients)

    @cached_property
    def kept_fields(self) -> list[str]:
        """The fields of the state that are stored for all steps."""
        return [f for f in self.moving if any(self.equations.after[f] in item for item in self.stored)]

    @cached_property
    def kept_gates(self) -> list[Expression]:
        """The gates whose outputs are stored."""
        return [g for g in self.equations.gates if (g,) in self.stored]

    @cached_property
    def kept_values(self) -> list[Expression]:
        """The other values that are stored."""
        e = self.equations
        others = {*e.currents, *e.gates, *(e.after[f] for f in self.moving)}
        return [item[0] for item in self.stored if item[0] not in others]

    @cached_property
    def keeps_current(self) -> bool:
        """Whether the currents are stored; several currents share one array."""
        return any(I in item for item in self.stored for I in self.equations.currents)

    @cached_property
    def in_place_of_current(self) -> Expression | None:
        """The stored value that overwrites a single current; None if there is none or the current itself is stored."""
        if len(self.equations.currents) > 1 or self.keeps_current:
            return None
        fields = [self.equations.after[f] for f in self.kept_fields if f not in self.copies]
        return next(iter([*fields, *self.kept_values]), None)

    @cached_property
    def reads_z(self) -> bool:
        """Whether the gradients of a step or of its gates' weights depend on z, of the step or the one before."""
        z = {self.equations.after["z"], self.equations.before["z"]}
        by_gates = {"z", *self.copies} & {*self._read_by_gates, *self.kept_fields}
        return bool(by_gates or z & {*ancestors(self.backward.values(), {*itertools.chain(*self.stored)} - z)})

    @cached_property
    def read_back(self) -> tuple[list[Expression], list[Expression]]:
        """The values of `windows` that the gradients of a single step read, and z: without and with the gradients by
        the state before the step."""
        by_inputs = {x: δ for x, δ in self.backward.items() if x not in self.equations.before.values()}
        return self._read_back(by_inputs.values()), self._read_back(self.backward.values())

    def _read_back(self, gradients: Collection[Expression]) -> list[Expression]:
        held = list(dict.fromkeys(x for pair in self.windows for x in pair if x is not None))
        read = {x for e in ancestors(gradients, held) for x in e.args} | {self.equations.after["z"]}
        return [x for x in held if x in read or x in gradients]

    # --- forward

    def _constants(self) -> tuple[list[str], dict[Expression, str]]:
        lines, names = [], {}
        for k, (name, e) in enumerate(self.equations.constants.items()):
            lines.append(f"c_{name} = constants[{k}]" if e.level == Level.NEURON else f"c_{name} = constants[{k}][()]")
            names[e] = f"c_{name}[i]" if e.level == Level.NEURON else f"c_{name}"
        return lines, names

    def _currents(self) -> dict[Expression, str]:
        return {I: f"I_t[n, i + {k} * size]" if k else "I_t[n, i]" for k, I in enumerate(self.equations.currents)}

    def _gates(self) -> tuple[list[str], dict[Expression, str]]:
        gates = [*self.equations.gates]
        ahead = [f"g_{k} = values[{k}][t % len(values[{k}])]" for k in range(len(gates))]
        return ahead, {g: f"g_{k}[n, i]" for k, g in enumerate(gates)}

    def _forward(self, for_gradient: bool) -> tuple[list[str], Body]:
        """Return the statements before the loops of step t, and the loops."""
        e, in_place = self.equations, self.in_place_of_current if for_gradient else None
        ahead, gates = self._gates()
        loads = self._constants()[1] | self._currents() | gates
        ahead += ["I_t = I[t]", "Z_t = Z[t]"]
        stores: list[StoredExpression] = []
        fields = list(e.after)
        for k, f in enumerate(self.moving):
            window = "I" if e.after[f] is in_place else f"fields[{k}]"
            ahead += [f"w_{f} = {window}", f"s_{f} = I_t" if window == "I" else f"s_{f} = w_{f}[t % len(w_{f})]"]
            ahead.append(f"p_{f} = before[{fields.index(f)}] if t == 0 else w_{f}[(t - 1) % len(w_{f})]")
            if not (for_gradient and f in self.copies):  # in a window their memory is that of z
                stores.append(StoredExpression(e.after[f], f"s_{f}[n, i] = {{}}", Level.SAMPLE))
        ahead.append(f"p_z = before[{fields.index('z')}] if t == 0 else Z[t - 1]")
        ahead += [f"p_{f} = before[{k}]" for k, f in enumerate(fields) if f != "z" and f not in self.moving]
        loads |= {e.before[f]: f"p_{f}[n, i]" for f in fields}
        stores.append(StoredExpression(e.after["z"], "Z_t[n, i] = {}", Level.SAMPLE))
        for k, value in enumerate(self.kept_values if for_gradient else (), len(e.gates)):
            place = "I_t" if value is in_place else f"values[{k}][t % len(values[{k}])]"
            ahead.append(f"k_{k} = {place}")
            stores.append(StoredExpression(value, f"k_{k}[n, i] = {{}}", Level.SAMPLE))
        return ahead, Body(loads, stores)

    @cached_property
    def forward(self) -> CompiledLoop:
        """The loop of step t of a window, with arguments (t, I, Z, fields, values, before, constants); `values` are the
        outputs of the gates, which it reads, and the `kept_values`, which it writes."""
        return self._step(for_gradient=True)

    @cached_property
    def single(self) -> CompiledLoop:
        """The loop of step t that stores the whole state and leaves the currents as they are, with the arguments of
        `forward`; `values` are the outputs of the gates alone."""
        return self._step(for_gradient=False)

    def _step(self, for_gradient: bool) -> CompiledLoop:
        """Return `forward` or `single`; where both have the same statements they are one loop, compiled once."""
        ahead, body = self._forward(for_gradient)
        lines = (*HEAD, *self._constants()[0], *ahead, *body.over_samples())
        return loop_from("step", "t, I, Z, fields, values, before, constants", lines, ())

    @cached_property
    def run(self) -> CompiledLoop:
        """The loop of steps from t on, with arguments (t, I, Z, fields, values, before, constants, rows), for neurons
        without gates; it stores what `forward` stores. Each step adds the row of `rows` of each neuron that spiked to
        its currents; the loop ends when spikes are no longer sparse, and returns the next step."""
        return self._run(for_gradient=True)

    @cached_property
    def run_single(self) -> CompiledLoop:
        """The same loop, which stores what `single` stores."""
        return self._run(for_gradient=False)

    def _run(self, for_gradient: bool) -> CompiledLoop:
        ahead, body = self._forward(for_gradient)
        lines = [*HEAD, *self._constants()[0], *body.before]
        z = f"before[{list(self.equations.after).index('z')}] if t == 0 else Z[t - 1]"
        lines += [f"p_z = {z}", "spiking = room_for_spiking(p_z)", "sent = nonzero(p_z)"]
        lines += [f"while t < len(I) and sent <= {FEW_IN_A_RUN} * batch * size:", *indented(ahead), f"{TAB}sent = 0"]
        lines += [f"{TAB}for n in prange(batch):"]
        inner = ["add_rows_of_sample(I_t[n], p_z[n], rows, spiking[n])", "for i in range(size):"]
        sent = body.names[self.equations.after["z"]]
        lines += indented([*inner, *indented([*body.inner, f"sent += {sent} > zero"])], 2)
        lines += [f"{TAB}t += 1", "return t"]
        functions = (add_rows_of_sample, nonzero, room_for_spiking)
        return loop_from("run", "t, I, Z, fields, values, before, constants, rows", tuple(lines), functions)

    # --- backward

    @cached_property
    def windows(self) -> list[tuple[Expression, Expression | None]]:
        """The values that the adjoint reads: a value of step t, and for a field of the state also its value before the
        step. The order is: stored fields, z, currents, outputs of gates, other stored values, fields that no step
        changes."""
        e = self.equations
        fields = [(e.after[f], e.before[f]) for f in (*self.kept_fields, "z")]
        current = [(e.currents[0], None)] if self.keeps_current else []
        still = [(e.before[f], None) for f in e.after if f != "z" and f not in self.moving]
        return [*fields, *current, *((value, None) for value in (*self.kept_gates, *self.kept_values)), *still]

    @cached_property
    def adjoint(self) -> CompiledLoop:
        """The loop of the gradients of step t of a window, with arguments (t, read, before, δ, carried, learnt,
        constants, surrogates). δ holds δz from outside the neuron, the gradient of the currents, which is the same
        memory for a single current, and that of the outputs of each gate. `carried`, the gradient of the state, is
        updated in place; gradients of parameters are added to `learnt`."""
        e = self.equations
        ahead, loads = self._constants()
        # Two names of one memory would prevent vector instructions.
        δz = "δI_t" if len(e.currents) == 1 else "δZ_t"
        ahead += [f"{δz} = δ[0][t]", *(["δI_t = δ[1][t]"] if δz == "δZ_t" else [])]
        ahead += [f"δg_{k} = δ[{k + 2}][t]" for k in range(len(e.gates))]
        for k, (value, prior) in enumerate(self.windows):
            ahead.append(f"r_{k} = read[{k}][t % len(read[{k}])]")
            loads[value] = f"r_{k}[n, i]"
            if prior is not None:
                ahead.append(f"q_{k} = before[{k}][(t - 1) % len(before[{k}])]")
                loads[prior] = f"q_{k}[n, i]"
            elif value is e.currents[0]:
                loads |= {I: text.replace("I_t", f"r_{k}") for I, text in self._currents().items()}
        ahead += [f"δ_{f} = carried[{k}]" for k, f in enumerate(self.carried)]
        loads |= {gradient_at(f): f"δ_{f}[n, i]" for f in self.carried} | {READ: f"{δz}[n, i]"}
        stores = self._gradients_by_inputs(self.backward)
        for f in self.carried:
            δ = self.backward.get(e.before[f], ZERO)
            if δ is not gradient_at(f):
                stores.append(StoredExpression(δ, f"δ_{f}[n, i] = {{}}", Level.SAMPLE))
        ahead += self._learnt(self.backward, stores, "+=")
        arguments = "t, read, before, δ, carried, learnt, constants, surrogates"
        return self._backward("adjoint", arguments, ahead, Body(loads, stores, calls_of(self.slopes)))

    @cached_property
    def single_backward(self) -> dict[Expression, Expression]:
        """The gradients by currents, gates and parameters from those of z and v, with the previous state held
        constant."""
        gradients, before = self._gradients({self.equations.after["z"]: READ}, ["v"]), self.equations.before.values()
        return {x: δ for x, δ in gradients.items() if x not in before}

    @cached_property
    def single_adjoint(self) -> CompiledLoop:
        """The loop of the gradient of a single step, with arguments (I, values, before, now, δ, learnt, constants,
        surrogates). `values` are the outputs of the gates. δ holds the gradients of z, of v, of the currents and of the
        outputs of each gate; gradients of parameters are written to `learnt`."""
        e = self.equations
        ahead, loads = self._constants()
        ahead += ["I_t = I", "δZ_t = δ[0]", "δ_v = δ[1]", "δI_t = δ[2]"]
        loads |= self._currents() | {READ: "δZ_t[n, i]", gradient_at("v"): "δ_v[n, i]"}
        for k, g in enumerate(e.gates):
            ahead += [f"g_{k} = values[{k}]", f"δg_{k} = δ[{k + 3}]"]
            loads[g] = f"g_{k}[n, i]"
        for k, f in enumerate(e.after):
            ahead += [f"p_{f} = before[{k}]", f"s_{f} = now[{k}]"]
            loads |= {e.after[f]: f"s_{f}[n, i]", e.before[f]: f"p_{f}[n, i]"}
        stores = self._gradients_by_inputs(self.single_backward)
        ahead += self._learnt(self.single_backward, stores, "=")
        arguments = "I, values, before, now, δ, learnt, constants, surrogates"
        return self._backward("single_adjoint", arguments, ahead, Body(loads, stores, calls_of(self.single_slopes)))

    def _backward(self, name: str, arguments: str, ahead: Sequence[str], body: Body) -> CompiledLoop:
        head = ("like = δ[0]", "number = like.dtype.type", "batch, size = like.shape[-2:]")
        return loop_from(name, arguments, (*head, *ahead, *body.over_samples()), (h_of_row,))

    def _gradients_by_inputs(self, gradients: Mapping[Expression, Expression]) -> list[StoredExpression]:
        """Return the stores of the gradients by currents and gates."""
        places = {I: text.replace("I_t", "δI_t") for I, text in self._currents().items()}
        places |= {g: f"δg_{k}[n, i]" for k, g in enumerate(self.equations.gates)}
        return [
            StoredExpression(gradients.get(x, ZERO), f"{place} = {{}}", Level.SAMPLE) for x, place in places.items()
        ]

    def _learnt(
        self, gradients: Mapping[Expression, Expression], stores: list[StoredExpression], how: str
    ) -> list[str]:
        """Return the statements before the loops for the gradients of parameters, and append their stores."""
        ahead = []
        for k, name in enumerate(self.equations.learnt):
            e = self.equations.constants[name]
            ahead.append(f"g_{name} = learnt[{k}]")
            place = f"g_{name}[{'i' if e.level == Level.NEURON else '()'}]"
            stores.append(StoredExpression(gradients.get(e, ZERO), f"{place} {how} {{}}", e.level))
        return ahead


HEAD = ("like = I", "number = like.dtype.type", "batch, size = Z.shape[1:]")


def slopes_of(gradients: Iterable[Expression]) -> list[Expression]:
    """Return the slopes of surrogates in the gradients."""
    return [e for e in ancestors(gradients) if e.op == "slope"]


def calls_of(slopes: Sequence[Expression]) -> dict[Expression, str]:
    """Return the calls that compute the slopes of a row."""
    return {e: f"h_of_row(surrogates[{2 * k}], surrogates[{2 * k + 1}], {{0}}, {{1}})" for k, e in enumerate(slopes)}
