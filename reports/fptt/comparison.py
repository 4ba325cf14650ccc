"""Verdicts on accuracies and times of pairs of series, at the largest scale at which both were run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.cells import groups
from throughtime.reports.growth import exponents
from throughtime.reports.papers.verdicts import FEWEST, Answer, Word, at_a_scale, decided
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
    """Mean test accuracy of a cell with its standard error; 0 for a run that diverged."""

    dataset: str
    network: str
    neuron: str
    mean: float
    error: float
    n: int


FPTT_LTC = Series("fptt", ("ltc", "ltc_smnist"))


def accuracies(results: Results, suite: str, scale: Scale, series: Series) -> list[Accuracy]:
    """Return the accuracies of a series, of each dataset, network and neuron with `FEWEST` runs or more."""
    runs = results.select(suite, scale).frame
    runs = runs[(runs["rule"] == series.rule) & runs["neuron"].isin(series.neurons)]
    columns = ["dataset", "network", "neuron", "status", "accuracy"]
    runs = runs[runs["status"].isin(("ok", "diverged"))].reindex(columns=columns)
    found = []
    for (dataset, network, neuron), of in groups(runs, columns[:3]):
        values = of["accuracy"].where(of["status"] == "ok", 0.0).dropna()
        if (n := len(values)) >= FEWEST:
            found.append(Accuracy(dataset, network, neuron, float(values.mean()), float(values.sem()), n))
    return found


def exceeds(results: Results, suites: tuple[str, ...], first: Series, second: Series, margin: float = 0.0) -> Answer:
    """Judge whether the first series is more accurate than the second, plus a margin, on all datasets that both have.

    supported: by more than two standard errors everywhere; not supported: below the margin by more than two somewhere.
    """

    def at(scale: Scale) -> Answer | None:
        pairs = list(_pairs(results, suites, scale, first, second))
        if not pairs:
            return None
        differences = [(a.mean - b.mean - margin, 2 * math.hypot(a.error, b.error)) for a, b in pairs]
        word: Word = "unclear"
        if all(off > reach for off, reach in differences):
            word = "supported"
        elif any(off < -reach for off, reach in differences):
            word = "not supported"
        ours = ", ".join(f"{a.dataset}: {100 * (a.mean - b.mean):+.1f}" for a, b in pairs)
        reason = f"{first} less {second}, points of accuracy; to exceed {100 * margin:g} by 2 standard errors"
        return decided(word, ours, reason, min(min(a.n, b.n) for a, b in pairs), scale)

    return at_a_scale(at, f"no dataset of {', '.join(suites)} has {FEWEST} runs of {first} and of {second}")


def _pairs(
    results: Results, suites: tuple[str, ...], scale: Scale, first: Series, second: Series
) -> Iterator[tuple[Accuracy, Accuracy]]:
    """Yield the accuracies of both series on each dataset; if they have neurons in common, in the same network."""
    alike = set(first.neurons) & set(second.neurons)
    for suite in suites:
        theirs = accuracies(results, suite, scale, second)
        for a in accuracies(results, suite, scale, first):
            yield from ((a, b) for b in theirs if a.dataset == b.dataset and (not alike or a[:3] == b[:3]))


def is_flat(results: Results, series: Series) -> Answer:
    """Judge whether the accuracy of a series varies by at most `RANGE` over the numbers of frames of each data set."""

    def at(scale: Scale) -> Answer | None:
        families: dict[tuple[str, str, str], list[Accuracy]] = {}
        for one in accuracies(results, FRAMES, scale, series):
            families.setdefault((one.dataset.split("-")[0], one.network, one.neuron), []).append(one)
        families = {name: found for name, found in families.items() if len(found) > 1}
        if not families:
            return None
        word: Word = "supported"
        ours = []
        for (name, _, _), found in families.items():
            low, *_, high = sorted(found, key=lambda accuracy: accuracy.mean)
            spread, reach = high.mean - low.mean, 2 * math.hypot(low.error, high.error)
            ours.append(f"{name}: {100 * spread:.1f}")
            if spread > RANGE:
                word = "not supported" if spread - reach > RANGE else "unclear" if word == "supported" else word
        n = min(accuracy.n for found in families.values() for accuracy in found)
        reason = f"range of the accuracies of {series} over the numbers of frames, points; at most {100 * RANGE:g}"
        return decided(word, ", ".join(ours), reason, n, scale)

    return at_a_scale(at, f"no data set of {FRAMES} has {FEWEST} runs of {series} at two numbers of frames")


def trains(results: Results, *neurons: str) -> Answer:
    """Judge whether FPTT trains neurons, each on some data set of the suite of frames.

    No run may diverge, and each must be more than twice as accurate as chance.
    """

    def at(scale: Scale) -> Answer | None:
        runs = results.select(FRAMES, scale).frame
        runs = runs[(runs["rule"] == "fptt") & runs["status"].isin(("ok", "diverged"))]
        found = {neuron: runs[runs["neuron"] == neuron] for neuron in neurons}
        if not (n := min(map(len, found.values()))):
            return None
        diverged = int((pd.concat(found.values())["status"] == "diverged").sum())
        learnt = {name: float((of["accuracy"] / of["chance"]).min()) for name, of in found.items()}
        ours = ", ".join(f"{name}: {times:.1f}" for name, times in learnt.items())
        reason = f"least accuracy as a multiple of chance, more than 2 needed; {diverged} runs diverged"
        return decided(not diverged and min(learnt.values()) > 2, ours, reason, n, scale)

    return at_a_scale(at, f"no runs of FPTT with each of {', '.join(neurons)}")


def grows(results: Results, rule: str, least: float, most: float) -> Answer:
    """Judge whether the time of a sequence grows with its frames by a power between two bounds. Times that were taken
    on a busy machine decide nothing."""

    def at(scale: Scale) -> Answer | None:
        found = exponents(results.select(TIME, scale))
        found = found[(found["rule"] == rule) & (found["size"] == "T") & (found["measure"] == "wall_time")]
        if found.empty:
            return None
        row = found.iloc[0]
        word: Word = "supported" if least <= row["exponent"] <= most else "not supported"
        reason = f"exponent of the time of a sequence in its frames, {row['sizes']}; from {least} to {most}"
        if row["contended"]:
            word, reason = "unclear", f"{reason}; the machine was busy"
        return Answer(word, f"{rule}: {row['exponent']:.2f}", reason, int(row["n"]), scale)

    return at_a_scale(at, f"no run of {TIME} at two numbers of frames")


def is_faster(results: Results, first: str, second: str) -> Answer:
    """Judge whether a rule needs less time than another at each number of frames; see `grows` for a busy machine."""

    def at(scale: Scale) -> Answer | None:
        runs = results.select(TIME, scale).frame.reindex(columns=["steps", "rule", "contended", "wall_time"])
        times = runs.pivot_table(index="steps", columns="rule", values="wall_time")
        if not {first, second} <= set(times) or not len(ratio := (times[first] / times[second]).dropna()):
            return None
        word: Word = "supported" if (ratio < 1).all() else "not supported"
        reason = f"time of {first} over that of {second}, by frames"
        if runs.loc[runs["rule"].isin((first, second)), "contended"].any():
            word, reason = "unclear", f"{reason}; the machine was busy"
        ours = ", ".join(f"{steps:.0f}: {value:.2f}" for steps, value in ratio.items())
        return Answer(word, ours, reason, len(ratio), scale)

    return at_a_scale(at, f"no run of {TIME} with both rules")
