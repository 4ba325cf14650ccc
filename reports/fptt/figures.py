"""Figures of Yin, Corradi and Bohte 2023, with the published values in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn
from throughtime.reports.fptt.ablation_figures import ablations, gates
from throughtime.reports.fptt.adding import SUITES
from throughtime.reports.fptt.adding_figures import against_iterations, against_updates, bars
from throughtime.reports.fptt.comparison import MOTIONS, SPEECH
from throughtime.reports.fptt.frames_figures import accuracy, memory, time
from throughtime.reports.fptt.ltc_figure import ltc_neuron
from throughtime.reports.fptt.silent_figure import silent

FIGURES: dict[str, Callable[[Results, str], Drawn | None]] = {
    **{f"adding-{T}": partial(against_iterations, T=T) for T in SUITES},
    **{f"adding-{T}-updates": partial(against_updates, T=T) for T in SUITES},
    "adding-bars": bars,
    "silent": silent,
    "ltc-neuron": ltc_neuron,
    "memory": memory,
    "time": time,
    "accuracy": accuracy,
    "accuracy-motions": partial(accuracy, suite=MOTIONS),
    "accuracy-speech": partial(accuracy, suite=SPEECH),
    "ablations": ablations,
    "gates": gates,
}
