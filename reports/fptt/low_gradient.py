"""Whether FPTT, or windows alone, learn the adding task better than BPTT with a low surrogate gradient."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.summary import Lean, differs
from throughtime.reports.fptt.adding import TRIVIAL
from throughtime.reports.fptt.evidence import EvidenceCell, ended_runs, reached
from throughtime.reports.papers.claims import Answer, NeededSize, Values, in_common, judged
from throughtime.spec import Scale

ITERATIONS = 600
RULES = {"FPTT": "fptt-γ=0.1", "windows": "windows-γ=0.1"}
"""Rules that are compared with BPTT; Holm's correction is over both."""


def exceeds_bptt(results: Results, rule: str) -> Answer:
    """Judge whether a rule is better than BPTT on the adding task at T = 500, LTC with adaptation, γ = 0.1.

    log10 of the mean error over the last 100 iterations of a replicate less that of BPTT; a run that diverged has the
    error of a constant answer. The mean is below 0 by Student's t test after Holm's correction over `RULES`.
    """

    def number(runs: Results) -> Values:
        bptt = _levels(runs, "bptt-γ=0.1")
        return in_common({name: _levels(runs, label) - bptt for name, label in RULES.items()})

    def holds(values: Values) -> Lean:
        differ = dict(zip(values, differs([*values.values()]), strict=True))
        return "neither" if not differ[rule] else "for" if np.mean(values[rule]) < 0 else "against"

    def missing(runs: Results, scale: Scale) -> str:
        done = min(reached(runs, _cell(label)).iterations for label in RULES.values())
        return "" if done >= ITERATIONS else f"{done} of {ITERATIONS} iterations"

    def show(values: Values) -> str:
        factors = {name: 10 ** float(np.mean(row)) for name, row in values.items()}
        return "; ".join(f"{name}: {factor:.2g} times BPTT's" for name, factor in factors.items())

    reason = "geometric mean of the errors at the end"
    return judged(results, number, holds, reason, NeededSize(missing), 5, show)


def _cell(label: str) -> EvidenceCell:
    return EvidenceCell(500, label, "ltc", "fptt-bptt")


def _levels(runs: Results, label: str) -> pd.Series:
    """Return log10 of the error at the end of the runs of a rule, by replicate."""
    ended = reached(runs, _cell(label)).end
    errors = [mse if math.isfinite(mse) else TRIVIAL for mse in ended]
    return pd.Series(np.log10(errors), ended_runs(runs, _cell(label))["replicate"], dtype=float)
