"""The kernel derived from a neuron's equations: its window and its gradient, in compiled loops or on tensors."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from throughtime.neurons.base import Neuron
from throughtime.neurons.equations import Equations, equations_of
from throughtime.neurons.kernels.kernel import KERNELS, Kernel
from throughtime.neurons.kernels.loops_of_step import READ, StepLoops, gradient_at, slopes_of
from throughtime.neurons.surrogate import SURROGATES, SurrogateName
from throughtime.numerics.equations.evaluate import evaluate
from throughtime.numerics.equations.expression import Expression, Level
from throughtime.numerics.loops import bound, runs_compiled

_loops: weakref.WeakKeyDictionary[Equations, StepLoops] = weakref.WeakKeyDictionary()


def loops_of(neuron: Neuron) -> StepLoops | None:
    """Return the loops of a neuron's equations. The result is None for a neuron without equations, without spikes
    (windows store z as bytes), with several currents, or with a shape of several dimensions."""
    equations = equations_of(neuron) if neuron.spiking and neuron.currents == 1 == len(neuron.shape) else None
    if equations is None:
        return None
    if equations not in _loops:
        _loops[equations] = StepLoops(equations)
    return _loops[equations]


def constants_of(equations: Equations, neuron: Neuron, like: Tensor) -> tuple[Tensor, ...]:
    """Return the constants of a step in the form that loops read: numbers as arrays without dimensions."""
    found = []
    for e, value in equations.values_of(neuron).items():
        each = value if isinstance(value, Tensor) else like.new_tensor(value)
        found.append(each.reshape(() if e.level == Level.NUMBER else -1))
    return tuple(found)


def surrogates_of(slopes: Sequence[Expression], like: Tensor) -> tuple[int | Tensor, ...]:
    """Return for each slope the index of its surrogate and the surrogate's constants."""
    found: list[int | Tensor] = []
    for slope in slopes:
        which, constants = SURROGATES[cast(SurrogateName, slope.name)].in_loops  # the argument of `spike`
        found += [which, like.new_tensor(constants)]
    return tuple(found)


class GeneratedKernel(Kernel):
    """One window of a neuron that has equations.

    Besides a byte per spike, each step stores the smallest set of values from which its gradients can be computed
    (`StepLoops.kept`). If loops cannot run, or operations are counted, the same expressions are evaluated on tensors.
    """

    def begin(self, state: Any, Z: Tensor) -> None:
        loops = loops_of(self.neuron)
        assert loops is not None
        self.loops, self.equations, self.before = loops, loops.equations, state
        self.fields = {f: self._window(self.equations.after[f], self._is_kept(f)) for f in loops.moving}
        self.values = [self._window(value, self.keep) for value in loops.kept_values]
        tensors = [c for c in self.equations.values_of(self.neuron).values() if isinstance(c, Tensor)]
        self.compiled = runs_compiled(self.I, *state, *tensors)
        if self.compiled:
            self.constants = constants_of(self.equations, self.neuron, self.I)
            memory = (self.I, Z, (*self.fields.values(), Z), (*self.values, Z), tuple(state), self.constants)
            self.forward, self.memory = bound(loops.forward, *memory), memory

    def _is_kept(self, field: str) -> bool:
        return field in self.shows or (self.keep and field in self.loops.kept_fields)

    def _window(self, value: Expression, kept: bool) -> Tensor:
        """Return memory for a value of each step, or for two alternating steps if it is not stored."""
        if value is self.loops.in_place_of_current:
            return self.I
        shape = self.before.z.shape
        return self.I.new_empty(len(self.I) if kept else min(2, len(self.I)), *shape)

    def step(self, t: int, I: Tensor, z_before: Tensor, z: Tensor) -> None:
        if self.compiled:
            self.forward(t)
            return
        known = self.equations.known(I, self.before if t == 0 else self._state(t - 1, z_before))
        known |= self.equations.values_of(self.neuron)
        places = [*(self.fields[f][t % len(self.fields[f])] for f in self.loops.moving), z]
        places += [window[t % len(window)] for window in self.values]
        results = [self.equations.after[f] for f in (*self.loops.moving, "z")] + self.loops.kept_values
        for place, value in zip(places, evaluate(results, known), strict=True):
            place[...] = value

    def run(self, t: int, z_before: Tensor, Z: Tensor, rows: Tensor) -> int:
        if not (self.compiled and runs_compiled(rows, self.I)):
            return t
        return bound(self.loops.run, *self.memory, rows)(t)

    def _state(self, t: int, z: Tensor) -> Any:
        """Return the state after step t."""
        moving = {f: window[t % len(window)] for f, window in self.fields.items()}
        return self.before._replace(**moving, z=z)

    def end(self, z: Tensor) -> Any:
        if self.compiled:
            del self.forward, self.memory  # they refer to the results
        after = self._state(len(self.I) - 1, z)
        owned = type(after)(*map(self.own, after))
        kept = self.loops.kept_fields if self.keep else ()
        self.fields = {f: window for f, window in self.fields.items() if f in kept}
        return owned

    def membranes(self) -> Tensor:
        return self.fields["v"]

    def states(self, z: Tensor) -> Any:
        still = {f: s.expand_as(z) for f, s in self.before._asdict().items() if f not in self.fields}
        return self.before._replace(**{**still, **self.fields, "z": z})

    # --- backward

    def begin_back(self, δ: Any, z: Tensor, to_state: bool, δZ: Tensor) -> None:
        self.zero = torch.zeros_like(self.before.z)
        given = δ._replace(v=None, z=None)._asdict()
        self.carried = {f: self.zero.clone() if given[f] is None else given[f].clone() for f in self.loops.carried}
        self.learnt = {
            name: torch.zeros_like(getattr(self.neuron, name), requires_grad=False) for name in self.equations.learnt
        }
        kept = [self.fields[f] for f in self.loops.kept_fields]
        others = ([self.I] if self.loops.keeps_current else []) + self.values
        still = [getattr(self.before, f)[None] for f in self.before._fields if f != "z" and f not in self.loops.moving]
        self.read, self.prior = [*kept, z, *others, *still], [*kept, z]
        self.first = [getattr(self.before, f)[None] for f in (*self.loops.kept_fields, "z")]
        if self.compiled:
            slopes = surrogates_of(slopes_of(self.loops.backward), self.I)
            learnt = tuple(self.learnt[name].reshape(c.shape) for name, c in self._learnt_constants())
            more = ((δZ,), (*self.carried.values(), δZ), (*learnt, δZ), self.constants, (*slopes, 0))
            adjoint, read = self.loops.adjoint, tuple(self.read)
            self.adjoint = bound(adjoint, read, tuple(self.prior), *more)
            self.first_adjoint = bound(adjoint, read, tuple(self.first), *more)

    def _learnt_constants(self) -> list[tuple[str, Tensor]]:
        constants = dict(zip(self.equations.constants, self.constants, strict=True))
        return [(name, constants[name]) for name in self.equations.learnt]

    def back(self, t: int, δz: Tensor, δv: Tensor | None) -> None:
        if δv is not None:
            self.carried["v"] += δv
        if self.compiled:
            (self.adjoint if t else self.first_adjoint)(t)
            return
        known = {gradient_at(f): δ.clone() for f, δ in self.carried.items()} | self.equations.values_of(self.neuron)
        known[READ] = δz.clone()
        prior = self.prior if t else self.first
        for k, (value, before) in enumerate(self.loops.windows):
            known[value] = self.read[k][t % len(self.read[k])].to(δz.dtype)  # spikes are bytes
            if before is not None:
                known[before] = prior[k][(t - 1) % len(prior[k])].to(δz.dtype)
        e, backward = self.equations, self.loops.backward
        places = {e.currents[0]: δz, **{e.before[f]: δ for f, δ in self.carried.items()}}
        learnt = {e.constants[name]: δ for name, δ in self.learnt.items()}
        wanted = [x for x in (*places, *learnt) if x in backward]
        found = dict(zip(wanted, evaluate([backward[x] for x in wanted], known), strict=True))
        for x, place in places.items():
            place[...] = found.get(x, self.zero)
        for x, total in learnt.items():
            total += torch.as_tensor(found[x]).reshape(total.shape)

    def state_gradient(self) -> Any:
        still = {"z": torch.zeros_like(self.before.z)}
        return self.before._replace(**{**still, **self.carried})

    def parameter_gradients(self) -> dict[str, Tensor | None]:
        return {**self.learnt}


def kernel_of(neuron: Neuron) -> type[Kernel] | None:
    """Return the kernel registered for exactly this class, or else the one derived from the neuron's equations; None
    if there is neither."""
    registered = KERNELS.get(type(neuron))
    return registered or (None if loops_of(neuron) is None else GeneratedKernel)
