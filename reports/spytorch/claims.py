"""Claims on SpyTorch: the losses of tutorial 3, and what its penalties do."""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.reports.papers.claims import (
    Answer,
    EachWithin,
    Values,
    claim,
    judged,
    means,
    paper_scale,
    points_between,
)
from throughtime.reports.papers.published import published_table

REGISTERED = "before the runs: 2026-11-28"
NEEDS = "scale paper: 55 000 images, 30 epochs"


@claim(NEEDS, REGISTERED, primary=True)
def losses_of_tutorial_3(results: Results) -> Answer:
    """Loss and penalties of tutorial 3 together are its 30 published losses.

    Summary: mean over the 30 epochs of training loss and penalty of a run, less that of the published ones, mean over
    n >= 3. Criterion: between -0.05 and 0.05.
    """
    published = published_table("spytorch_losses")["tutorial3"]

    def difference(runs: Results) -> Values:
        frame = runs.select("spytorch").frame
        of_rule = frame[(frame["rule"] == "tutorial3") & (frame["status"] == "ok")]
        curves = [list(runs.curve(run)) for run in of_rule["id"]]
        sums = [[row["train_loss"] + row["penalty"] for row in curve if "penalty" in row] for curve in curves]
        rows = [sum(row) / len(row) - float(published[: len(row)].mean()) for row in sums if row]
        return {"ours - published": rows} if rows else {}

    return judged(
        results, difference, EachWithin(-0.05, 0.05), "mean difference of losses", paper_scale(NEEDS), show=means
    )


@claim(NEEDS, REGISTERED)
def penalties_cost_accuracy(results: Results) -> Answer:
    """The penalties cost two to six points of test accuracy (published: 86.3 and 82.7 %).

    Summary: accuracy without penalties less that with them, in points, mean over n >= 3. Criterion: between 2 and 6.
    """

    def points(runs: Results) -> Values:
        frame = runs.select("spytorch").frame
        return points_between(frame, {"without - with": ("tutorial2", "tutorial3")}, "accuracy", 0.1)

    return judged(results, points, EachWithin(2, 6), "points", paper_scale(NEEDS), show=means)


CLAIMS = (losses_of_tutorial_3, penalties_cost_accuracy)
