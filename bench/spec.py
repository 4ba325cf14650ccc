"""Specification of one run: all choices that determine its numbers, and the run id derived from them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

Pass = Literal["train", "time", "ratio", "memory", "bytes"]


class PassKind(NamedTuple):
    """Properties of a pass."""

    exclusive: bool
    """Whether the pass runs alone on the machine, under a lock that all runners share."""
    headline: tuple[str, str] | None = None
    """Name and unit of the first measure, for a pass that runs once per cell, on the first replicate (records of other
    replicates give a reason instead). None: every replicate runs the pass."""
    others: tuple[str, ...] = ()
    """Prefixes of the names of its further measures that do not begin with the name of the first."""
    by_default: bool = True
    """Whether a suite that names no passes has it."""


PASSES: dict[Pass, PassKind] = {
    "train": PassKind(exclusive=False),
    "time": PassKind(
        exclusive=True,
        headline=("wall_time", "second a sequence"),
        others=("floor_time", "time_over_floor", "matmul_rate", "copy_bandwidth", "compile_time"),
    ),
    "ratio": PassKind(exclusive=True, headline=("time_over_bptt", "1"), by_default=False),
    "memory": PassKind(
        exclusive=True,
        headline=("peak_process_bytes", "byte"),
        others=("level_process_bytes", "input_bytes", "peak_cuda_", "level_cuda_bytes"),
    ),
    "bytes": PassKind(exclusive=False, headline=("peak_live_bytes", "byte"), others=("peak_allocator_bytes",)),
}
"""Passes in the order of their measures in a record."""
MEASURED_ONCE = tuple(name for kind in PASSES.values() for name in (*(kind.headline or ())[:1], *kind.others))
"""Prefixes of the names of all measures that are taken once per cell."""
NOISY_MEASURES = (
    "training_time",
    "energy",
    *(name for kind in PASSES.values() if kind.exclusive for name in (*(kind.headline or ())[:1], *kind.others)),
)
"""Prefixes of the names of measures in which any two runs differ: times, the process's peak, the machine's rates."""
Scale = Literal["tiny", "laptop", "paper"]
SCALES: tuple[Scale, ...] = ("tiny", "laptop", "paper")
Device = Literal["cpu", "cuda"]
OptimiserName = Literal["adam", "adam_tensorflow", "adamw", "adamax", "sgd"]
"""`harness/optimisers.py` builds them."""
NormType = Literal["float32", "float64"]
ScheduleName = Literal["constant", "cosine", "linear", "multistep", "step"]
"""`harness/updater.py` builds them."""
Rerun = Literal["none", "failed", "stale", "all"]
"""Records that `run` replaces."""


class Strict(pydantic.BaseModel):
    """Frozen model without unknown keys, silent conversion ('1e-3' is not a number) or infinities (JSON has none)."""

    model_config = pydantic.ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class ComponentSpec(Strict):
    """A component's registered name and all its options, defaults included."""

    name: str
    options: dict[str, Any] = {}
    label: str
    """Display name in tables; defaults to `name`."""


class Training(Strict):
    """Training settings; the same for every rule unless overrides of the suite change them."""

    epochs: PositiveInt = 10
    """Passes over the training split; generated data are drawn again in each epoch."""
    patience: PositiveInt | None = None
    """Early stopping: training ends after so many epochs without a better headline metric on the validation split;
    null: all epochs."""
    stop_at: pydantic.FiniteFloat | None = None
    """Training ends after an epoch in which the headline metric on the validation split is at least as good as this;
    null: never."""
    batch: PositiveInt = 64
    """Sequences per batch."""
    drop_last: bool = False
    """Whether an epoch leaves out its last batch if that has fewer than `batch` sequences."""
    optimiser: OptimiserName = "adam"
    """The optimiser; options other than the following four have PyTorch's defaults."""
    learning_rate: PositiveFloat = 1e-3
    """Step size of the optimiser, at the first epoch."""
    weight_decay: Annotated[NonNegativeFloat, AfterValidator(abs)] = 0.0  # -0.0 would be another id
    """Decoupled weight decay for `adamw`; factor of an L2 penalty in the gradient for the other optimisers."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Momentum μ of `sgd`: m ← μ m + g, W ← W − η m, as torch.optim.SGD without dampening; 0: W ← W − η g."""
    nesterov: bool = False
    """Whether `sgd` steps along g + μ m, Nesterov's momentum, in place of m."""
    schedule: ScheduleName = "constant"
    """Learning rate over the epochs: `constant`; `cosine`: η (1 + cos(π k / P)) / 2 after k epochs; `linear`: to 0
    after the last epoch; `multistep`: times `factor` after each of the `milestones`; `step`: times `factor` after every
    `step_size` epochs. As CosineAnnealingLR, LinearLR, MultiStepLR and StepLR of PyTorch."""
    period: PositiveInt | None = None
    """P of the cosine in epochs; with fewer epochs than P it ends above 0, with more it rises again; null: `epochs`."""
    milestones: list[PositiveInt] = []
    """Numbers of epochs, in increasing order, for `multistep`."""
    step_size: PositiveInt | None = None
    """Number of epochs for `step`."""
    factor: PositiveFloat | None = None
    """Factor of the learning rate for `multistep` and `step`; null: 0.1."""
    clip: PositiveFloat | None = 1.0
    """Upper bound of the gradient's norm at an update; null: no clipping."""
    norm_in: NormType = "float32"
    """Data type in which `clip` computes the norm. In float32, as in PyTorch, a norm from 1.8e19 on is infinite, and
    the gradient becomes 0; in float64 it gets the norm `clip`."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Data type of the operands of the network's matrix products; everything else is float32, see
    `numerics/precision.py`."""
    mean_of_last: PositiveInt = 1
    """The metrics on the test split are means of the evaluations after the last so many epochs, which differ by noise
    where the learning rate does not decay; 1: those after the last epoch."""
    initial_weights: Annotated[str, Field(pattern=r"^([a-z0-9_-]+|.+\.pt)$")] | None = None
    """Weights with which training begins: a suite's name: the final weights of its run with the same labels, scale and
    replicate; or a file `NAME.pt` with a state dict. null: random weights."""
    alignment: list[NonNegativeInt] = []
    """Epochs after which the rule's gradient is compared with BPTT's, at most `epochs`; 0: before training."""


def cell_label(rule: str, neuron: str, network: str, dataset: str) -> str:
    """Return the display name of a cell, such as `fptt ltc digits`; the network appears unless it is `recurrent`."""
    wired = "" if network == "recurrent" else f" {network}"
    return f"{rule} {neuron}{wired} {dataset}"


class Span(Strict):
    """The numbers between two ends."""

    low: int | float
    high: int | float
    scale: Literal["linear", "log"] = "linear"
    """Whether equal differences or equal ratios count alike."""

    def edge(self, value: float) -> str | None:
        """Return `smallest` or `largest` for a value in the outer `EDGE` of the span at that end; None in between."""
        low, high, value = (
            math.log(number) if self.scale == "log" else number for number in (self.low, self.high, value)
        )
        share = (value - low) / (high - low)
        return "smallest" if share <= EDGE else "largest" if share >= 1 - EDGE else None


EDGE = 0.05
"""Share of a span that is its edge, at each end."""


class TrialResult(Strict):
    """Result of one trial of a tuning."""

    values: dict[str, Any]
    """Values of the options, by their names in the suite's `tune`."""
    validation: float | None
    """Mean over the replicates of the headline metric on the validation split, in the best epoch of each; null: a
    replicate failed."""


class Tuning(Strict):
    """How the values of some options of a run were chosen."""

    metric: str
    """The headline metric."""
    seed: NonNegativeInt
    """Base seed of the trials."""
    replicates: PositiveInt
    """Runs of each trial."""
    trials: list[TrialResult]
    chosen: NonNegativeInt
    """Index of the trial whose values the run has."""
    sampler: str = "grid"
    """What proposed the trials: `grid`, or a library with its version."""
    spans: dict[str, Span] = {}
    """The ranges from which a library proposed numbers, by the names of the options."""

    @property
    def at_edge(self) -> list[str]:
        """The options whose chosen value is an end of its grid of numbers, or at an edge of its span, such as
        `largest training.learning_rate`."""
        ends = []
        for name, value in self.trials[self.chosen].values.items():
            if name in self.spans:
                ends += [f"{edge} {name}"] if (edge := self.spans[name].edge(value)) else []
                continue
            grid = {str(trial.values[name]): trial.values[name] for trial in self.trials}.values()
            numeric = all(isinstance(number, int | float) and not isinstance(number, bool) for number in grid)
            if len(grid) > 1 and numeric and value in (min(grid), max(grid)):
                ends.append(f"{'largest' if value == max(grid) else 'smallest'} {name}")
        return ends


class InitialWeights(Strict):
    """The weights with which a run begins, in place of random ones."""

    file: str
    """Path of the file."""
    sha256: str
    """SHA-256 of the file."""
    run: str | None
    """Id of the run that trained them; null: a file that the suite names."""


NOT_IN_ID = {"keep_weights", "trial", "tuning", "initial_weights"}
"""Fields of a spec that are not part of the id as they are: no number depends on the first three, and of the initial
weights only their SHA-256 counts."""
LATER_DEFAULTS = {"momentum": 0.0, "nesterov": False, "mean_of_last": 1, "norm_in": "float32"}
"""Defaults of fields of `Training` that were added after runs had been committed. At its default such a field is not
part of the id, so that the ids of these runs stay."""


class RunSpec(Strict):
    """One run: a cell (rule x neuron x network x dataset) at one scale, and the number of the replicate."""

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
    """Base seed of the suite; each random stream is derived from (seed, purpose, replicate)."""
    threads: PositiveInt = 1
    device: Device = "cpu"
    keep_weights: bool = False
    """Whether the trained weights are written beside the record. The id does not depend on it: no number changes."""
    trial: dict[str, Any] = {}
    """Values of the options under trial, in a run of a tuning; `rule`, `training`, ... contain them, too."""
    tuning: Tuning | None = None
    """The tuning that chose values of this run; null: none."""
    initial_weights: InitialWeights | None = None
    """The file that `training.initial_weights` denotes, found when the run is planned; null: random weights."""

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """Labels of rule, neuron, network and dataset; replicates of a cell share them."""
        return (self.rule.label, self.neuron.label, self.network.label, self.dataset.label)

    @property
    def label(self) -> str:
        """Display name such as `fptt ltc digits #0`; the network appears unless it is `recurrent`."""
        return f"{cell_label(*self.cell)} #{self.replicate}"

    def id(self, code: dict[str, str]) -> str:
        """Run id: 12 hexadecimal digits of the SHA-256 of the spec and the digests of the components' code."""
        return id_of(self.model_dump(mode="json", exclude=NOT_IN_ID - {"initial_weights"}), code)


def id_of(spec: Mapping[str, Any], code: Mapping[str, str]) -> str:
    """Return the id of a run from its spec as JSON has it, which may lack fields that were added since."""
    weights = {"initial_weights": spec["initial_weights"]["sha256"]} if spec.get("initial_weights") else {}
    determining = {name: value for name, value in spec.items() if name not in NOT_IN_ID}
    later = LATER_DEFAULTS.items()
    determining["training"] = {k: value for k, value in spec["training"].items() if (k, value) not in later}
    text = json.dumps({"spec": determining, "code": code, **weights}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
