"""Verdicts on accuracies and times of pairs of series, at the largest scale at which both were run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from throughtime.comparing.published import FEWEST, Answer, Word
from throughtime.records.results import Results
from throughtime.reports.fptt.evidence import SCALES
from throughtime.reports.growth import exponents
from throughtime.spec import Scale

FRAMES, SEQUENCES, TIME = "fptt-frames", "fptt-sequences", "fptt-time"
RANGE = 0.04
"""Range of accuracies within which a series counts as flat, from the authors' 88.3 to 91.9 %."""


class Series(NamedTuple):
    """Cells of one rule and neurons, on several datasets."""

    rule: str
    neurons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.rule} {self.neurons[0]}"


class Accuracy(NamedTuple):
    """Mean test accuracy of a cell with its standard error."""

    mean: float
    error: float
    n: int


FPTT_LTC = Series("fptt", ("ltc", "ltc_smnist"))


def accuracies(results: Results, suite: str, scale: Scale, series: Series) -> dict[str, Accuracy]:
    """Return the accuracy of a series on each dataset, by its label, where `FEWEST` runs or more are ok."""
    runs = results.select(suite, scale).frame
    runs = runs[(runs["rule"] == series.rule) & runs["neuron"].isin(series.neurons) & (runs["status"] == "ok")]
    found = {}
    for dataset, values in runs.groupby("dataset", sort=False)["accuracy"] if "accuracy" in runs else ():
        if (n := values.count()) >= FEWEST:
            found[str(dataset)] = Accuracy(float(values.mean()), float(values.std()) / math.sqrt(n), int(n))
    return found


def exceeds(results: Results, suites: tuple[str, ...], first: Series, second: Series, margin: float = 0.0) -> Answer:
    """Judge whether the first series is more accurate than the second, plus a margin, on all datasets that both have.

    supported: by more than two standard errors everywhere; not supported: below the margin by more than two somewhere.
    """
    for scale in SCALES:
        pairs = list(_pairs(results, suites, scale, first, second))
        if pairs:
            differences = [(a.mean - b.mean - margin, 2 * math.hypot(a.error, b.error)) for _, a, b in pairs]
            word: Word = "unclear"
            if all(off > reach for off, reach in differences):
                word = "supported"
            elif any(off < -reach for off, reach in differences):
                word = "not supported"
            ours = ", ".join(f"{dataset}: {100 * (a.mean - b.mean):+.1f}" for dataset, a, b in pairs)
            reason = f"{first} less {second}, points of accuracy; to exceed {100 * margin:g} by 2 standard errors"
            return Answer(word, ours, reason, min(min(a.n, b.n) for _, a, b in pairs), scale)
    return Answer("not run here", "", f"no dataset of {', '.join(suites)} has {FEWEST} runs of {first} and of {second}")


def _pairs(
    results: Results, suites: tuple[str, ...], scale: Scale, first: Series, second: Series
) -> Iterator[tuple[str, Accuracy, Accuracy]]:
    for suite in suites:
        ours, theirs = (accuracies(results, suite, scale, series) for series in (first, second))
        yield from ((dataset, ours[dataset], theirs[dataset]) for dataset in ours if dataset in theirs)


def is_flat(results: Results, series: Series) -> Answer:
    """Judge whether the accuracy of a series varies by at most `RANGE` over the numbers of frames of each data set."""
    for scale in SCALES:
        families: dict[str, list[Accuracy]] = {}
        for dataset, accuracy in accuracies(results, FRAMES, scale, series).items():
            families.setdefault(dataset.split("-")[0], []).append(accuracy)
        families = {name: found for name, found in families.items() if len(found) > 1}
        if families:
            word: Word = "supported"
            ours = []
            for name, found in families.items():
                low, high = min(found), max(found)
                spread, reach = high.mean - low.mean, 2 * math.hypot(low.error, high.error)
                ours.append(f"{name}: {100 * spread:.1f}")
                if spread > RANGE:
                    word = "not supported" if spread - reach > RANGE else "unclear" if word == "supported" else word
            n = min(accuracy.n for found in families.values() for accuracy in found)
            reason = f"range of the accuracies of {series} over the numbers of frames, points; at most {100 * RANGE:g}"
            return Answer(word, ", ".join(ours), reason, n, scale)
    return Answer("not run here", "", f"no data set of {FRAMES} has {FEWEST} runs of {series} at two numbers of frames")


def trains(results: Results, *neurons: str) -> Answer:
    """Judge whether FPTT trains neurons, each on some data set of the suite of frames.

    No run may diverge, and each must be more than twice as accurate as chance.
    """
    for scale in SCALES:
        runs = results.select(FRAMES, scale).frame
        runs = runs[(runs["rule"] == "fptt") & runs["status"].isin(("ok", "diverged"))]
        found = {neuron: runs[runs["neuron"] == neuron] for neuron in neurons}
        n = min(map(len, found.values()))
        if n >= FEWEST:
            diverged = int((pd.concat(found.values())["status"] == "diverged").sum())
            learnt = {name: float((of["accuracy"] / of["chance"]).min()) for name, of in found.items()}
            word: Word = "supported" if not diverged and min(learnt.values()) > 2 else "not supported"
            ours = ", ".join(f"{name}: {times:.1f}" for name, times in learnt.items())
            reason = f"least accuracy as a multiple of chance, more than 2 needed; {diverged} runs diverged"
            return Answer(word, ours, reason, n, scale)
    return Answer("not run here", "", f"fewer than {FEWEST} runs of FPTT with each of {', '.join(neurons)}")


def grows(results: Results, rule: str, least: float, most: float) -> Answer:
    """Judge whether the time of a sequence grows with its frames by a power between two bounds. Times that were taken
    on a busy machine decide nothing."""
    for scale in SCALES:
        found = exponents(results.select(TIME, scale))
        found = found[(found["rule"] == rule) & (found["size"] == "T") & (found["measure"] == "wall_time")]
        if len(found):
            row = found.iloc[0]
            word: Word = "supported" if least <= row["exponent"] <= most else "not supported"
            reason = f"exponent of the time of a sequence in its frames, {row['sizes']}; from {least} to {most}"
            if row["contended"]:
                word, reason = "unclear", f"{reason}; the machine was busy"
            return Answer(word, f"{rule}: {row['exponent']:.2f}", reason, int(row["n"]), scale)
    return Answer("not run here", "", f"no run of {TIME} at two numbers of frames")


def is_faster(results: Results, first: str, second: str) -> Answer:
    """Judge whether a rule needs less time than another at each number of frames; see `grows` for a busy machine."""
    for scale in SCALES:
        runs = results.select(TIME, scale).frame
        if "wall_time" in runs:
            times = runs.pivot_table(index="steps", columns="rule", values="wall_time")
            if {first, second} <= set(times) and len(ratio := (times[first] / times[second]).dropna()):
                word: Word = "supported" if (ratio < 1).all() else "not supported"
                reason = f"time of {first} over that of {second}, by frames"
                if runs.loc[runs["rule"].isin((first, second)), "contended"].any():
                    word, reason = "unclear", f"{reason}; the machine was busy"
                ours = ", ".join(f"{steps:.0f}: {value:.2f}" for steps, value in ratio.items())
                return Answer(word, ours, reason, len(ratio), scale)
    return Answer("not run here", "", f"no run of {TIME} with both rules")
