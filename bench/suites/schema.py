"""Schema of a suite file: keys, types and defaults. `suite.py` expands a valid file into runs."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from throughtime.spec import PASSES, Device, Pass, Span, Strict, Training
from throughtime.suites.ranges import listed
from throughtime.suites.units import seconds, size


class ComponentEntry(Strict, extra="allow"):
    """A component in a list: its name, options, and a label (one word) that distinguishes entries of one name."""

    name: str
    """Registered name, see `throughtime ls`."""
    label: Annotated[str, Field(pattern=r"^\S+$")] | None = None
    """Name in tables and patterns, one word. Default: `name`."""

    @property
    def shown(self) -> str:
        return self.label or self.name


NameOrEntry = Annotated[
    ComponentEntry, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)
]
Entries = Annotated[list[NameOrEntry], Field(min_length=1)]
LabelList = Annotated[
    list[str], Field(min_length=1), BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]
Values = Annotated[list[Any], Field(min_length=1)]
Timeout = Annotated[PositiveFloat, BeforeValidator(lambda value: seconds(value) if isinstance(value, str) else value)]
ByteSize = Annotated[PositiveInt, BeforeValidator(lambda value: size(str(value)))]


class When(Strict):
    """Cells, by label; a kind without labels matches all components."""

    rule: LabelList | None = None
    """Labels of rules, or patterns of them such as `"fptt-*"`: one or a list."""
    neuron: LabelList | None = None
    """The same of neurons."""
    network: LabelList | None = None
    """The same of networks."""
    dataset: LabelList | None = None
    """The same of datasets."""

    def matches(self, cell: Sequence[str]) -> bool:
        """Return whether a cell is among them, by its labels of rule, neuron, network and dataset."""
        wanted = (self.rule, self.neuron, self.network, self.dataset)
        return all(patterns is None or named(label, patterns) for patterns, label in zip(wanted, cell, strict=True))


def named(label: str, patterns: Sequence[str]) -> bool:
    """Return whether a label is one of these, or matches one of these patterns."""
    return label in patterns or any(fnmatchcase(label, pattern) for pattern in patterns)


class Exclude(When):
    """Pattern of cells that a suite leaves out."""

    reason: str | None = None
    """Why, in tables, on the page and in the output of `plan`. Default: none."""

    @property
    def text(self) -> str:
        """The labels in the pattern, such as `snap_n x evidence-200, evidence-400`, and the reason."""
        kinds = (self.rule, self.neuron, self.network, self.dataset)
        return " x ".join(", ".join(labels) for labels in kinds if labels) + (f": {self.reason}" if self.reason else "")


class Include(Strict):
    """An additional cell. A string is a label from the suite's list or else a component's name, without options."""

    rule: NameOrEntry
    """The learning rule."""
    neuron: NameOrEntry
    """The neuron."""
    network: NameOrEntry | None = None
    """The network. Default: the suite's network, if it has only one."""
    dataset: NameOrEntry
    """The dataset."""


class Override(Strict):
    """Training settings and component options for the cells that `when` matches."""

    when: When = When()
    """Pattern of cells. Default: every cell."""
    training: Training | None = None
    """Training settings; others keep their values."""
    rule: dict[str, Any] = Field(default={})
    """Options of the rule; others keep their values."""
    neuron: dict[str, Any] = Field(default={})
    """Options of the neuron."""
    network: dict[str, Any] = Field(default={})
    """Options of the network."""
    dataset: dict[str, Any] = Field(default={})
    """Options of the dataset."""


class Tune(Strict):
    """Search for the values of some options before the runs.

    Each cell tries the same number of combinations of values, in runs with seeds of their own. Its runs then have the
    combination whose best epoch is the best on the validation split; the record lists all trials.
    """

    options: dict[str, Annotated[Values | Span, BeforeValidator(listed)]] = Field(min_length=1)
    """Values to try, by option: `training.NAME`, `rule.NAME` (likewise neuron, network, dataset), or `LABEL.NAME` for
    the component with that label. A list, or a range `{from: 1e-4, to: 1e-2, steps: 5, scale: log}` (or `linear`); for
    `optuna` a range without `steps` has all numbers between its ends."""
    sampler: Literal["grid", "optuna"] = "grid"
    """What proposes the trials: `grid`: combinations of the values; `optuna`: its TPE sampler, from the results of the
    cell's trials before, the first ten at random; it needs the extra `tune`."""
    trials: PositiveInt | None = None
    """Combinations tried for each cell; of a grid they are drawn at random from all, and null is all of the cell with
    the fewest."""
    replicates: Annotated[PositiveInt, Field(le=10_000)] = 1
    """Runs of each trial; their mean counts."""


class Settings(Strict):
    """Settings of a suite; each of its scales may change them."""

    rules: Entries = Field(default=[])
    """Learning rules, each a name, or `{name, label, ...}` with options."""
    neurons: Entries = Field(default=[])
    """Neurons, in the same form."""
    networks: Entries = Field(default=[ComponentEntry(name="recurrent")])
    """Networks, in the same form."""
    datasets: Entries = Field(default=[])
    """Datasets, in the same form."""
    replicates: Annotated[PositiveInt, Field(le=10_000)] = 1
    """Runs of each cell, with different weights and orders of the data."""
    seed: NonNegativeInt = 0
    """Base seed, from which all random streams of all replicates are derived."""
    threads: Annotated[PositiveInt, Field(le=1024)] = 1
    """Threads of each pass."""
    device: Device = "cpu"
    """Device of network and batches; `cuda` without a CUDA device is an error before the first run starts."""
    timeout: Timeout | None = None
    """Time limit of each pass of a run in seconds, or `15m`, `2h`; null: none."""
    memory_limit: ByteSize | None = None
    """Limit of each pass's resident memory such as `2GiB`; null: none."""
    passes: list[Pass] = Field(default=[name for name, kind in PASSES.items() if kind.by_default], min_length=1)
    """Passes of a run: `train`, `time`, `memory` (peak of the process), `bytes` (exact bytes of live tensors), `ratio`
    (time over BPTT's, in turns)."""
    keep_weights: bool = False
    """Whether the trained weights of each run are written beside its record; needs the pass `train`."""
    training: Training = Training()
    """Training settings of all cells."""
    tune: Tune | None = None
    """Search for the values of options, on the validation split; needs the pass `train`. null: none."""
    exclude: list[Exclude] = Field(default=[])
    """Patterns of cells that are left out."""
    include: list[Include] = Field(default=[])
    """Additional cells."""
    overrides: list[Override] = Field(default=[])
    """Changes of single cells; a later one takes precedence."""


class Scales(Strict):
    """Changes of the settings at each scale; a scale that is left out changes nothing."""

    tiny: Settings = Settings()
    """Sizes for tests: seconds a run."""
    laptop: Settings = Settings()
    """Sizes for two cores: minutes to hours."""
    paper: Settings = Settings()
    """The authors' sizes."""


class SuiteFile(Settings):
    """A suite file."""

    suite: str = Field(pattern="^[a-z0-9_-]+$")
    """Name of the suite, and of its folder of results."""
    summary: str = ""
    """One line for `throughtime ls`."""
    rules: Entries
    """Learning rules, each a name, or `{name, label, ...}` with options."""
    neurons: Entries
    """Neurons, in the same form."""
    datasets: Entries
    """Datasets, in the same form."""
    scales: Scales = Scales()
    """Changes at the scales `tiny`, `laptop` and `paper`."""
