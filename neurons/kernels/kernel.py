"""The kernel of a neuron with equations: a window and its gradient, in compiled loops or on tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from throughtime.neurons.base import Neuron
from throughtime.neurons.equations import equations_of
from throughtime.neurons.gate import is_dense
from throughtime.neurons.kernels.gate_products import GateProducts
from throughtime.neurons.kernels.loops import READ, StepLoops, gradient_at
from throughtime.neurons.surrogate import surrogate_of
from throughtime.numerics.alike_steps import fill_left_out, steps_to_execute
from throughtime.numerics.equations.evaluate import Value, evaluate
from throughtime.numerics.equations.expression import Expression, Level
from throughtime.numerics.loops import bound, runs_compiled
from throughtime.numerics.spike_product import SpikeProduct


def loops_of(neuron: Neuron, single_step: bool = False) -> StepLoops | None:
    """Return the loops of a neuron's equations, or None.

    A neuron without equations has none. Windows need gates that are dense and neurons that are a vector; a single step
    (`single_step`) does not, since its gates run before it and it sees all neurons as a vector.
    """
    equations = equations_of(neuron) if single_step or len(neuron.shape) == 1 else None
    if equations is None:
        return None
    if not single_step and not all(is_dense(getattr(neuron, gate.map)) for gate in equations.gates.values()):
        return None
    return equations.once(StepLoops)


def constants_of(values: Mapping[Expression, Value], like: Tensor) -> tuple[Tensor, ...]:
    """Return the constants of a step in the form that loops read, from their values: numbers as arrays without
    dimensions."""
    return tuple(
        value.reshape(() if e.level == Level.NUMBER else -1)
        if isinstance(value, Tensor)
        else _number(value, like.dtype)
        for e, value in values.items()
    )


@functools.lru_cache(maxsize=1024)
def _number(value: float, dtype: torch.dtype) -> Tensor:
    return torch.tensor(value, dtype=dtype)


def surrogates_of(slopes: Sequence[Expression], like: Tensor) -> tuple[int | Tensor, ...]:
    """Return for each slope the index of its surrogate and the surrogate's constants."""
    surrogates: list[int | Tensor] = []
    for slope in slopes:
        which, constants = surrogate_of(slope.name).in_loops  # the argument of `spike`
        surrogates += [which, like.new_tensor(constants)]
    return tuple(surrogates)


class Kernel:
    """One window of one layer, equal to `forward` and autograd up to rounding, with fewer operations and less memory.

        forward     for t = 0 ... T−1:     step(t):  I_t, z_{t−1}  ->  z_t;  stored values may overwrite I_t
        backward    for t = T−1 ... 0:     back(t):  δz_t, δv_t    ->  δI_t

    δs is ∂E/∂s; the kernel itself carries the gradient that reaches step t from t + 1 inside the neuron. All tensors
    are [batch, size], currents [batch, currents · size], those of a window [steps, batch, ...]. An object is used for
    one window; backward may run twice.

    Each step stores z_t and the smallest set of values from which its gradients can be computed (`StepLoops.stored`).
    If loops cannot run, or operations are counted, the same expressions are evaluated on tensors. The products of gates
    are PyTorch's in both cases.

    Args:
        neuron: the layer of neurons.
        I: memory for the currents of the window, which is filled step by step.
        keep: whether the backward pass will be called.
        shows_v: whether `membranes` will be called.
    """

    def __init__(self, neuron: Neuron, I: Tensor, keep: bool, shows_v: bool) -> None:
        loops = loops_of(neuron)
        assert loops is not None
        self.neuron, self.keep, self.shows_v = neuron, keep, shows_v
        self.I: Tensor = I
        self.steps = len(I)
        self.loops, self.equations = loops, loops.equations

    # --- forward

    def begin(self, state: Any, Z: Tensor, states: Any = None) -> None:
        """Begin the window, from the state before step 0.

        Args:
            state: the state before step 0.
            Z: memory for z of all steps.
            states: memory for the fields of all states that a step changes, [steps, batch, size]; the currents then
                stay as they are, and no backward pass may follow. None: the kernel stores what its backward pass needs.
        """
        self.before, loops, after = state, self.loops, self.equations.after
        if states is None:
            self.fields = {f: Z if f in loops.copies else self._window(after[f], f) for f in loops.moving}
            self.values = [self._window(value) for value in loops.kept_values]
            self.step_loop, self.run_loop = loops.forward, loops.run
        else:
            self.fields, self.values = {f: getattr(states, f) for f in loops.moving}, []
            self.step_loop, self.run_loop = loops.single, loops.run_single
        self.windows = {**self.fields, "z": Z}
        self.gates = [self._gate(g) for g in self.equations.gates]
        constants = self.equations.values_of(self.neuron)
        tensors = [c for c in constants.values() if isinstance(c, Tensor)]
        self.compiled = runs_compiled(self.I, *state, *tensors)
        if self.compiled:
            self.constants = constants_of(constants, self.I)
            values = (*(gate.G for gate in self.gates), *self.values, Z)
            self.memory = (self.I, Z, (*self.fields.values(), Z), values, tuple(state), self.constants)

    @functools.cached_property
    def forward(self) -> Callable[..., Any]:
        """The loop of one step. The binding takes longer than a step: a window that `run` computes needs none."""
        return bound(self.step_loop, *self.memory)

    def _window(self, value: Expression, field: str | None = None) -> Tensor:
        """Return memory for a value of each step, or for two alternating steps if it is not stored."""
        if value is self.loops.in_place_of_current:
            return self.I
        shown = self.shows_v and field == "v"
        stored = shown or (self.keep and (field is None or field in self.loops.kept_fields))
        return self.I.new_empty(self.steps if stored else min(2, self.steps), *self.before.z.shape)

    def _gate(self, g: Expression) -> GateProducts:
        gate, stored = self.equations.gates[g], self.keep and g in self.loops.kept_gates
        shape = (self.steps if stored else 1, *self.before.z.shape)
        return GateProducts(gate, getattr(self.neuron, gate.map), self.I, shape)

    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        """Compute z_t from I_t and z_{t−1} and write it to `z`; `I` is row t of the window."""
        for gate in self.gates:
            field = gate.gate.reads
            window = self.windows.get(field) if t and field is not None else None
            gate.step(t, I, gate.gate.field(self.before) if window is None else window[(t - 1) % len(window)])
        if self.compiled:
            self.forward(t)
            return
        before = self.before if t == 0 else self._state(t - 1, z_before)
        known: dict[Expression, Value] = {e: getattr(before, f) for f, e in self.equations.before.items()}
        known |= dict(zip(self.equations.currents, I.chunk(len(self.equations.currents), 1), strict=True))
        known |= {g: gate.g[t % len(gate.g)] for g, gate in self._gates()}
        known |= self.equations.values_of(self.neuron)
        places = [*(self.fields[f][t % len(self.fields[f])] for f in self.loops.moving), z]
        places += [window[t % len(window)] for window in self.values]
        results = [self.equations.after[f] for f in (*self.loops.moving, "z")]
        results += self.loops.kept_values if self.values else []
        for place, value in zip(places, evaluate(results, known), strict=True):
            place[...] = value

    def run(self, t: int, z_before: Tensor, Z: Tensor, rows: Tensor) -> int:
        """Take steps from t on in a compiled loop. A step adds the row of `rows` of each neuron that spiked at t − 1 to
        I_t; the loop ends when spikes are no longer sparse. All z are written to `Z`.

        Returns:
            The next step; t if no step was taken.
        """
        if self.gates or not (self.compiled and runs_compiled(rows, self.I)):
            return t
        return bound(self.run_loop, *self.memory, rows)(t)

    def take_steps(self, product: SpikeProduct | None, z_before: Tensor, Z: Tensor) -> None:
        """Take all steps of the window into `Z`, with I_t ← I_t + R z_{t−1} before each, if there is a product."""
        if len(steps := steps_to_execute(len(Z))) < len(Z):
            return self._take(steps, product, z_before, Z)
        t, z = 0, z_before
        rows: tuple[Sequence[Tensor], Sequence[Tensor]] | None = None
        while t < len(Z):
            if product is not None and product.rows is not None and not product.pause:
                t_next = self.run(t, z, Z, product.rows)
                if t_next > t:
                    t, z = t_next, Z[t_next - 1]
                    continue
            rows = rows or (self.I.unbind(0), Z.unbind(0))  # a microsecond a row, of no use to the compiled loop
            I, z_t = rows[0][t], rows[1][t]
            self.step(t, I if product is None else product.add(I, z), z, z_t)
            t, z = t + 1, z_t

    def _take(self, steps: Sequence[int], product: SpikeProduct | None, z: Tensor, Z: Tensor) -> None:
        """Take some steps of the window, in order; rows of the others repeat."""
        for t in steps:
            self.step(t, self.I[t] if product is None else product.add(self.I[t], z), z, Z[t])
            z = Z[t]
            if t == 1:
                fill_left_out(self.I, Z, *self.fields.values(), *self.values, *(gate.G for gate in self.gates))

    def _state(self, t: int, z: Tensor) -> Any:
        """Return the state after step t."""
        moving = {f: window[t % len(window)] for f, window in self.fields.items()}
        return self.before._replace(**moving, z=z)

    def end(self, z: Tensor) -> Any:
        """Return the state after the last step, whose output is z, in separate memory."""
        if self.compiled:
            del self.memory
            vars(self).pop("forward", None)
        after = self._state(self.steps - 1, z)
        owned = type(after)(*map(self.own, after))
        # Drop these references: a cycle through the graph would keep the window alive.
        del self.windows
        stored = self.loops.kept_fields if self.keep else ()
        self.fields = {f: w for f, w in self.fields.items() if f in stored and f not in self.loops.copies}
        if not (self.loops.keeps_current or self.loops.in_place_of_current is not None):
            del self.I
        return owned

    def own(self, s: Tensor) -> Tensor:
        """Return s of the last step in memory of its own: a view would keep the window alive, unless it is one step."""
        return s.detach() if self.steps == 1 else s.clone()

    def membranes(self) -> Tensor:
        """Return v of all steps; called after the last step if v is shown."""
        return self.fields["v"]

    # --- backward

    def begin_back(self, δ: Any, z: Tensor, to_state: bool, δZ: Tensor, δI: Tensor) -> None:
        """Begin the backward pass.

        Args:
            δ: gradient of the state after the last step; its v and z are in δv and δz of that step.
            z: all z, as bytes if they are spikes.
            to_state: whether `state_gradient` will be called.
            δZ: the window whose rows δz_t `back` receives step by step.
            δI: memory for the gradient of the currents; that of δZ if the neuron has a single current.
        """
        given = δ._replace(v=None, z=None)._asdict()
        self.z, self.to_state, self.δI = z, to_state, δI
        self.carried = {
            f: torch.zeros_like(self.before.z) if given[f] is None else given[f].clone() for f in self.loops.carried
        }
        self.learnt = {
            name: torch.zeros_like(getattr(self.neuron, name), requires_grad=False) for name in self.equations.learnt
        }
        self.δg = [torch.empty_like(gate.G) for gate in self.gates]
        stored = [z if f in self.loops.copies else self.fields[f] for f in self.loops.kept_fields]
        others = [self.I] if self.loops.keeps_current else []
        others += [gate.G for g, gate in self._gates() if g in self.loops.kept_gates]
        still = [getattr(self.before, f)[None] for f in self.before._fields if f != "z" and f not in self.loops.moving]
        self.read, self.prior = [*stored, z, *others, *self.values, *still], [*stored, z]
        self.first = [getattr(self.before, f)[None] for f in (*self.loops.kept_fields, "z")]
        if self.compiled:
            self.first = [_in_type_of(row, values) for row, values in zip(self.prior, self.first, strict=True)]
            slopes = surrogates_of(self.loops.slopes, δZ)
            constants = dict(zip(self.equations.constants, self.constants, strict=True))
            learnt = tuple(total.reshape(constants[name].shape) for name, total in self.learnt.items())
            window_gradients = (δZ, δI, *self.δg)
            more = (window_gradients, (*self.carried.values(), δZ), (*learnt, δZ), self.constants, (*slopes, 0))
            read = tuple(self.read)
            self.adjoint = bound(self.loops.adjoint, read, tuple(self.prior), *more)
            self.first_adjoint = bound(self.loops.adjoint, read, tuple(self.first), *more)

    def _gates(self) -> Iterator[tuple[Expression, GateProducts]]:
        return zip(self.equations.gates, self.gates, strict=True)

    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        """Compute δI_t from δz_t, row t of the window, and δv_t; both come from all readers outside the neuron."""
        if δv is not None:
            self.carried["v"] += δv
        if self.compiled:
            (self.adjoint if t else self.first_adjoint)(t)
        else:
            self._back_on_tensors(t, δz)
        for gate, δg in zip(self.gates, self.δg, strict=True):
            field = gate.gate.reads
            carried = self.carried[field] if field is not None and (t or self.to_state) else None
            gate.back(δg[t], self.δI[t], carried)

    def _back_on_tensors(self, t: int, δz: Tensor) -> None:
        known = {gradient_at(f): δ for f, δ in self.carried.items()} | self.equations.values_of(self.neuron)
        known[READ] = δz
        prior = self.prior if t else self.first
        for k, (value, before) in enumerate(self.loops.windows):
            row = self.read[k][t % len(self.read[k])].to(δz.dtype)  # spikes are bytes
            if value is self.equations.currents[0]:
                known |= zip(self.equations.currents, row.chunk(len(self.equations.currents), 1), strict=True)
            else:
                known[value] = row
            if before is not None:
                known[before] = prior[k][(t - 1) % len(prior[k])].to(δz.dtype)
        e, backward = self.equations, self.loops.backward
        places = dict(zip(e.currents, self.δI[t].chunk(len(e.currents), 1), strict=True))
        places |= {g: δg[t] for g, δg in zip(e.gates, self.δg, strict=True)}
        places |= {e.before[f]: δ for f, δ in self.carried.items()}
        learnt = {e.constants[name]: δ for name, δ in self.learnt.items()}
        wanted = [x for x in (*places, *learnt) if x in backward]
        results = evaluate([backward[x] for x in wanted], known)
        # A result that is one of the gradients read may lie in a place that is written before its own.
        copies = (
            torch.clone(r) if isinstance(r, Tensor) and backward[x] in known else r
            for x, r in zip(wanted, results, strict=True)
        )
        gradients = dict(zip(wanted, copies, strict=True))
        for x, place in places.items():
            place[...] = gradients.get(x, 0.0)
        for x, total in learnt.items():
            total += torch.as_tensor(gradients.get(x, 0.0)).reshape(total.shape)

    def state_gradient(self) -> Any:
        """Return the gradient of the state before step 0, without the contribution of z through synapses."""
        still = {"z": torch.zeros_like(self.before.z)}
        return self.before._replace(**{**still, **self.carried})

    def parameter_gradients(self) -> dict[str, Tensor | None]:
        """Return the gradients of the neuron's parameters, by name."""
        gradients: dict[str, Tensor | None] = {**self.learnt}
        for gate, δg in zip(self.gates, self.δg, strict=True):
            map, field = getattr(self.neuron, gate.gate.map), gate.gate.reads
            δW = torch.empty_like(map.weight, requires_grad=False)
            δb = None if map.bias is None else torch.empty_like(map.bias, requires_grad=False)
            I, s = self.I if gate.gate.current else None, None if field is None else self._after_each_step(field)
            gate.weight_gradients(δg, I, gate.gate.field(self.before), s, δW, δb)
            gradients |= {f"{gate.gate.map}.weight": δW, f"{gate.gate.map}.bias": δb}
        return gradients

    def _after_each_step(self, field: str) -> Tensor:
        """Return a field of the state that a gate reads, after each step."""
        s_first: Tensor = getattr(self.before, field)
        if field == "z" or field in self.loops.copies:
            return self.z.to(s_first.dtype)
        return self.fields[field] if field in self.fields else s_first.expand_as(self.z)


def _in_type_of(stored: Tensor, values: Tensor) -> Tensor:
    """Return the values in the type of the stored ones if that loses nothing: spikes as bytes. The loop of the first
    step is then that of the others, and is not compiled for a second type."""
    if values.dtype == stored.dtype:
        return values
    converted = values.to(stored.dtype)
    return converted if torch.equal(converted.to(values.dtype), values) else values


def kernel_of(neuron: Neuron) -> type[Kernel] | None:
    """Return the kernel of a neuron; None if its loops cannot be derived (`loops_of`)."""
    return None if loops_of(neuron) is None else Kernel
