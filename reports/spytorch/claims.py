"""Claims on SpyTorch: the losses of tutorial 3, what its penalties do, and Braille letters beside a linear reading."""

from __future__ import annotations

import numpy as np

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    ANYTHING,
    Answer,
    EachWithin,
    Values,
    Within,
    by_replicate,
    claim,
    decided,
    in_common,
    judged,
    means,
    paper_scale,
    points_between,
)
from throughtime.reports.papers.published import published_table
from throughtime.reports.papers.stored import stored

REGISTERED = "before the runs: 2026-11-28"
NEEDS = "scale paper: 55 000 images, 30 epochs"
REGISTERED_BRAILLE = "before the runs: 2026-11-29"
NEEDS_BRAILLE = "scale paper: 100 epochs"
BRAILLE = 96.7
"""Published test accuracy of tutorial 5, percent."""
PENALTIES = np.logspace(-4, 4, 17)
"""Of the ridge regression."""


@claim(NEEDS, REGISTERED, primary=True)
def losses_of_tutorial_3(results: Results) -> Answer:
    """Loss and penalties of tutorial 3 together are its 30 published losses.

    Summary: mean over the 30 epochs of training loss and penalty of a run, less that of the published ones, mean over
    n >= 3. Criterion: between -0.05 and 0.05.
    """
    published = published_table("spytorch_losses")["tutorial3"]

    def difference(runs: Results) -> Values:
        frame = runs.select("spytorch").frame
        runs_of_rule = frame[(frame["rule"] == "tutorial3") & (frame["status"] == "ok")]
        curves = [list(runs.curve(run)) for run in runs_of_rule["id"]]
        sums = [[row["train_loss"] + row["penalty"] for row in curve if "penalty" in row] for curve in curves]
        rows = [sum(row) / len(row) - float(published[: len(row)].mean()) for row in sums if row]
        return {"ours - published": rows} if rows else {}

    return judged(results, difference, EachWithin(-0.05, 0.05), "mean difference of losses", paper_scale(), show=means)


@claim(NEEDS, REGISTERED)
def penalties_cost_accuracy(results: Results) -> Answer:
    """The penalties cost two to six points of test accuracy (published: 86.3 and 82.7 %).

    Summary: accuracy without penalties less that with them, in points, mean over n >= 3. Criterion: between 2 and 6.
    """

    def points(runs: Results) -> Values:
        frame = runs.select("spytorch").frame
        return points_between(frame, {"without - with": ("tutorial2", "tutorial3")}, "accuracy", 0.1)

    return judged(results, points, EachWithin(2, 6), "points", paper_scale(), show=means)


@claim(ANYTHING, "after a look at the values: 2026-11-29")
def letters_are_linear(results: Results) -> Answer:
    """Ridge regression on the recorded values reads Braille letters at least as well as the spiking network, 96.7 %.

    Summary: test accuracy on the source's split, the penalty chosen on its training part. Criterion: at least 96.7.
    """
    raw, standardised = ridge_level(False), ridge_level(True)
    ours = f"{raw:.1f} %; {standardised:.1f} % on the standardised values that the network reads"
    return decided(raw >= BRAILLE, ours, "270 sequences")


@claim(NEEDS_BRAILLE, REGISTERED_BRAILLE)
def spikes_exceed_the_linear_level(results: Results) -> Answer:
    """The spiking network exceeds ridge regression on the standardised values that both read.

    Summary: its test accuracy less that of the regression in points, mean over n >= 3. Criterion: above 0; a short
    training that exceeds it has exceeded it.
    """

    def points(runs: Results) -> Values:
        frame = runs.select("spytorch_braille").frame
        accuracies = by_replicate(frame[frame["rule"] == "tutorial5"], "accuracy", diverged=1 / 27)
        return in_common({"network - ridge": 100 * accuracies - ridge_level(True)})

    needed = paper_scale(lasting="for")
    return judged(results, points, Within(low=0), "points; > 0", needed, show=means)


@claim(NEEDS_BRAILLE, REGISTERED_BRAILLE)
def the_detached_penalty_would_not_matter(results: Results) -> Answer:
    """The penalty of tutorial 5, of spikes that are detached there, changes the accuracy by less than two points if its
    gradient counts.

    Summary: accuracy with the penalty less that without in points, mean over n >= 3. Criterion: between -2 and 2.
    """

    def points(runs: Results) -> Values:
        frame = runs.select("spytorch_braille").frame
        return points_between(frame, {"penalised - not": ("penalised", "tutorial5")}, "accuracy", 1 / 27)

    return judged(results, points, Within(-2, 2), "points", paper_scale(), show=means)


@stored
def ridge_level(standardised: bool) -> float:
    """Return the test accuracy (%) of ridge regression on the letters, from all 76 samples of the four sensors.

    The penalty is that with the smallest leave-one-out error on the 1080 training sequences.

    Args:
        standardised: whether each sensor is standardised, as the source does; else its values are in 0 ... 1.
    """
    from sklearn.linear_model import RidgeClassifierCV

    from throughtime.datasets.braille import TRAIN, VALIDATION, Braille, order, recordings

    x, letters = recordings()
    values = Braille().arrays.x.numpy() if standardised else x / 255
    train, test = np.split(order(), [TRAIN + VALIDATION])
    rows = values.reshape(len(values), -1).astype(np.float64)
    model = RidgeClassifierCV(alphas=PENALTIES).fit(rows[train], letters[train])
    return float(100 * model.score(rows[test], letters[test]))
