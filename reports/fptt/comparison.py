"""Verdicts on the accuracies of pairs of series, on datasets and over numbers of frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    FEWEST_REPLICATES,
    Answer,
    NeededSize,
    Values,
    Within,
    all_or_none,
    differences,
    in_common,
    judged,
    means,
    paper_scale,
)
from throughtime.spec import Scale

FRAMES, MOTIONS, SPEECH = "fptt-frames", "fptt-motions", "fptt-speech"
SEQUENCES, SMNIST, PSMNIST = "fptt-sequences", "fptt-smnist", "fptt-psmnist"
PAPER = "scale paper: all data, the paper's network and epochs"
ACCURACY = "summary and statistics after the runs of scale laptop: 2026-11-28; before those of scale paper"
IN_SUITE = "before the runs, in the suite: 2026-11-30"


class Series(NamedTuple):
    """Cells of one rule and neurons, on several datasets."""

    rule: str
    neurons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.rule} {self.neurons[0]}"


LTC = ("ltc", "ltc_smnist")
FPTT, BPTT, BPTT_AUX = (Series(rule, LTC) for rule in ("fptt", "bptt", "bptt-aux"))
EPROP = Series("eprop", ("alif",))
PAPER_SIZE = paper_scale()
CELL = ["suite", "dataset", "steps", "replicate", "network", "neuron"]


def with_frames(suite: str, frames: tuple[int, ...], epochs: int, n: int, first: Series, second: Series) -> NeededSize:
    """Return the size of n runs of both series of a suite at each of some numbers of frames, of some epochs."""

    def missing(results: Results, scale: Scale) -> str:
        short = []
        for series in (first, second):
            runs = _ended(results, (suite,), series)
            counts = runs[runs["epochs"] >= epochs].groupby("steps")["replicate"].nunique()
            short += [
                f"{counts.get(T, 0)} of {n} runs of {series} with {T} frames" for T in frames if counts.get(T, 0) < n
            ]
        return f"{', '.join(short)}, {epochs} epochs" if short else ""

    return NeededSize(missing)


def exceeds(
    results: Results,
    suites: tuple[str, ...],
    first: Series,
    second: Series,
    margin: float = 0.0,
    size: NeededSize = PAPER_SIZE,
) -> Answer:
    """Judge whether the first series is more accurate than the second, by more than a margin in points.

    Summary: the difference of the accuracies of a replicate, mean over the datasets that both have and over n >= 3
    replicates; the numbers of frames of a dataset are averaged first.
    """

    def gain(runs: Results) -> Values:
        pairs = _differences(runs, suites, first, second)
        if pairs.empty:
            return {}
        family_points = pairs.groupby(["family", "replicate"], sort=False)["points"].mean()
        return in_common({str(family): row.droplevel(0) for family, row in family_points.groupby("family", sort=False)})

    reason = f"accuracy of {first} less {second}, points (* differs from 0 after Holm); mean > {margin:g}"
    nothing = f"no dataset of {', '.join(suites)} has {FEWEST_REPLICATES} runs of {first} and of {second}"
    return judged(results, gain, Within(low=margin), reason, size, show=differences, nothing=nothing)


def falls_less(
    results: Results, first: Series, second: Series, suite: str = FRAMES, size: NeededSize = PAPER_SIZE
) -> Answer:
    """Judge whether the accuracy of the first series falls less with the number of frames than that of the second.

    Summary: slope of the accuracy of a replicate over the binary logarithm of the frames, first less second, mean over
    datasets and n >= 3 replicates.
    """

    def contrast(runs: Results) -> Values:
        pairs = _differences(runs, (suite,), first, second)
        rows: dict[str, pd.Series] = {}
        for family, family_pairs in pairs.groupby("family", sort=False) if len(pairs) else ():
            table = family_pairs.pivot_table(index="replicate", columns="steps", values="points").dropna()
            if table.shape[1] > 1 and len(table):
                slopes = np.polyfit(np.log2(table.columns.astype(float)), table.to_numpy().T, 1)[0]
                rows[str(family)] = pd.Series(slopes, index=table.index)
        return in_common(rows)

    reason = (
        f"slope of {first} less that of {second}, points for twice the frames (* differs from 0 after Holm); mean > 0"
    )
    nothing = f"no dataset of {suite} has {FEWEST_REPLICATES} runs of {first} and of {second} at two numbers of frames"
    return judged(results, contrast, Within(low=0.0), reason, size, show=differences, nothing=nothing)


def trains(results: Results, *neurons: str) -> Answer:
    """Judge whether FPTT trains neurons on the datasets of the suite of frames.

    Summary: the least accuracy of a replicate over its datasets as a multiple of chance; 0 for a run that diverged.
    Criterion: above 2 in each of n >= 3 replicates of each neuron; refuted if in none of one neuron.
    """

    def multiples(runs: Results) -> Values:
        frame = runs.select(FRAMES).frame.reindex(
            columns=["rule", "neuron", "status", "replicate", "accuracy", "chance"]
        )
        frame = frame[(frame["rule"] == "fptt") & frame["status"].isin(("ok", "diverged"))]
        times = (frame["accuracy"] / frame["chance"]).where(frame["status"] == "ok", 0.0)
        least = {name: times[frame["neuron"] == name].groupby(frame["replicate"]).min() for name in neurons}
        return {name: [float(value) for value in row.dropna()] for name, row in least.items()}

    size = paper_scale(lasting="for")
    reason = "least accuracy over the datasets as a multiple of chance; > 2"
    nothing = f"no runs of FPTT with each of {', '.join(neurons)}"
    return judged(results, multiples, all_or_none(lambda times: times > 2), reason, size, show=means, nothing=nothing)


def _differences(runs: Results, suites: tuple[str, ...], first: Series, second: Series) -> pd.DataFrame:
    """Return accuracies of the first series less the second, in points, of the replicates that have both.

    Only datasets with `FEWEST_REPLICATES` of them count. If the series have neurons in common, both are of the same
    neuron and network.

    Returns:
        Columns family, dataset, steps, replicate and points.
    """
    alike = bool(set(first.neurons) & set(second.neurons))
    keys = ["suite", "dataset", "steps", "replicate", *(["network", "neuron"] if alike else [])]
    sides = [_accuracies(runs, suites, series) for series in (first, second)]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("", "_second"))
    pairs = pairs[pairs.groupby("dataset")["replicate"].transform("nunique") >= FEWEST_REPLICATES]
    pairs = pairs[pairs.groupby("replicate")["dataset"].transform("nunique") == pairs["dataset"].nunique()]
    family = pairs["dataset"].str.split("-").str[0]
    return pairs.assign(points=100 * (pairs["accuracy"] - pairs["accuracy_second"]), family=family)


def _accuracies(runs: Results, suites: tuple[str, ...], series: Series) -> pd.DataFrame:
    """Return the test accuracies of a series; 0 for a run that diverged."""
    frame = _ended(runs, suites, series)
    accuracy = frame["accuracy"].astype(float).where(frame["status"] == "ok", 0.0)
    return frame[CELL].assign(accuracy=accuracy).dropna(subset="accuracy")


def _ended(runs: Results, suites: tuple[str, ...], series: Series) -> pd.DataFrame:
    """Return the runs of a series that ended `ok` or `diverged`."""
    frame = runs.frame.reindex(columns=[*CELL, "rule", "status", "accuracy", "epochs"])
    frame = frame[frame["suite"].isin(suites) & (frame["rule"] == series.rule) & frame["neuron"].isin(series.neurons)]
    return frame[frame["status"].isin(("ok", "diverged"))]
