"""Exact bytes of training networks of given sizes: random input in place of data, a batch in place of a training."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from throughtime.datasets.generated import Generated
from throughtime.datasets.task import Classification
from throughtime.errors import UsageError, first_line, raised_at
from throughtime.harness.build import Built
from throughtime.harness.by_name import build_network, build_rule
from throughtime.harness.learner_checks import supported
from throughtime.measuring.exact_memory import OWNERS, ExactMemory, NotRepeatableError, exact_memory, streamed_peak
from throughtime.numerics.alike_steps import without_alike_steps
from throughtime.numerics.loops import without_compiled_loops
from throughtime.registry import ALGORITHMS, NEURONS
from throughtime.spec import ComponentSpec, RunSpec, Training

Counted = TypeVar("Counted")


class Sizes(NamedTuple):
    """A recurrent network and its sequences."""

    hidden: tuple[int, ...] = (64,)
    """Neurons of each layer."""
    inputs: int = 40
    """Inputs a step."""
    outputs: int = 10
    """Classes."""
    batch: int = 1
    """Sequences that are learnt together."""
    target: Literal["end", "step"] = "end"
    """One target for a sequence, or one at each step."""


class TrainingBytes(NamedTuple):
    """Exact bytes of a rule at one length of sequences."""

    rule: str
    options: Mapping[str, Any]
    """Options of the rule."""
    steps: int
    memory: ExactMemory | None
    """None if the rule cannot train the network."""
    missing: str | None
    """The reason why there is no number."""

    def row(self) -> dict[str, Any]:
        """Return rule, options, steps, peak, streamed peak and the bytes of each owner at the peak, by name."""
        counted: dict[str, int | None] = dict.fromkeys(("peak", "streamed", *(f"peak.{owner}" for owner in OWNERS)))
        if self.memory is not None:
            owned = {f"peak.{owner}": size for owner, size in self.memory.owned.items()}
            counted |= {"peak": self.memory.peak, "streamed": self.memory.streamed, **owned}
        return {
            "rule": self.rule,
            "options": dict(self.options),
            "steps": self.steps,
            **counted,
            "missing": self.missing,
        }


def training_bytes(
    rules: Sequence[tuple[str, dict[str, Any]]], neuron: str, steps: Sequence[int], sizes: Sizes
) -> Iterator[TrainingBytes]:
    """Count the exact bytes that rules need to train the network `recurrent`, with Adam.

    Four batches are learnt, without windows that repeat those before (`until_steady`) and without alike steps in a
    window (`without_alike_steps`): less than a second at any length, and the memory of training. The number does not
    depend on values of input and weights, except for rules that skip steps without spikes.

    Args:
        rules: name and options of each rule.
        neuron: name of the neuron.
        steps: lengths T of the sequences.
        sizes: of network and batch.

    Raises:
        UsageError: no rule, neuron or option has that name, or a value is invalid.
    """
    for name, options in rules:
        with contextlib.suppress(_FaultError), _faults_of(ALGORITHMS[name].origin):
            build_rule(name, **options)  # a wrong name or option is refused before the first count
    for name, options in rules:
        for T in steps:
            yield TrainingBytes(name, options, T, *_with_built((name, options), neuron, T, sizes, exact_memory))


def streamed_bytes(
    rule: tuple[str, dict[str, Any]], neuron: str, steps: int, sizes: Sizes
) -> tuple[int | None, str | None]:
    """Return `ExactMemory.streamed` of a rule alone, in half the time; or None, and why there is no number."""
    return _with_built(rule, neuron, steps, sizes, streamed_peak)


def _with_built(
    rule: tuple[str, dict[str, Any]], neuron: str, steps: int, sizes: Sizes, count: Callable[..., Counted]
) -> tuple[Counted | None, str | None]:
    """Build rule, network and a batch, and count; return the count, or None and the reason why there is none."""
    name, options = rule
    origins = (ALGORITHMS[name].origin, NEURONS[neuron].origin)
    try:
        with torch.random.fork_rng(devices=[]), without_alike_steps(), without_compiled_loops(), _faults_of(*origins):
            torch.manual_seed(0)
            dataset = _Noise(steps, sizes)
            network = build_network("recurrent", sizes.inputs, sizes.outputs, neuron, hidden=list(sizes.hidden))
            batch = next(dataset.batches("train", sizes.batch))
            built = Built(dataset, network, build_rule(name, **options))
            if reason := supported(built.rule, network, dataset.task, steps):
                return None, reason
            period = _period(name, options, built.rule.window(steps))
            return count(_spec(name, neuron, sizes), built, batch, period), None
    except (NotRepeatableError, _FaultError) as error:
        return None, first_line(error)


class _FaultError(Exception):
    """A user's rule or neuron raised an exception; the message gives place, type and message."""


@contextlib.contextmanager
def _faults_of(*origins: str) -> Iterator[None]:
    """Raise exceptions from these files as `_FaultError`, so that a fault of one rule leaves the rows of the others."""
    try:
        yield
    except (NotRepeatableError, UsageError):
        raise
    except Exception as error:
        if (place := raised_at(error, *origins)) is None:
            raise
        raise _FaultError(f"{place}: {type(error).__name__}: {first_line(error)}") from error


def _period(name: str, options: dict[str, Any], window: int) -> int:
    """Return steps after which a rule does the same again: a multiple of its window and of each integer option, such as
    `update_every`."""
    return math.lcm(window, *_integers(ALGORITHMS[name].checked(options)))


def _integers(value: Any) -> Iterator[int]:
    """Yield the integers above 0 among options, and among those of a rule that is an option."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _integers(item)
    elif type(value) is int and value > 0:
        yield value


def _spec(rule: str, neuron: str, sizes: Sizes) -> RunSpec:
    """Return the spec that the count reads: seed, replicate and settings of the optimiser."""

    def part(name: str) -> ComponentSpec:
        return ComponentSpec(name=name, label=name)

    return RunSpec(
        suite="bytes",
        scale="laptop",
        rule=part(ALGORITHMS[rule].name),
        neuron=part(NEURONS[neuron].name),
        network=part("recurrent"),
        dataset=part("noise"),
        training=Training(batch=sizes.batch),
        passes=["bytes"],
        replicate=0,
        seed=0,
    )


class _Noise(Generated):
    """Spikes with probability 1/10 a step, and a class that is independent of them."""

    def __init__(self, steps: int, sizes: Sizes) -> None:
        super().__init__(sizes.batch, 1)
        self.steps, self.inputs, self.outputs = steps, sizes.inputs, sizes.outputs
        self.task = Classification(sizes.outputs, per_step=sizes.target == "step")

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.rand(self.steps, n, self.inputs, generator=generator) < 0.1
        shape = (self.steps, n) if self.task.per_step else (n,)
        return x, torch.randint(self.outputs, shape, generator=generator)

    @classmethod
    def tiny(cls) -> _Noise:
        """Return 6 steps for a network of default sizes."""
        return cls(6, Sizes())
