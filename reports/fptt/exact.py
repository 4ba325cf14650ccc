"""Exact targets: firing rates of the authors' illustration of the LTC neuron, and the memory of a frame under FPTT."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from throughtime.reports.fptt.memory import slope
from throughtime.reports.papers.stored import stored

if TYPE_CHECKING:
    from throughtime.reports.fptt.ltc_neuron import Kind, Sweep


@stored
def rate(kind: Kind, sweep: Sweep, s: int) -> float:
    """Return the mean rate over 200 samples of the noise, at setting s of a sweep."""
    from throughtime.reports.fptt.ltc_neuron import rates  # imports torch

    return float(rates(kind, sweep)[s].mean())


ltc_noise_39, fixed_noise_39 = (partial(rate, kind, "noise", 39) for kind in ("ltc", "fixed"))
ltc_mean_0, fixed_mean_0 = (partial(rate, kind, "mean", 0) for kind in ("ltc", "fixed"))
ltc_mean_10, fixed_mean_10 = (partial(rate, kind, "mean", 10) for kind in ("ltc", "fixed"))
ltc_mean_20, fixed_mean_20 = (partial(rate, kind, "mean", 20) for kind in ("ltc", "fixed"))
ltc_spikes_25, fixed_spikes_25 = (partial(rate, kind, "spikes", 25) for kind in ("ltc", "fixed"))
fptt_memory = partial(slope, "fptt-step", "on the device")
