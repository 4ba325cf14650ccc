"""Coordinates of a learning rule in the family of rules, and its cost as formulas of the sizes of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple


class Coordinates(NamedTuple):
    """The position of a rule in the family M_t = J_t M_{t−1} + I_t, dE/dθ = Σ_t L_t M_t, of which each rule replaces a
    part: M is the derivative of the state by the parameters, I that of a single step, and L the learning signal."""

    trace: Literal["none", "full", "block", "Kronecker", "rank one", "presynaptic"]
    """Factorisation of M: none (a backward pass takes its place), all entries, the entries of blocks of states and
    parameters (a layer, a neuron), a product A ⊗ B, a product of two vectors, or the presynaptic activity alone."""
    recursion: Literal["J", "J in a window", "diag D", "scalar", "none"]
    """Factor of M_{t−1}: the Jacobian of the state; the same, cut between windows; the derivatives of each neuron by
    its own state; a constant; none."""
    scope: Literal["all", "layer", "n steps", "autapse", "own neuron", "none"]
    """States on which the influence of a synapse is followed: all; those of its layer; those that it reaches within n
    steps; those of its own neuron, with the synapse of the neuron on itself or without; none beyond the step."""
    signal: Literal["exact", "instantaneous", "random", "adaptive", "local"]
    """L: the derivative of the whole loss; of the loss of the same step; the loss of the same step through random or
    adaptive feedback weights; a loss of the layer's own readout."""
    filter: Literal["none", "κ", "λ", "λ, κ"]
    """Filter of the traces: none; the leak κ of the readout; that of the layer above, λ; both."""
    schedule: Literal["end", "window"] | int
    """When the rule updates: at the end of a sequence, after each window, or every so many steps."""

    def shown(self) -> dict[str, str]:
        """Return the coordinates as words, by name."""
        when = {"end": "end of sequence", "window": "each window", 1: "each step"}
        schedule = when.get(self.schedule, f"each {self.schedule} steps")
        return {**{name: str(value) for name, value in self._asdict().items()}, "schedule": schedule}


class Cost(NamedTuple):
    """Leading terms of the cost of a batch of sequences, as sums of products of the symbols of `LearningRule.sizes`,
    such as `B T S² P`; each term has a constant factor that depends on neuron and implementation."""

    time: str
    """Multiplications and additions in matrix products, the forward steps included."""
    memory: str
    """Numbers in memory at the peak, without weights and data."""


POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def terms(formula: str, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the value of each term of a formula, by the term.

    Raises:
        ValueError: a symbol is not among the sizes.
    """

    def value(factor: str) -> int:
        symbol, power = factor[0], factor[1:].translate(POWERS)
        if symbol not in sizes:
            raise ValueError(f'the formula "{formula}" has the symbol {symbol}; there is: {", ".join(sizes)}')
        return sizes[symbol] ** int(power or 1)

    return {term: math.prod(map(value, term.split())) for term in formula.split(" + ")}
