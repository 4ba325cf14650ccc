"""The spec of one run: every choice that its numbers depend on, and the id made from them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import pydantic
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

Pass = Literal["train", "time", "memory"]
Scale = Literal["tiny", "laptop", "paper"]
SCALES: tuple[Scale, ...] = ("tiny", "laptop", "paper")
Rerun = Literal["none", "failed", "all"]
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
    optimiser: Literal["adam", "adamax", "sgd"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate: the same throughout, or half a cosine over the epochs, down to 0 after the last."""
    clip: PositiveFloat | None = 1.0
    """Largest norm of the whole gradient at an update; null: no clipping."""


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
