"""Python interface: exact memory of rules by number of steps, and the rules that fit a memory."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import pandas as pd

from throughtime.errors import UsageError
from throughtime.face.api import loaded
from throughtime.records.results import Results

if TYPE_CHECKING:
    from throughtime.measuring.training_bytes import Sizes


def bytes(
    rules: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]],
    steps: int | Sequence[int],
    neuron: str = "lif",
    *,
    hidden: int | Sequence[int] = (64,),
    inputs: int = 40,
    outputs: int = 10,
    batch: int = 1,
    per_step: bool = False,
) -> pd.DataFrame:
    """Count the exact bytes that rules need to train the network `recurrent` with Adam, without data and training.

    Args:
        rules: rules as in a suite: `"eprop"`, `{"name": "fptt", "parts": 10}`, or a list of these.
        steps: lengths T of the sequences.
        neuron: name of the neuron.
        hidden: neurons of each layer.
        inputs: inputs a step.
        outputs: classes.
        batch: sequences that are learnt together.
        per_step: whether there is a target at each step.

    Returns:
        A row for each rule and length: the rule, its `options`, the length; `peak`, with the whole input in memory;
        `streamed`, with a window of it; the peak by owner; and the reason where a rule cannot train the network. The
        cost is that of four batches, without windows that repeat those before.

    Raises:
        UsageError: no rule, neuron or option has that name, or a value is invalid.

    Example:
        >>> rows = tt.bytes(["bptt", {"name": "fptt", "parts": 4}], [8, 16], hidden=[4], inputs=2, outputs=2)
        >>> rows[["rule", "steps"]].values.tolist()
        [['bptt', 8], ['bptt', 16], ['fptt', 8], ['fptt', 16]]
        >>> bool((rows["streamed"] <= rows["peak"]).all())
        True
    """
    from throughtime.measuring.training_bytes import training_bytes

    entries = [rules] if isinstance(rules, str | Mapping) else rules
    named = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in entries]
    lengths = [_at_least(1, "steps", T) for T in (steps if isinstance(steps, Iterable) else [steps])]
    if not all("name" in entry for entry in named):
        raise UsageError("a rule with options has a name", "rules", 'for example {"name": "fptt", "parts": 3}')
    sizes = _sizes(hidden, inputs, outputs, batch, "step" if per_step else "end")
    counted = training_bytes([(rule.pop("name"), rule) for rule in named], neuron, lengths, sizes)
    return pd.DataFrame([row.row() for row in counted])


def recommend(
    steps: int,
    memory: int | str,
    neuron: str = "lif",
    *,
    hidden: int | Sequence[int] = (64,),
    inputs: int = 40,
    outputs: int = 10,
    batch: int = 1,
    results: Results | str | Path | None = None,
) -> pd.DataFrame:
    """Rank the rules that fit a memory: exact bytes of training the network `recurrent`, and recorded accuracies.

    Args:
        steps: length T of the sequences.
        memory: bytes, or text such as `"8MB"`, that training may take with the input streamed.
        neuron: name of the neuron.
        hidden: neurons of each layer.
        inputs: inputs a step.
        outputs: classes.
        batch: sequences that are learnt together.
        results: runs of the suites `length`, `length-updates` or `rules` as evidence; None: the committed ones.

    Returns:
        A row for each rule, those that fit first; the columns are those of `reports.recommend.recommendations`. The
        cost is that of two batches of each rule, without windows that repeat those before.

    Raises:
        UsageError: no neuron has that name, the memory is not a size, or no rule fits.

    Example:
        >>> rows = tt.recommend(4, "1MB", hidden=[2], inputs=2, outputs=2, results=folder)
        >>> bool(rows["fits"].iloc[0]), bool(rows["accuracy"].isna().all())  # no run of `length` or `rules`
        (True, True)
    """
    from throughtime.registry import NEURONS
    from throughtime.reports.recommend import evidence_in, recommendations
    from throughtime.suites.units import size

    if isinstance(memory, str):
        try:
            memory = size(memory)
        except ValueError as error:
            raise UsageError(str(error)) from error
    steps, sizes = _at_least(1, "steps", steps), _sizes(hidden, inputs, outputs, batch)
    NEURONS[neuron]  # a wrong name is refused before the records are read
    evidence = evidence_in(None) if results is None else loaded(results)
    return recommendations(evidence, steps, memory, neuron, sizes)


def _sizes(
    hidden: int | Sequence[int], inputs: int, outputs: int, batch: int, target: Literal["end", "step"] = "end"
) -> Sizes:
    from throughtime.measuring.training_bytes import Sizes

    layers = tuple(_at_least(1, "hidden", width) for width in (hidden if isinstance(hidden, Iterable) else [hidden]))
    if not layers:
        raise UsageError("should have a layer", "hidden", "for example [64]")
    at_least = (_at_least(1, "inputs", inputs), _at_least(2, "outputs", outputs), _at_least(1, "batch", batch))
    return Sizes(layers, *at_least, target)


def _at_least(least: int, argument: str, value: SupportsIndex) -> int:
    """Return an integer, which may be one of NumPy.

    Raises:
        UsageError: the value is no integer, below the least, or 2³¹ or more.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"should be an integer, not {value!r}", argument) from None
    if number < least:
        raise UsageError(f"should be at least {least}, not {number}", argument)
    if number >= 2**31:
        raise UsageError(f"should be below 2³¹, not {number}", argument)
    return number
