"""What a suite file may say: its keys, their types and defaults. What the whole means is made in `suite.py`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from throughtime.spec import PASSES, Device, Pass, Strict, Training
from throughtime.suites.units import seconds, size


class Entry(Strict, extra="allow"):
    """A component as written: its name, alone or with options, and a label (one word) to tell two of a name apart."""

    name: str
    label: Annotated[str, Field(pattern=r"^\S+$")] | None = None

    @property
    def shown(self) -> str:
        return self.label or self.name


Written = Annotated[Entry, BeforeValidator(lambda given: {"name": given} if isinstance(given, str) else given)]
Several = Annotated[list[Written], Field(min_length=1)]
OneOf = Annotated[list[str], Field(min_length=1), BeforeValidator(lambda one: [one] if isinstance(one, str) else one)]


Timeout = Annotated[PositiveFloat, BeforeValidator(lambda given: seconds(given) if isinstance(given, str) else given)]
Size = Annotated[PositiveInt, BeforeValidator(lambda given: size(str(given)))]


class When(Strict):
    """Cells whose labels are among those given; a kind left out matches all."""

    rule: OneOf | None = None
    neuron: OneOf | None = None
    network: OneOf | None = None
    dataset: OneOf | None = None


class Include(Strict):
    """One cell more. A text is a label from the suite's list or else the name of a component, without options."""

    rule: Written
    neuron: Written
    network: Written | None = None
    """Left out: the suite's network, if it has one."""
    dataset: Written


class Override(Strict):
    """Other training settings and component options for some cells."""

    when: When = When()
    """Left out: every cell."""
    training: Training | None = None
    rule: dict[str, Any] = Field({})
    neuron: dict[str, Any] = Field({})
    network: dict[str, Any] = Field({})
    dataset: dict[str, Any] = Field({})


class Settings(Strict):
    """What a suite says, and what each of its scales may say otherwise."""

    rules: Several = Field([])
    neurons: Several = Field([])
    networks: Several = Field([Entry(name="recurrent")])
    datasets: Several = Field([])
    replicates: PositiveInt = 1
    seed: NonNegativeInt = 0
    threads: PositiveInt = 1
    device: Device = "cpu"
    """Where network and batches are; `cuda` where there is none is refused before anything runs."""
    timeout: Timeout | None = None
    """Seconds that each pass of a run may take, or `15m`, `2h`; null: any."""
    memory_limit: Size | None = None
    """Memory that each pass of a run may hold resident, `2GiB`; null: any."""
    passes: list[Pass] = Field(list(PASSES), min_length=1)
    training: Training = Training()
    exclude: list[When] = Field([])
    include: list[Include] = Field([])
    overrides: list[Override] = Field([])


class Scales(Strict):
    """All three must be there, so that none is forgotten; `{}` changes nothing."""

    tiny: Settings
    laptop: Settings
    paper: Settings


class SuiteFile(Settings):
    """The whole file."""

    suite: str = Field(pattern="^[a-z0-9_-]+$")
    summary: str = Field(min_length=1)
    rules: Several
    neurons: Several
    datasets: Several
    scales: Scales
