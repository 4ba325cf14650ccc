"""The spec of one run: every choice that its numbers depend on, and the id made from them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, NamedTuple

import pydantic
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

Pass = Literal["train", "time", "memory", "bytes"]


class PassKind(NamedTuple):
    """How a pass is run."""

    exclusive: bool
    """Alone on the machine, by a lock that all runners of a user share."""
    headline: tuple[str, str] | None = None
    """Of a pass that is made once a cell, on its first replicate: its first number and the unit; other replicates say
    that they lack it. None: every replicate makes the pass."""
    others: tuple[str, ...] = ()
    """What its other measures' names begin with, as far as they do not begin like the first."""


PASSES: dict[Pass, PassKind] = {
    "train": PassKind(exclusive=False),
    "time": PassKind(
        exclusive=True,
        headline=("wall_time", "second a sequence"),
        others=("floor_time", "time_over_floor", "matmul_rate", "copy_bandwidth", "compile_time"),
    ),
    "memory": PassKind(
        exclusive=True,
        headline=("peak_process_bytes", "byte"),
        others=("level_process_bytes", "input_bytes", "peak_cuda_", "level_cuda_bytes"),
    ),
    "bytes": PassKind(exclusive=False, headline=("peak_live_bytes", "byte"), others=("peak_allocator_bytes",)),
}
"""In the order in which a record shows what they found."""
MEASURED_ONCE = tuple(name for kind in PASSES.values() for name in (*(kind.headline or ())[:1], *kind.others))
"""Beginnings of the names of all measures that are taken once a cell."""
Scale = Literal["tiny", "laptop", "paper"]
SCALES: tuple[Scale, ...] = ("tiny", "laptop", "paper")
Device = Literal["cpu", "cuda"]
OptimiserName = Literal["adam", "adamax", "sgd"]
"""`harness/optimisers.py` builds them."""
Rerun = Literal["none", "failed", "stale", "all"]
"""Which records are made again."""


class Strict(pydantic.BaseModel):
    """Frozen; no unknown keys; no silent conversion ('1e-3' is not a number); no infinity, which JSON cannot keep."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ComponentSpec(Strict):
    """A registered name and all its options, defaults included."""

    name: str
    options: dict[str, Any] = {}
    label: str
    """What tables call it: the name, unless the suite has several of that name."""


class Training(Strict):
    """How a run is trained. The same for every rule unless the suite's overrides say otherwise."""

    epochs: PositiveInt = 10
    """Passes over the training split; for generated data, over one epoch's worth of fresh sequences."""
    batch: PositiveInt = 64
    """Sequences a batch."""
    optimiser: OptimiserName = "adam"
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate: the same throughout, or half a cosine over the epochs, down to 0 after the last."""
    clip: PositiveFloat | None = 1.0
    """Largest norm of the whole gradient at an update; null: no clipping."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of what the network's matrix products read; all else is float32. See `numerics/precision.py`."""
    alignment: list[NonNegativeInt] = []
    """Epochs after which the rule's gradient is compared with BPTT's; 0: before training; none beyond the last."""


class RunSpec(Strict):
    """One run: a cell (rule x neuron x network x dataset) at one scale, and which replicate of it."""

    suite: str
    scale: Scale
    rule: ComponentSpec
    neuron: ComponentSpec
    network: ComponentSpec
    dataset: ComponentSpec
    training: Training
    passes: list[Pass]
    replicate: NonNegativeInt
    seed: NonNegativeInt
    """Base seed of the suite; streams are derived from (seed, purpose, replicate)."""
    threads: PositiveInt = 1
    device: Device = "cpu"

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """Labels of (rule, neuron, network, dataset): runs that differ in the replicate alone share it."""
        return (self.rule.label, self.neuron.label, self.network.label, self.dataset.label)

    @property
    def label(self) -> str:
        """`fptt ltc digits #0`; the network is named when it is not the plain `recurrent`."""
        rule, neuron, network, dataset = self.cell
        wired = "" if network == "recurrent" else f" {network}"
        return f"{rule} {neuron}{wired} {dataset} #{self.replicate}"

    def id(self, code: dict[str, str]) -> str:
        """12 hexadecimal digits of the SHA-256 of this spec and of the digests of the components' code."""
        text = json.dumps({"spec": self.model_dump(mode="json"), "code": code}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
