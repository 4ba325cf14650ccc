"""Exact bytes of live tensors while a rule learns one batch: the peak, and its bytes by owner; and in evaluation."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from torch import Tensor, nn

from throughtime.collector import gc_frozen
from throughtime.datasets.batch import Batch
from throughtime.harness.batches import evaluating, learn_batch, started, unrolled, window_steps
from throughtime.harness.build import Built
from throughtime.harness.clock import Clock
from throughtime.harness.updater import Updater
from throughtime.measuring.live_bytes import LiveBytes
from throughtime.measuring.steady_windows import until_steady
from throughtime.numerics.trees import nbytes
from throughtime.records.record import Measure
from throughtime.spec import RunSpec

OWNERS = ("input", "parameters", "gradients", "optimiser", "rule", "graph")
WHAT = {
    "input": "the batch, all its steps, and its targets",
    "parameters": "the network's parameters and buffers",
    "gradients": "the tensors in .grad",
    "optimiser": "the optimiser's state",
    "rule": "attributes of the rule, its own parameters included",
    "graph": "everything else: activations, tensors saved by autograd, temporaries",
}

WHOLE = "exact bytes of live tensors at the peak of a batch after a warm-up, counted by storage"


class NotRepeatableError(Exception):
    """Two batches executed different operations, so the moment of the peak cannot be identified in the second."""


class ExactMemory(NamedTuple):
    """Bytes at the peak of one batch."""

    owned: dict[str, int]
    """Bytes by owner with the whole input in memory; the sum is the peak."""
    streamed: int
    """Peak if each window of the input is in memory only while the rule uses it."""
    operations: int
    """Operations of the batch, forward and backward."""

    @property
    def peak(self) -> int:
        return sum(self.owned.values())


def exact_memory(spec: RunSpec, built: Built, batch: Batch, period: int | None = None) -> ExactMemory:
    """Learn a batch four times: to warm up (the optimiser allocates its state at the first step), to find the operation
    of the peak, to determine the owners at that operation, and with streamed input.

    Earlier storages (parameters, input) are counted separately; `LiveBytes` counts all others. The number is a
    property of the program: it is the same in two runs and on two machines.

    Args:
        spec: the run.
        built: untrained components.
        batch: the batch to learn.
        period: steps after which the rule does the same again; windows are then left out as in `until_steady`, and
            `operations` lacks theirs. None: every window is learnt.

    Raises:
        NotRepeatableError: the second and the third batch execute different operations.
    """
    with _warmed_up(spec, built, batch, period) as counter:
        live, update = counter.live, counter.update
        peak, operation = counter.learn()
        owned: dict[str, int] = {}

        def look() -> None:
            owned.update(_by_owner(live.alive(), built, update))

        live.look_at, live.look = operation, look
        again = counter.learn()
        live.look, operations = None, live.operations
        if again != (peak, operation) or (operation and sum(owned.values()) != peak):
            raise NotRepeatableError(f"peak of {peak} bytes at operation {operation}, then of {again[0]} at {again[1]}")
        streamed = counter.streamed_peak()
    owned = {"input": batch.nbytes, "parameters": _parameter_bytes(built)} | owned
    by_owner = {owner: owned.get(owner, 0) for owner in OWNERS}
    return ExactMemory(by_owner, streamed, operations)


def streamed_peak(spec: RunSpec, built: Built, batch: Batch, period: int | None = None) -> int:
    """Return `ExactMemory.streamed` alone, from two batches; arguments and errors are those of `exact_memory`."""
    with _warmed_up(spec, built, batch, period) as counter:
        return counter.streamed_peak()


@contextmanager
def _warmed_up(spec: RunSpec, built: Built, batch: Batch, period: int | None) -> Iterator[_Counter]:
    """Context manager in which a rule that has learnt a batch, to warm up, learns it again under a count."""
    with gc_frozen(), LiveBytes() as live:
        update = started(spec, built, built.dataset.steps, Clock())
        counter = _Counter(live, built, batch, update, period)
        counter.learn()
        yield counter


class _Counter(NamedTuple):
    """Learns a batch and counts its peak."""

    live: LiveBytes
    built: Built
    batch: Batch
    update: Updater
    period: int | None

    def learn(self, deliver: Callable[[Batch], Batch] = lambda window: window) -> tuple[int, int]:
        """Learn the batch; return the peak and the number of the operation that reached it."""
        gc.collect()
        self.live.reset_peak()
        windows = window_steps(self.built.rule, self.batch.steps)
        learnt = windows if self.period is None else until_steady(self.live, windows, self.period)
        learn_batch(self.built.rule, self.batch, self.update, deliver, learnt)
        return self.live.peak, self.live.peak_at

    def streamed_peak(self) -> int:
        """Learn the batch with streamed input; return its peak with parameters and targets.

        Raises:
            NotRepeatableError: operations allocated memory of unknown size, in this batch or before.
        """
        peak, _ = self.learn(Batch.with_inputs_copied)
        if self.live.uncounted:
            raise NotRepeatableError(f"{self.live.uncounted} operations allocated memory of unknown size")
        return _parameter_bytes(self.built) + nbytes(self.batch.target) + peak


def evaluation_measure(built: Built, batch: Batch) -> dict[str, Measure]:
    """Return the peak of live bytes while the network is evaluated on a batch, after a warm-up, as a measure: the whole
    input, the parameters, and what the windows of the evaluation need, without the metrics."""
    with evaluating(built.network):
        for live in (LiveBytes(), LiveBytes()):
            with live:
                for _ in unrolled(built.network, batch):
                    pass
    parameters = _parameter_bytes(built)
    missing = f"{live.uncounted} operations allocated memory of unknown size" if live.uncounted else None
    value = None if missing else batch.nbytes + parameters + live.peak
    method = f"{WHOLE}, while the network is evaluated on it; the whole input in memory"
    return {"peak_live_bytes_evaluation": Measure(value=value, unit="byte", method=method, missing=missing)}


def _parameter_bytes(built: Built) -> int:
    return nbytes([*built.network.parameters(), *built.network.buffers()])


def _by_owner(alive: dict[int, int], built: Built, update: Updater) -> dict[str, int]:
    """Sum the bytes of live storages by their first owner; those without an owner belong to the graph."""
    parameters = [*built.network.parameters(), *built.rule.parameters()]
    claims: dict[str, Iterator[Tensor]] = {
        "gradients": (p.grad for p in parameters if p.grad is not None),
        "optimiser": _tensors(update.optimiser.state, set()),
        # Its parameters explicitly: they may be in a module, and `_tensors` does not enter modules.
        "rule": chain(built.rule.parameters(), _tensors(vars(built.rule), {id(built.network), id(update)})),
    }
    unowned, owned = dict(alive), {}
    for owner, storages in claims.items():
        owned[owner] = sum(unowned.pop(id(tensor.untyped_storage()), 0) for tensor in storages)
    return {**owned, "graph": sum(unowned.values())}


def _tensors(value: Any, seen: set[int]) -> Iterator[Tensor]:
    """Yield every tensor that is reachable through containers and attributes, except those in modules."""
    if id(value) in seen or isinstance(value, nn.Module | type | FunctionType | MethodType):
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item, seen)
    elif isinstance(value, list | tuple | set | frozenset | deque):
        for item in value:
            yield from _tensors(item, seen)
    elif hasattr(value, "__dict__"):
        yield from _tensors(vars(value), seen)


def live_byte_measures(memory: ExactMemory | None, missing: str | None = None) -> dict[str, Measure]:
    """Convert the result to measures; without a result, `missing` is the reason."""

    def measure(value: int | None, method: str) -> Measure:
        return Measure(value=value, unit="byte", method=method, missing=missing)

    named = {
        "peak_live_bytes": measure(memory and memory.peak, f"{WHOLE}; the whole input in memory"),
        "peak_live_bytes_without_input": measure(
            memory and memory.peak - memory.owned["input"], f"{WHOLE}; less input"
        ),
        "peak_live_bytes_streamed": measure(memory and memory.streamed, f"{WHOLE}; input handed over window by window"),
    }
    for owner in OWNERS:
        named[f"peak_live_bytes.{owner}"] = measure(memory and memory.owned[owner], f"of the peak: {WHAT[owner]}")
    return named
