"""Verdicts on the deep networks: what the detector finds, and how often the layers spike."""

from __future__ import annotations

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.papers.verdicts import FEWEST, Answer, Word, at_a_scale
from throughtime.spec import Scale

DETECTION = "fptt-detection"
CLASSIFIERS = ("fptt-static", "fptt-gestures")
PERFORMANT = 0.5
"""mAP at an IoU of 0.5 that the detector must reach; the authors' has 0.53 on the test images of VOC 2007."""
SPARSE = 0.17
"""Largest mean firing rate of the layers that counts as sparse; in the authors' two logs it is 0.125 to 0.165."""
RATES = "firing_rate."
"""Beginning of the names of the layers' firing rates."""


def detects(results: Results) -> Answer:
    """Judge whether FPTT trains the detector to an mAP of `PERFORMANT`, on all data sets of a scale.

    supported: by more than two standard errors everywhere; not supported: below it by more than two somewhere, with the
    network and the images of the paper's size. Smaller ones refute nothing. A run that diverged has an mAP of 0.
    """

    def at(scale: Scale) -> Answer | None:
        runs = _runs_of_fptt(results, DETECTION, scale).reindex(columns=["dataset", "status", "mAP", "firing_rate"])
        found = {data: cell for data, cell in runs.groupby("dataset", sort=False) if len(cell) >= FEWEST}
        if not found:
            return None
        levels = [_mean(cell["mAP"].where(cell["status"] == "ok", 0.0)) for cell in found.values()]
        word: Word = "unclear"
        if all(mean - reach >= PERFORMANT for mean, reach in levels):
            word = "supported"
        elif scale == "paper" and any(mean + reach < PERFORMANT for mean, reach in levels):
            word = "not supported"
        ours = "; ".join(
            f"{data}: mAP {100 * mean:.1f}, firing rate {cell['firing_rate'].mean():.3f}"
            for (data, cell), (mean, _) in zip(found.items(), levels, strict=True)
        )
        reason = f"mAP at an IoU of 0.5, percent; at least {100 * PERFORMANT:g} by 2 standard errors"
        smaller = "" if scale == "paper" else "; a smaller network on smaller images refutes nothing"
        return Answer(word, ours, reason + smaller, min(map(len, found.values())), scale)

    return at_a_scale(at, f"no data set of {DETECTION} has {FEWEST} runs of FPTT")


def is_sparse(results: Results) -> Answer:
    """Judge whether the layers of networks that FPTT trains spike rarely: at most `SPARSE`, as a mean over the layers.

    supported: below it by more than two standard errors on all data sets; not supported: above it by more than two
    somewhere.
    """

    def at(scale: Scale) -> Answer | None:
        runs = pd.concat([_runs_of_fptt(results, suite, scale) for suite in CLASSIFIERS])
        runs = runs[runs["status"] == "ok"]
        found = {data: cell for data, cell in runs.groupby("dataset", sort=False) if len(cell) >= FEWEST}
        if not found:
            return None
        rates = {data: cell.filter(regex=f"^{RATES}").dropna(axis="columns") for data, cell in found.items()}
        levels = [_mean(of_layers.mean(axis="columns")) for of_layers in rates.values()]
        word: Word = "unclear"
        if all(mean + reach <= SPARSE for mean, reach in levels):
            word = "supported"
        elif any(mean - reach > SPARSE for mean, reach in levels):
            word = "not supported"
        ours = "; ".join(
            f"{data}: {mean:.3f} (layers {of_layers.mean().min():.3f} to {of_layers.mean().max():.3f})"
            for (data, of_layers), (mean, _) in zip(rates.items(), levels, strict=True)
        )
        reason = f"mean firing rate of the layers; at most {SPARSE:g} by 2 standard errors"
        return Answer(word, ours, reason, min(map(len, found.values())), scale)

    return at_a_scale(at, f"no data set of {' or '.join(CLASSIFIERS)} has {FEWEST} runs of FPTT")


def _runs_of_fptt(results: Results, suite: str, scale: Scale) -> pd.DataFrame:
    """Return the runs of FPTT of a suite that ended in themselves: ok, or diverged."""
    runs = results.select(suite, scale).frame
    return runs[(runs["rule"] == "fptt") & runs["status"].isin(("ok", "diverged"))]


def _mean(values: pd.Series) -> tuple[float, float]:
    """Return the mean, and two standard errors of it."""
    mean, error = map(float, values.agg(["mean", "sem"]))
    return mean, 2 * error
