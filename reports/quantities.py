"""Presentation of each measure: its title, unit, digits, and the protocol behind the number."""

from __future__ import annotations

import math
from typing import NamedTuple

from throughtime.records.statistics import Interval

LEVEL = 0.95
INTERVAL = f"{100 * LEVEL:.0f} % Student t interval"
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

    def show_interval(self, interval: Interval) -> str:
        """Format an interval as `93.2 ± 1.1`, or `93.2` for a single value."""
        mean = self.show(interval.mean)
        return mean if interval.half is None else f"{mean} ± {self.show(interval.half, digits=2)}"


_FINAL = "test split, weights of the final epoch"
_BEST = "test split, weights of the epoch that was best on the validation split"
_ALONE = "in a separate pass, on the first replicate of a cell"
_TIME = f"median over repeats after a warm-up, {_ALONE}"
_PEAK = f"growth of the process's peak during training, model and input batch not counted, {_ALONE}"
_ALLOCATED = f"memory allocated by PyTorch's allocator during training, model and input batch not counted, {_ALONE}"
_CUDA = f"memory of the device above its level with model and input batch, {_ALONE}"
_BYTES = f"exact bytes, counted by storage during training on a batch, {_ALONE}"
_OPERATIONS = ("thousands a sequence", "operations a sequence", 1e-3, None, _FINAL)

QUANTITIES = {
    "metric": Quantity("metric", "", "", 1, None, _FINAL),
    "metric_best_validation": Quantity("metric", "", "", 1, None, _BEST),
    "loss": Quantity("training loss", "", "1", 1, None, "mean over the final epoch"),
    "firing_rate": Quantity("firing rate", "spikes a neuron and step", "spikes per neuron and step", 1, None, _FINAL),
    "regulariser_ratio": Quantity("‖∇R‖ / ‖∇l‖", "", "1", 1, None, "root mean squares over the final epoch"),
    "training_time": Quantity("training time", "s", "second", 1, None, "the whole train pass"),
    "wall_time": Quantity("wall time", "ms a sequence", "second a sequence", 1e3, None, _TIME),
    "wall_time_step": Quantity("wall time", "µs a sequence and step", "second a sequence and step", 1e6, None, _TIME),
    "compile_time": Quantity("compile time", "s", "second", 1, None, f"before the warm-up, {_ALONE}"),
    "floor_time": Quantity(
        "floor", "ms a sequence", "second a sequence", 1e3, None, f"at this machine's rates, {_ALONE}"
    ),
    "time_over_floor": Quantity("wall time / floor", "", "1", 1, None, _TIME),
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
    "peak_live_bytes_streamed": Quantity("peak of live tensors, input streamed", "MiB", "byte", 1 / MIB, None, _BYTES),
}

UNITS = {"fraction": ("%", 100, 1), "byte": ("MiB", 1 / MIB, None), "1": ("", 1, None)}
"""Unit, factor and decimals by recorded unit; values in other units are shown as recorded."""


def quantity(measure: str, unit: str = "") -> Quantity:
    """Return the presentation of a measure. A part of a measure (`firing_rate.layer1`) is shown like the whole; other
    measures are shown by their recorded unit."""
    if measure in QUANTITIES:
        return QUANTITIES[measure]
    whole, _, part = measure.partition(".")
    if whole in QUANTITIES:
        shown = f": {part}" if not part.startswith("layer") else f" of layer {part.removeprefix('layer')}"
        return QUANTITIES[whole]._replace(title=f"{QUANTITIES[whole].title}{shown}")
    title = measure.removesuffix("_best_validation")
    shown, factor, decimals = UNITS.get(unit, (unit, 1, None))
    return Quantity(title, shown, unit, factor, decimals, "as recorded" if title == measure else _BEST)


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
