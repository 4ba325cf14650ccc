"""The equations of a neuron's step, traced from `Neuron.step`, and its partial derivatives."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from torch import Tensor, nn

from throughtime.numerics.equations.adjoint import adjoint
from throughtime.numerics.equations.evaluate import Value, evaluate
from throughtime.numerics.equations.expression import ONE, Expression, Level, RefusedError, ancestors, traced


@dataclass(frozen=True, eq=False)
class Equations:
    """The step of one neuron as expressions."""

    currents: tuple[Expression, ...]
    """I_t, one for each current of the neuron."""
    before: Mapping[str, Expression]
    """State before the step, by field."""
    after: Mapping[str, Expression]
    """State after the step, by field; `z` is the output."""
    constants: Mapping[str, Expression]
    """Numbers and tensors of the neuron that the step reads, by attribute."""
    learnt: tuple[str, ...]
    """Names of the constants that are trained parameters."""

    def fields_in_order(self) -> list[str]:
        """Return the names of the fields, each after those of the same step on which it depends."""
        place = {e: n for n, e in enumerate(ancestors(self.after.values()))}
        return sorted(self.after, key=lambda field: place[self.after[field]])

    def known(self, current: Tensor, state: Any) -> dict[Expression, Value]:
        """Return the values of the currents and of the state before the step."""
        parts = (current,) if len(self.currents) == 1 else current.chunk(len(self.currents), 1)
        of_state = {e: getattr(state, field) for field, e in self.before.items()}
        return {**dict(zip(self.currents, parts, strict=True)), **of_state}

    def values_of(self, neuron: nn.Module) -> dict[Expression, Value]:
        """Return the values of the constants, without a graph."""
        values = {e: getattr(neuron, name) for name, e in self.constants.items()}
        return {e: value.detach() if isinstance(value, Tensor) else value for e, value in values.items()}

    @cached_property
    def jacobian(self) -> dict[tuple[str, str], Expression]:
        """The non-zero partial derivatives of each field s of the next state: by a field r of the previous state
        (s, "r before"), by another field q of the next state (s, "q after"), by a current (s, "I 0") and by a trained
        parameter (s, name)."""
        found: dict[tuple[str, str], Expression] = {}
        for s, result in self.after.items():
            inside = {*ancestors(result.args)}
            others = {e: f"{q} after" for q, e in self.after.items() if e in inside and e.op != "input"}
            inputs = (*self.before.values(), *self.currents, *(self.constants[name] for name in self.learnt))
            names = {**{e: e.name for e in inputs}, **others}
            by = adjoint({result: ONE}, names, stops=others, sums=False)
            found |= {(s, names[e]): derivative for e, derivative in by.items()}
        return found


class _State:
    """A symbolic state, whose attributes are inputs."""

    def __getattr__(self, field: str) -> Expression:
        return Expression("input", name=f"{field} before", level=Level.SAMPLE)

    def __iter__(self) -> NoReturn:
        raise RefusedError("a state is not unpacked: its fields go by their names")


_known: weakref.WeakKeyDictionary[nn.Module, dict[object, Equations | None]] = weakref.WeakKeyDictionary()


def equations_of(neuron: Any) -> Equations | None:
    """Return the equations of a neuron's `step`; None if it overrides `forward`, or, with a warning that states the
    line, if its step cannot be compiled. Each combination of the neuron's options is traced once."""
    options = tuple((name, value) for name, value in vars(neuron).items() if isinstance(value, int | str | None))
    known = _known.setdefault(neuron, {})
    if options not in known:
        known[options] = _traced(neuron) if neuron.has_equations else None
    return known[options]


def _traced(neuron: Any) -> Equations | None:
    try:
        return trace(neuron)
    except RefusedError as refused:
        what = f"the step of {type(neuron).__name__} is not compiled, it runs by autograd: {refused.what}"
        warnings.warn_explicit(what, RuntimeWarning, refused.filename, refused.line)
        return None


def trace(neuron: Any) -> Equations:
    """Trace the equations of a neuron's step.

    Tensors and floating-point numbers among its attributes become inputs; other attributes have their usual values.

    Raises:
        RefusedError: the step cannot be compiled.
    """
    inputs = dict(_constants(neuron))
    probe = object.__new__(type(neuron))
    probe.__dict__.update({**vars(neuron), **inputs})  # instance attributes have priority over those of nn.Module
    currents = tuple(Expression("input", name=f"I {n}", level=Level.SAMPLE) for n in range(neuron.currents))
    after = traced(type(neuron).step, probe, currents[0] if len(currents) == 1 else currents, _State())
    results: dict[str, Expression] = after._asdict()
    for field, e in results.items():
        if not isinstance(e, Expression) or e.level != Level.SAMPLE:
            raise RefusedError(f"the next state's {field} depends on no current and no state", *_place(neuron))
    if missing := {"v", "z"} - results.keys():
        raise RefusedError(f"the next state has no {' and no '.join(sorted(missing))}", *_place(neuron))
    used = {e for e in ancestors(results.values()) if e.op == "input"}
    before = {field: getattr(_State(), field) for field in results}
    if unknown := used - {*before.values(), *currents, *inputs.values()}:
        raise RefusedError(f"no field of the state: {', '.join(sorted(e.name for e in unknown))}", *_place(neuron))
    read = {name: e for name, e in inputs.items() if e in used}
    return Equations(currents, before, results, read, tuple(name for name in read if name in neuron._parameters))


def _place(neuron: Any) -> tuple[str, int]:
    code = type(neuron).step.__code__
    return code.co_filename, code.co_firstlineno


def _constants(neuron: Any) -> Iterable[tuple[str, Expression]]:
    """Return an input for each number and tensor of the neuron; those that the step reads are its constants."""
    for name, value in (*vars(neuron).items(), *neuron._buffers.items(), *neuron._parameters.items()):
        if isinstance(value, float) or (isinstance(value, Tensor) and value.numel() == 1):
            yield name, Expression("input", name=name, level=Level.NUMBER)
        elif isinstance(value, Tensor) and value.shape == neuron.shape:
            yield name, Expression("input", name=name, level=Level.NEURON)


def evaluated(results: Mapping[Any, Expression], known: Mapping[Expression, Value]) -> dict[Any, Value]:
    """Return the values of expressions, with the same keys."""
    return dict(zip(results, evaluate(results.values(), known), strict=True))
