"""Presentation of each measure: its title, unit, digits, and the protocol behind the number."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from throughtime.records.statistics.interval import Interval, Scale, in_range, mean_interval

LEVEL = 0.95
INTERVAL = f"{100 * LEVEL:.0f} % Student t interval"
INTERVAL_FROM = 5
"""Smallest number of replicates with an interval; of fewer, the single values say more."""
MIB = 2**20


class Quantity(NamedTuple):
    """Presentation of a measure: shown value = recorded value x `factor`, in `unit`."""

    title: str
    unit: str
    recorded: str
    """Unit of the value in the record."""
    factor: float
    decimals: int | None
    """Digits after the point; None: three significant digits."""
    protocol: str
    """The protocol of measurement."""

    @property
    def label(self) -> str:
        """Title with unit, for a table row or an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def show(self, value: float, digits: int = 3) -> str:
        """Format a recorded value in `unit`, without the unit."""
        shown = value * self.factor
        return significant(shown, digits) if self.decimals is None else f"{shown:.{self.decimals}f}"

    def show_deviation(self, deviation: float, mean: float) -> str:
        """Format a standard deviation with two digits, and with no fewer decimals than its mean."""
        shown, places = self.show(deviation, digits=2), len(self.show(mean).partition(".")[2])
        fewer = len(shown.partition(".")[2]) < places and "e" not in self.show(mean)
        return f"{deviation * self.factor:.{places}f}" if fewer else shown

    def show_replicates(self, interval: Interval, values: Sequence[float]) -> str:
        """Format the mean of some replicates: `93.2 [91.9, 94.1] (n=5)` with an interval, `93.2 (92.8, 93.6)` with the
        single values, `93.2 (n=2)` for values that agree in all digits shown."""
        mean = self.show(interval.mean)
        if interval.low is not None and interval.high is not None:
            return f"{mean} [{self.show(interval.low)}, {self.show(interval.high)}] (n={interval.n})"
        singles = [self.show(value) for value in values]
        return f"{mean} (n={interval.n})" if set(singles) == {mean} else f"{mean} ({', '.join(singles)})"


_FINAL = "test split, weights of the final epoch"
_BEST = "test split, weights of the epoch that was best on the validation split"
_VALIDATION = "validation split, weights of the epoch that was best on it"
_AUTHORS = "test split, best epoch on the test split itself: the authors' protocol of many papers, too good by chance"
PROTOCOLS = {"_best_validation": _BEST, "_validation": _VALIDATION, "_best_test": _AUTHORS}
"""Ends of the names of a metric's measures, and their protocols; without an end: the final epoch."""
_ALONE = "in a separate pass, on the first replicate of a cell"
_TIME = f"median over repeats after a warm-up, {_ALONE}"
_PEAK = f"growth of the process's peak during training, model and input batch not counted, {_ALONE}"
_ALLOCATED = f"memory allocated by PyTorch's allocator during training, model and input batch not counted, {_ALONE}"
_CUDA = f"memory of the device above its level with model and input batch, {_ALONE}"
_BYTES = f"exact bytes, counted by storage during training on a batch, {_ALONE}"
_EVALUATED = f"exact bytes, counted by storage during evaluation of a batch, {_ALONE}"
_OPERATIONS = ("thousands a sequence", "operations a sequence", 1e-3, None, _FINAL)

QUANTITIES = {
    "metric": Quantity("metric", "", "", 1, None, _FINAL),
    **{f"metric{end}": Quantity("metric", "", "", 1, None, protocol) for end, protocol in PROTOCOLS.items()},
    "loss": Quantity("training loss", "", "1", 1, None, "mean over the final epoch"),
    "firing_rate": Quantity("firing rate", "spikes a neuron and step", "spikes per neuron and step", 1, None, _FINAL),
    "regulariser_ratio": Quantity("‖∇R‖ / ‖∇l‖", "", "1", 1, None, "root mean squares over the final epoch"),
    "zeroed_updates": Quantity("clipped to 0", "updates", "update", 1, None, "the whole train pass"),
    "training_time": Quantity("training time", "s", "second", 1, None, "the whole train pass"),
    "wall_time": Quantity("wall time", "ms a sequence", "second a sequence", 1e3, None, _TIME),
    "wall_time_step": Quantity("wall time", "µs a sequence and step", "second a sequence and step", 1e6, None, _TIME),
    "compile_time": Quantity("compile time", "s", "second", 1, None, f"before the warm-up, {_ALONE}"),
    "floor_time": Quantity(
        "floor", "ms a sequence", "second a sequence", 1e3, None, f"at this machine's rates, {_ALONE}"
    ),
    "time_over_floor": Quantity("wall time / floor", "", "1", 1, None, _TIME),
    "time_over_bptt": Quantity("wall time / BPTT's", "", "1", 1, None, f"median over turns with BPTT, {_ALONE}"),
    "activation_sparsity": Quantity("activation sparsity", "%", "fraction", 100, 1, _FINAL),
    "synaptic_operations.dense": Quantity("synaptic operations, dense", *_OPERATIONS),
    "synaptic_operations.effective_macs": Quantity("synaptic operations, effective MACs", *_OPERATIONS),
    "synaptic_operations.effective_acs": Quantity("synaptic operations, effective ACs", *_OPERATIONS),
    "peak_process_bytes": Quantity("peak memory", "MiB", "byte", 1 / MIB, None, _PEAK),
    "peak_allocator_bytes": Quantity("peak of the allocator", "MiB", "byte", 1 / MIB, None, _ALLOCATED),
    "peak_cuda_allocated_bytes": Quantity("peak of CUDA memory, allocated", "MiB", "byte", 1 / MIB, None, _CUDA),
    "peak_cuda_reserved_bytes": Quantity("peak of CUDA memory, reserved", "MiB", "byte", 1 / MIB, None, _CUDA),
    "peak_live_bytes": Quantity("peak of live tensors", "MiB", "byte", 1 / MIB, None, _BYTES),
    "peak_live_bytes_without_input": Quantity("peak of live tensors, less input", "MiB", "byte", 1 / MIB, None, _BYTES),
    "peak_live_bytes_evaluation": Quantity(
        "peak of live tensors, evaluation", "MiB", "byte", 1 / MIB, None, _EVALUATED
    ),
    "peak_live_bytes_streamed": Quantity("peak of live tensors, input streamed", "MiB", "byte", 1 / MIB, None, _BYTES),
}

UNITS = {"fraction": ("%", 100, 1), "byte": ("MiB", 1 / MIB, None), "1": ("", 1, None)}
"""Unit, factor and decimals by recorded unit; values in other units are shown as recorded."""


@functools.cache
def quantity(measure: str, unit: str = "") -> Quantity:
    """Return the presentation of a measure. A part of a measure (`firing_rate.layer1`) is shown like the whole; other
    measures are shown by their recorded unit."""
    if measure in QUANTITIES:
        return QUANTITIES[measure]
    whole, _, part = measure.partition(".")
    if whole in QUANTITIES:
        shown = f": {part}" if not part.startswith("layer") else f" of layer {part.removeprefix('layer')}"
        return QUANTITIES[whole]._replace(title=f"{QUANTITIES[whole].title}{shown}")
    title = without_protocol(measure)
    shown, factor, decimals = UNITS.get(unit, (unit, 1, None))
    return Quantity(title, shown, unit, factor, decimals, PROTOCOLS.get(measure.removeprefix(title), "as recorded"))


def without_protocol(measure: str) -> str:
    """Return the name of a metric without the end that names its protocol."""
    end = next((end for end in PROTOCOLS if measure.endswith(end)), "")
    return measure.removesuffix(end)


SCALES: dict[str, Scale] = {
    **dict.fromkeys(("fraction", "spikes per neuron and step", "wall_time_drift"), "logit"),
    **dict.fromkeys(("byte", "joule", "second", "second a sequence", "second a sequence and step"), "log"),
    **dict.fromkeys(
        ("operations a sequence", "byte a second", "flop a second", "time_over_floor", "time_over_bptt"), "log"
    ),
    **dict.fromkeys(("mse", "loss", "regulariser_ratio", "alignment_norm_ratio"), "log"),
    "alignment_cosine": "atanh",
}
"""Scale of the interval, by name of a measure without its part and protocol, or by recorded unit; others: identity."""


def replicate_interval(values: Iterable[float], measure: str, unit: str) -> Interval:
    """Return the mean over replicates, with its interval on the scale of the measure from `INTERVAL_FROM` values on.

    Args:
        values: one number per replicate, not empty.
        measure: name of the measure.
        unit: its unit in the records.
    """
    numbers = list(values)
    name = without_protocol(measure.partition(".")[0])
    scale = SCALES.get(name, SCALES.get(unit, "identity"))
    # A process may shrink, and rounding gives a cosine of 1 + 1e-8.
    interval = mean_interval(numbers, LEVEL, scale if in_range(numbers, scale) else "identity")
    return interval if len(numbers) >= INTERVAL_FROM else interval._replace(low=None, high=None)


def significant(value: float, digits: int = 3) -> str:
    """Format with at least `digits` significant digits, without exponent from 1e-4 to 1e6: 0.0500, 1235, 1.20e-05."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = abs(value)
    if not 1e-4 <= size < 1e6:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"


def shown_in_unit(value: float, unit: str) -> str:
    """Format a recorded value in a readable unit; bytes are given exactly and in MiB."""
    if unit == "byte":
        return f"{significant(value / MIB)} MiB ({value:,.0f} byte)"
    if unit == "fraction":
        return f"{100 * value:.2f} %"
    if unit.startswith("second"):
        factor, name = (1, "s") if abs(value) >= 1 else (1e3, "ms") if abs(value) >= 1e-3 else (1e6, "µs")
        return f"{significant(value * factor)} {name}{unit.removeprefix('second')}"
    return f"{significant(value, 4)} {'' if unit == '1' else unit}".strip()
