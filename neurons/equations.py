"""The equations of a neuron's step, traced from `Neuron.step`, and its partial derivatives."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as member
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from throughtime.neurons.gate import Gate
from throughtime.numerics.equations.adjoint import adjoint
from throughtime.numerics.equations.evaluate import Value, evaluate
from throughtime.numerics.equations.expression import ONE, Expression, Level, RefusedError, ancestors, traced
from throughtime.numerics.equations.keep import fewest

Built = TypeVar("Built")
DERIVATIVES = ("before", "after", "current", "gate", "parameter")
"""Kinds of variables by which a variable of the step is differentiated: fields of the previous state, variables of the
same step, currents, outputs of gates, trained parameters."""


@dataclass(frozen=True, eq=False)
class Equations:
    """The step of one neuron as expressions."""

    currents: tuple[Expression, ...]
    """I_t, one for each current of the neuron."""
    gates: Mapping[Expression, Gate]
    """The gates, by the expressions of their outputs g_t."""
    before: Mapping[str, Expression]
    """State before the step, by field."""
    after: Mapping[str, Expression]
    """State after the step, by field; `z` is the output."""
    constants: Mapping[str, Expression]
    """Numbers and tensors of the neuron that the step reads, by attribute."""
    learnt: tuple[str, ...]
    """Names of the constants that are trained parameters."""
    _built: dict[object, Any] = member(default_factory=dict)

    def once(self, build: Callable[[Equations], Built]) -> Built:
        """Return what a function builds from these equations, in one call; the result lives as long as they do."""
        if build not in self._built:
            self._built[build] = build(self)
        built: Built = self._built[build]
        return built

    def known(self, neuron: nn.Module, current: Tensor, state: Any) -> dict[Expression, Value]:
        """Return the values of the currents, of the state before the step and of the gates."""
        parts = (current,) if len(self.currents) == 1 else current.chunk(len(self.currents), 1)
        state_values = {e: getattr(state, field) for field, e in self.before.items()}
        gate_values = {e: gate.output(neuron, current, state) for e, gate in self.gates.items()}
        return {**dict(zip(self.currents, parts, strict=True)), **state_values, **gate_values}

    def values_of(self, neuron: nn.Module) -> dict[Expression, Value]:
        """Return the values of the constants, without a graph."""
        values = {e: getattr(neuron, name) for name, e in self.constants.items()}
        return {e: value.detach() if isinstance(value, Tensor) else value for e, value in values.items()}

    @cached_property
    def variables(self) -> dict[str, Expression]:
        """The variables between which partial derivatives are taken, each after those on which it depends: the fields
        of the next state, and intermediate values where fewer values then determine the whole state. Traces of such a
        rule are carried for these few values: for the potential before a reset in place of the potential after it and
        the spike."""
        fields = [(e,) for e in dict.fromkeys(self.after.values())]
        few = [e for (e,) in fewest([*self.after.values()], fields, ())]
        between = [e for e in few if (e,) not in fields]
        place = {e: n for n, e in enumerate(ancestors(self.after.values()))}
        variables = {f"x{n}": e for n, e in enumerate(between)} | dict(self.after)
        return dict(sorted(variables.items(), key=lambda item: place[item[1]]))

    @cached_property
    def jacobian(self) -> dict[tuple[str, str, str], Expression]:
        """The non-zero partial derivatives of each variable s of the step: (s, kind, name), by the variable of that
        kind (`DERIVATIVES`) and name."""
        inputs = {e: ("before", field) for field, e in self.before.items()}
        inputs |= {e: ("current", f"{n}") for n, e in enumerate(self.currents)}
        inputs |= {e: ("gate", gate.map) for e, gate in self.gates.items()}
        inputs |= {self.constants[name]: ("parameter", name) for name in self.learnt}
        derivatives: dict[tuple[str, str, str], Expression] = {}
        for s, result in self.variables.items():
            inside = {*ancestors(result.args)}
            others = {e: ("after", q) for q, e in self.variables.items() if e in inside and e.op != "input"}
            by = adjoint({result: ONE}, [*inputs, *others], stops=others, sums=False)
            derivatives |= {(s, *(inputs | others)[e]): derivative for e, derivative in by.items()}
        return derivatives


class _State:
    """A symbolic state, whose attributes are inputs."""

    def __getattr__(self, field: str) -> Expression:
        return Expression("input", name=f"{field} before", level=Level.SAMPLE)

    def __iter__(self) -> NoReturn:
        raise RefusedError("a state is not unpacked: its fields go by their names")


_OPTION = (int, str, type(None))
"""Types of the attributes on which the form of a step may depend."""
_known: weakref.WeakKeyDictionary[nn.Module, dict[object, Equations | None]] = weakref.WeakKeyDictionary()
_reported = set[tuple[type, str, int, str]]()
"""The refusals of which a warning was given: class, file, line and reason."""


def equations_of(neuron: Any) -> Equations | None:
    """Return the equations of a neuron's `step`; None if it overrides `forward`, or, with one warning that states the
    line, if its step cannot be compiled. Each combination of the neuron's options and parameters is traced once."""
    options = (
        *((name, value) for name, value in vars(neuron).items() if isinstance(value, _OPTION)),
        *(name for name, parameter in neuron._parameters.items() if parameter is not None),
    )
    known = _known.setdefault(neuron, {})
    if options not in known:
        known[options] = _traced(neuron) if neuron.has_equations else None
    return known[options]


def _traced(neuron: Any) -> Equations | None:
    try:
        return trace(neuron)
    except RefusedError as refused:
        _report(neuron, refused)
        return None


def _report(neuron: Any, refused: RefusedError) -> None:
    refusal = (type(neuron), refused.filename, refused.line, refused.what)
    if refusal not in _reported:
        _reported.add(refusal)
        what = f"the step of {type(neuron).__name__} is not compiled, it runs by autograd: {refused.what}"
        warnings.warn_explicit(what, RuntimeWarning, refused.filename, refused.line)


def report_refusal(kind: Callable[[int], Any]) -> None:
    """Trace the step of a class of neurons with its default options, and give a warning if it cannot be compiled. Time:
    about a millisecond. The step is traced at its first use if the class has an option without a default, or does not
    take the shape, or if its step uses a name that its module defines later."""
    try:
        with torch.random.fork_rng(devices=[]):
            neuron = kind(2)
    except Exception:
        return
    try:
        if neuron.has_equations:
            trace(neuron)
    except RefusedError as refused:
        if not isinstance(refused.__cause__, NameError):
            _report(neuron, refused)


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
    gates = {name: Expression("input", name=f"g {name}", level=Level.SAMPLE) for name in neuron.gates}
    arguments = (currents[0] if len(currents) == 1 else currents, _State())
    after = traced(type(neuron).step, probe, *arguments, *([SimpleNamespace(**gates)] if gates else []))
    results: dict[str, Expression] = after._asdict()
    for field, e in results.items():
        if not isinstance(e, Expression) or e.level != Level.SAMPLE:
            raise RefusedError(f"the next state's {field} depends on no current and no state", *_place(neuron))
    if missing := {"v", "z"} - results.keys():
        raise RefusedError(f"the next state has no {' and no '.join(sorted(missing))}", *_place(neuron))
    used = {e for e in ancestors(results.values()) if e.op == "input"}
    before = {field: getattr(_State(), field) for field in results}
    if unknown_fields := {g.reads for g in neuron.gates.values() if g.reads is not None} - results.keys():
        raise RefusedError(f"a gate reads no field of the state: {', '.join(sorted(unknown_fields))}", *_place(neuron))
    if unread := {*gates.values()} - used:
        raise RefusedError(f"the step does not read {', '.join(sorted(e.name for e in unread))}", *_place(neuron))
    if unknown := used - {*before.values(), *currents, *gates.values(), *inputs.values()}:
        raise RefusedError(f"no field of the state: {', '.join(sorted(e.name for e in unknown))}", *_place(neuron))
    read = {name: e for name, e in inputs.items() if e in used}
    learnt = tuple(name for name in read if name in neuron._parameters)
    return Equations(
        currents, {gates[name]: gate for name, gate in neuron.gates.items()}, before, results, read, learnt
    )


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
