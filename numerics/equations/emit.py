"""Expressions as a loop over the neurons of each sample, compiled.

Numbers and per-neuron values are computed once before the loop over samples. Sums over samples are computed after it,
in parts, so that their rounding does not depend on the number of threads. A surrogate's slope is a function of a whole
row of numbers: for some samples at a time, a first loop computes its operand, the function is called, and the main loop
reads its result.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from throughtime.numerics.equations.adjoint import SUM
from throughtime.numerics.equations.expression import Expression, Level, ancestors
from throughtime.numerics.equations.operations import LOG2_E, OPERATIONS
from throughtime.numerics.exp2 import exp2
from throughtime.numerics.loops import CompiledLoop, compiled, prange
from throughtime.numerics.reductions import PART, add_rows_up, parts_of


class StoredExpression(NamedTuple):
    """An expression to compute, and the statement that stores it."""

    value: Expression
    statement: str
    """With {} in the place of the value."""
    place: Level
    """Where the statement is executed: once, for each neuron, or for each sample and neuron."""


TAB = "    "
BLOCK = 4096
"""Numbers in a row of which a function is computed at once."""


def indented(lines: Sequence[str], tabs: int = 1) -> list[str]:
    """Return the lines with additional indentation."""
    return [TAB * tabs + line for line in lines]


OVER_BLOCK = ("for n in range(begin, last):", f"{TAB}m = n - begin", f"{TAB}for i in range(size):")
"""The loops over the samples of a block; m is the index of a sample in it."""


class Body:
    """The statements of a loop, in four parts.

    Args:
        loads: text that reads each input, by expression: at [n, i] for level SAMPLE, at [i] for level NEURON.
        stores: the expressions to compute, and the statements that store them.
        rows: calls of functions of rows, by expression: a statement with {0} for the row of the operand and {1} for
            that of the result.
    """

    def __init__(
        self,
        loads: Mapping[Expression, str],
        stores: Sequence[StoredExpression],
        rows: Mapping[Expression, str] | None = None,
    ) -> None:
        self.names = dict(loads)
        self.stores, rows = stores, rows or {}
        order = ancestors((store.value for store in stores), loads)
        after = set[Expression]()
        for e in order:
            if e.op == SUM or after.intersection(e.args):
                after.add(e)
        self.sums = [e for e in order if e.op == SUM and e.args[0].level == Level.SAMPLE]
        expressions = {level: [e for e in order if e.level == level and e not in after] for level in Level}
        self.before = self._numbers(expressions[Level.NUMBER]) + self._neurons(expressions[Level.NEURON])
        slopes = [e for e in order if e in rows]
        self.rows = [self._row(slope, rows[slope]) for slope in slopes]
        """For each function of rows, the loop that computes its operand, and the call."""
        self.names |= {slope: f"row_{k}[m, i]" for k, slope in enumerate(slopes)}
        results = [e for e, *_ in stores if e.level == Level.SAMPLE] + [s.args[0] for s in self.sums]
        self.inner = self._statements(results) + self._read_first(results, loads)
        read = {*loads.values()}
        samples = [
            (text.format(self.names[e]), text.partition(" = ")[0]) for e, text, place in stores if place == Level.SAMPLE
        ]
        self.late = [place for _, place in samples if place in read]
        """The places that the loop also reads. Their values go through buffers: a loop that writes what it reads is
        not compiled to vector instructions."""
        buffers = {place: f"late_{k}[m, i]" for k, place in enumerate(self.late)}
        self.inner += [text.replace(place, buffers.get(place, place), 1) for text, place in samples]
        self.summands = {s: self.names[s.args[0]] for s in self.sums}
        for k, s in enumerate(self.sums):
            self.names[s] = f"sum_{k}[i]" if s.level == Level.NEURON else f"sum_{k}"
        self.after = [e for e in order if e in after and e not in self.sums]

    def _text(self, e: Expression, names: Mapping[Expression, str]) -> str:
        if e.op == "number":
            return f"number({e.value!r})"
        return OPERATIONS[e.op].in_loop.format(*(names[a] for a in e.args))

    def _numbers(self, order: Sequence[Expression]) -> list[str]:
        return ["zero, one, two, log2_e = number(0), number(1), number(2), number(LOG2_E)", *self._assigned(order)]

    def _neurons(self, order: Sequence[Expression]) -> list[str]:
        if not order:
            return []
        lines, ahead = ["for i in range(size):"], []
        for e in order:
            text = self._text(e, self.names)
            self.names[e] = f"e{len(self.names)}[i]"
            ahead.append(f"{self.names[e][:-3]} = np.empty(size, like.dtype)")
            lines.append(f"{TAB}{self.names[e]} = {text}")
        return ahead + lines

    def _statements(self, results: Sequence[Expression]) -> list[str]:
        return self._assigned(ancestors(results, self.names))

    def _read_first(self, results: Sequence[Expression], loads: Mapping[Expression, str]) -> list[str]:
        """Return statements that read the results that are inputs, before a store can overwrite their memory."""
        lines: list[str] = []
        for e in dict.fromkeys(e for e in results if e in loads and e.level == Level.SAMPLE):
            lines.append(f"read_{len(lines)} = {loads[e]}")
            self.names[e] = f"read_{len(lines) - 1}"
        return lines

    def _row(self, slope: Expression, call: str) -> list[str]:
        names = dict(self.names)
        lines = self._statements(slope.args)
        lines.append(f"x[m, i] = {self.names[slope.args[0]]}")
        self.names = names
        return [*OVER_BLOCK, *indented(lines, 2), call]

    def over_samples(self) -> list[str]:
        """Return the loop over all samples, in parts for threads, with the statements before and after it."""
        lines = list(self.before)
        part = [f"row_{k} = np.empty((block, size), like.dtype)" for k in range(len(self.rows))]
        part += ["x = np.empty((block, size), like.dtype)"] if self.rows else []
        part += [f"late_{k} = np.empty((block, size), like.dtype)" for k in range(len(self.late))]
        inner, ends = list(self.inner), []
        lines += ["parts = parts_of(batch)", "block = max(1, BLOCK // size)"]
        for k, s in enumerate(self.sums):
            if s.level == Level.NEURON:
                lines.append(f"parts_{k} = np.zeros((parts, size), like.dtype)")
                part.append(f"part_{k} = parts_{k}[part]")
                inner.append(f"part_{k}[i] += {self.summands[s]}")
            else:
                lines.append(f"parts_{k} = np.zeros((parts, 1), like.dtype)")
                part.append(f"part_{k} = zero")
                inner.append(f"part_{k} += {self.summands[s]}")
                ends.append(f"parts_{k}[part, 0] = part_{k}")
        lines += ["for part in prange(parts):", *indented(part)]
        lines += [f"{TAB}end = min(batch, (part + 1) * PART)", f"{TAB}for begin in range(part * PART, end, block):"]
        lines.append(f"{TAB * 2}last = min(end, begin + block)")
        for k, row in enumerate(self.rows):
            numbers = "[: last - begin].ravel()"
            lines += indented([line.format(f"x{numbers}", f"row_{k}{numbers}") for line in row], 2)
        lines += [*indented(OVER_BLOCK, 2), *indented(inner, 4)]
        if self.late:
            copies = [f"{place} = late_{k}[m, i]" for k, place in enumerate(self.late)]
            lines += [*indented(OVER_BLOCK, 2), *indented(copies, 4)]
        lines += indented(ends)
        return lines + self._after()

    def _after(self) -> list[str]:
        lines = []
        for k, s in enumerate(self.sums):
            if s.level == Level.NEURON:
                lines += [f"sum_{k} = np.empty(size, like.dtype)", f"add_rows_up(parts_{k}, sum_{k})"]
            else:
                lines += [f"sum_{k} = parts_{k}.sum()"]
        neurons = [e for e in self.after if e.level == Level.NEURON]
        body = self._assigned(neurons) + self._stored(Level.NEURON)
        over_neurons = [e for e in self.after if e.op == SUM]
        for e in over_neurons:
            self.names[e] = f"e{len(self.names)}"
            lines.append(f"{self.names[e]} = zero")
            body.append(f"{self.names[e]} += {self.names[e.args[0]]}")
        lines += ["for i in range(size):", *indented(body)] if body else []
        numbers = [e for e in self.after if e.level == Level.NUMBER and e.op != SUM]
        return lines + self._assigned(numbers) + self._stored(Level.NUMBER)

    def _assigned(self, order: Sequence[Expression]) -> list[str]:
        lines = []
        for e in order:
            text = self._text(e, self.names)
            self.names[e] = f"e{len(self.names)}"
            lines.append(f"{self.names[e]} = {text}")
        return lines

    def _stored(self, level: Level) -> list[str]:
        return [text.format(self.names[e]) for e, text, place in self.stores if place == level]


@functools.cache
def loop_from(name: str, arguments: str, lines: tuple[str, ...], functions: tuple[CompiledLoop, ...]) -> CompiledLoop:
    """Return a compiled loop of the statements.

    Args:
        name: a readable name.
        arguments: the text of its parameter list.
        functions: compiled loops that it calls, besides those of this module.
    """
    source = "\n".join([f"def loop({arguments}):", *indented(lines)]) + "\n"
    callees: tuple[Any, ...] = (exp2, parts_of, add_rows_up, *functions)
    called = {function.__name__: function for function in callees}
    namespace: dict[str, Any] = {
        "np": np,
        "prange": prange,
        "PART": PART,
        "BLOCK": BLOCK,
        "LOG2_E": LOG2_E,
        "__name__": __name__,
        **called,
    }
    # This file is given as the source, since the cache on disk stores machine code beside the file of a function.
    exec(compile(source, __file__, "exec"), namespace)
    loop = namespace["loop"]
    loop.__name__ = loop.__qualname__ = f"{name}_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    return compiled(loop)
