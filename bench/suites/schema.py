"""Schema of a suite file: keys, types and defaults. `suite.py` expands a valid file into runs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from throughtime.spec import PASSES, Device, Pass, Strict, Training
from throughtime.suites.units import seconds, size


class Entry(Strict, extra="allow"):
    """A component in a list: its name, options, and a label (one word) that distinguishes entries of one name."""

    name: str
    label: Annotated[str, Field(pattern=r"^\S+$")] | None = None

    @property
    def shown(self) -> str:
        return self.label or self.name


NameOrEntry = Annotated[Entry, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)]
Entries = Annotated[list[NameOrEntry], Field(min_length=1)]
Labels = Annotated[
    list[str], Field(min_length=1), BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]
Timeout = Annotated[PositiveFloat, BeforeValidator(lambda value: seconds(value) if isinstance(value, str) else value)]
Size = Annotated[PositiveInt, BeforeValidator(lambda value: size(str(value)))]


class When(Strict):
    """Pattern of cells by label; a kind without labels matches all components."""

    rule: Labels | None = None
    neuron: Labels | None = None
    network: Labels | None = None
    dataset: Labels | None = None


class Include(Strict):
    """An additional cell. A string is a label from the suite's list or else a component's name, without options."""

    rule: NameOrEntry
    neuron: NameOrEntry
    network: NameOrEntry | None = None
    """Default: the suite's network, if it has only one."""
    dataset: NameOrEntry


class Override(Strict):
    """Training settings and component options for the cells that `when` matches."""

    when: When = When()
    """Default: every cell."""
    training: Training | None = None
    rule: dict[str, Any] = Field({})
    neuron: dict[str, Any] = Field({})
    network: dict[str, Any] = Field({})
    dataset: dict[str, Any] = Field({})


class Settings(Strict):
    """Settings of a suite; each of its scales may change them."""

    rules: Entries = Field([])
    neurons: Entries = Field([])
    networks: Entries = Field([Entry(name="recurrent")])
    datasets: Entries = Field([])
    replicates: PositiveInt = 1
    seed: NonNegativeInt = 0
    threads: PositiveInt = 1
    device: Device = "cpu"
    """Device of network and batches; `cuda` without a CUDA device is an error before the first run starts."""
    timeout: Timeout | None = None
    """Time limit of each pass of a run in seconds, or `15m`, `2h`; null: none."""
    memory_limit: Size | None = None
    """Limit of each pass's resident memory such as `2GiB`; null: none."""
    passes: list[Pass] = Field(list(PASSES), min_length=1)
    keep_weights: bool = False
    """Whether the trained weights of each run are written beside its record; needs the pass `train`."""
    training: Training = Training()
    exclude: list[When] = Field([])
    include: list[Include] = Field([])
    overrides: list[Override] = Field([])


class Scales(Strict):
    """Changes at each scale. All three are required, so that none is forgotten; `{}` changes nothing."""

    tiny: Settings
    laptop: Settings
    paper: Settings


class SuiteFile(Settings):
    """A suite file."""

    suite: str = Field(pattern="^[a-z0-9_-]+$")
    summary: str = Field(min_length=1)
    rules: Entries
    neurons: Entries
    datasets: Entries
    scales: Scales
