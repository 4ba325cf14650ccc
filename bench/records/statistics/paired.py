"""Difference of two groups of runs, sequence by sequence: an interval over sequences and runs together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from throughtime.records.statistics.interval import Interval


def paired_difference(base: Sequence[Sequence[bool]], new: Sequence[Sequence[bool]]) -> Interval:
    """Return the mean difference of the shares of right sequences, new − base, with Student's t interval of 95 %.

    The sequences i of the test split are the same for all runs r, and a run of `new` is paired with the run of `base`
    of the same replicate. Runs and sequences are both samples, so that the interval is for other runs and other data:

        d_ri = new_ri − base_ri        v_r = s²(mean over i of d_ri) / R        v_i = s²(mean over r of d_ri) / n
        v_e = Σ_ri (d_ri − d_r − d_i + d)² / ((R − 1) (n − 1) R n)
        V = max(v_r + v_i − v_e, v_r, v_i, v_e)
        ν = V² / (v_r² / (R − 1) + v_i² / (n − 1) + v_e² / ((R − 1) (n − 1))), at least min(R, n) − 1
        d ± t(ν) √V

    v_r and v_i both contain the interaction of runs and sequences, v_e, which is subtracted once; no part of the
    variance is larger than the whole.

    Args:
        base: [R, n], the outcomes of each run.
        new: the same, of the same sequences.

    Returns:
        The mean difference, the ends and R; the ends are None for R = 1 or n = 1, where a variance is unknown.

    Raises:
        ValueError: the groups differ in the number of runs or of sequences, or have none.
    """
    d = np.array(new, dtype=float) - np.array(base, dtype=float)
    if d.ndim != 2 or not d.size:
        raise ValueError("not the outcomes of the same sequences in each run")
    R, n = d.shape
    mean = float(d.mean())
    if R == 1 or n == 1:
        return Interval(mean, None, None, R)
    run_means, sequence_means = d.mean(1), d.mean(0)
    v_r, v_i = float(run_means.var(ddof=1)) / R, float(sequence_means.var(ddof=1)) / n
    rest = d - run_means[:, None] - sequence_means + mean
    v_e = float((rest**2).sum()) / ((R - 1) * (n - 1) * R * n)
    V = max(v_r + v_i - v_e, v_r, v_i, v_e)
    if V == 0:
        return Interval(mean, mean, mean, R)
    ν = V**2 / (v_r**2 / (R - 1) + v_i**2 / (n - 1) + v_e**2 / ((R - 1) * (n - 1)))
    half = float(stdtrit(max(ν, min(R, n) - 1), 0.975)) * math.sqrt(V)
    return Interval(mean, mean - half, mean + half, R)
