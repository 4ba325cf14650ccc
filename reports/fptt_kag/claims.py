"""Claims on FPTT over the number of parts K: five that the published tables decide, and those that our suites do.

The tables (`thesis.py`) are the runs of a graduation project with the code of Kag and Saligrama, one unseeded run a
cell: they say what that code did once, and have no interval. A claim on them begins with "published numbers".
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from throughtime.records.results import Results
from throughtime.records.statistics.summary import Lean
from throughtime.reports.fptt_kag.cells import (
    LTC,
    NEURONS,
    PIXELS,
    ROWS,
    accuracy,
    at_best_rate,
    difference,
    gain_under_sgd,
    mean_difference,
    nll,
)
from throughtime.reports.fptt_kag.thesis import STEPS, fall, in_the_middle, momentum, parts
from throughtime.reports.papers.claims import (
    ANYTHING,
    Answer,
    EachWithin,
    Values,
    Within,
    all_or_none,
    both,
    claim,
    decided,
    differences,
    in_common,
    judged,
    means,
    paper_scale,
    trained,
)

REGISTERED = "before the runs: 2026-11-28"
ROWS_REGISTERED = "before the runs: 2026-11-30"
SECOND_CONTROL = "a second control, before its runs: 2026-11-30"
READ = "after the tables had been read: 2026-11-28"
NEEDS = "scale paper: LSTM of 128 cells, all images, 200 epochs"
CHORALES = "scale paper: LSTM of 256 cells, whole chorales, 100 epochs"
SMALL = 1.5
"""Points of accuracy below which a difference counts as none: single runs of a cell differ by less than that."""
CLIFF = 10.0
"""Points that a fall of the accuracy must exceed."""
CHANGES = "with less without, points (* differs from 0 after Holm)"
OF_PIXELS = "points; K = T of pixels is 16 to 32 % under Adam and 80 to 84 % under SGD in the published runs"
"""Reasons that claims share."""
ROWS_OF_LTC = "LTC of 64 cells, 55 000 training images, 20 epochs"
ORDERS = ("sequential", "permuted")
SGD_RATES = ("-0.03", "-0.1", "")
"""Ends of the labels of rules with a learning rate of 0.03, 0.1 and 0.3."""


@claim(ANYTHING, READ)
def middle_is_best(results: Results) -> Answer:
    """Published numbers: with the regulariser, the best K of each sequence of pixels is between 7 and 28.

    Summary: K of the highest accuracy of S-MNIST, PS-MNIST and CIFAR-10. Criterion: from 7 to 28, each.
    """
    tables = {dataset: parts(dataset)["with"] for dataset in STEPS}
    best = {dataset: int(table.index[int(table.argmax())]) for dataset, table in tables.items()}
    holds = all(7 <= K <= 28 for K in best.values())
    return decided(holds, _written(best, "d"), "single runs; without it the best K of S-MNIST is 2, by 0.1 points")


@claim(ANYTHING, READ)
def root_is_best(results: Results) -> Answer:
    """Published numbers: K = √T is at most 1.5 points below the best K, on each sequence of pixels.

    Summary: highest accuracy with the regulariser less that at K = √T. Criterion: below 1.5 points, each.
    """
    with_R = {dataset: parts(dataset)["with"] for dataset in STEPS}
    below = {dataset: float(row.max() - row.loc[round(STEPS[dataset] ** 0.5)]) for dataset, row in with_R.items()}
    return decided(max(below.values()) < SMALL, _written(below, ".2f"), "points below the best; single runs")


@claim(ANYTHING, READ, primary=True)
def published_regulariser(results: Results) -> Answer:
    """Published numbers: from K = 7 to 56 the regulariser changes the accuracy by less than 1.5 points.

    Summary: largest difference of the accuracies with and without it. Criterion: below 1.5 points on S-MNIST, PS-MNIST
    and CIFAR-10 (K = 8 to 64).
    """
    tables = {dataset: in_the_middle(dataset) for dataset in STEPS}
    largest = {dataset: float((table["with"] - table["without"]).abs().max()) for dataset, table in tables.items()}
    return decided(
        max(largest.values()) < SMALL, _written(largest, ".2f"), "largest difference in points; single runs, LSTM"
    )


@claim(ANYTHING, READ)
def published_cliff(results: Results) -> Answer:
    """Published numbers: the accuracy falls by more than 10 points between K = 56 and 112.

    Summary: the fall in points, with and without the regulariser. Criterion: above 10 in each of six columns (CIFAR-10:
    between K = 64 and 128).
    """
    falls = {f"{dataset} {form}": points for dataset in STEPS for form, points in fall(dataset).items()}
    return decided(min(falls.values()) > CLIFF, _written(falls, ".1f"), "points; single runs")


@claim(ANYTHING, READ)
def published_optimiser(results: Results) -> Answer:
    """Published numbers: an update at each step (K = T) ends below 40 % under Adam, above 75 % under SGD with momentum.

    Summary: accuracies at K = T. Criterion: all of six under Adam below 40 %, all of three under SGD above 75 %.
    """
    adam = [float(value) for dataset in STEPS for value in parts(dataset).loc[STEPS[dataset]]]
    sgd = [float(value) for value in momentum().loc[STEPS["s-mnist"]]]
    holds = max(adam) < 40 and min(sgd) > 75
    ours = f"Adam: {', '.join(f'{value:g}' for value in adam)}; SGD: {', '.join(f'{value:g}' for value in sgd)}"
    return decided(holds, ours, "percent; single runs; SGD on S-MNIST alone, 100 epochs")


@claim(NEEDS, REGISTERED, primary=True)
def exceeds_bptt(results: Results) -> Answer:
    """FPTT with K = 10 is more accurate than BPTT, LSTM on S-MNIST and PS-MNIST.

    Summary: difference of the accuracies of a replicate in points, mean over both orders and n >= 3 replicates.
    Criterion: above 0.
    """

    def gain(runs: Results) -> Values:
        return in_common({order: difference(runs, PIXELS, "K10", "bptt", order) for order in ORDERS})

    reason = "accuracy of FPTT less that of BPTT, points; the cells quoted have +0.96 and +5.84"
    return judged(results, gain, Within(low=0.0), reason, paper_scale(), show=means)


@claim(NEEDS, REGISTERED, primary=True)
def regulariser(results: Results) -> Answer:
    """The regulariser changes the accuracy by less than 1.5 points at K between 7 and 28 (rows: 4 to 14), under Adam.

    Summary: accuracy with it less that without, points, mean over K = 7, 14 and 28 of pixels (rows: 4, 7 and 14), over
    the datasets and n >= 3 replicates. Criterion: between -1.5 and 1.5.
    """

    def change(runs: Results) -> Values:
        grids = {(PIXELS, "sequential"): (7, 14, 28), (PIXELS, "permuted"): (7, 14, 28), (ROWS, "rows"): (4, 7, 14)}
        changes = {
            dataset: mean_difference(runs, suite, [(f"K{K}", f"K{K}-none") for K in grid], dataset)
            for (suite, dataset), grid in grids.items()
        }
        return in_common({dataset: row for dataset, row in changes.items() if len(row)})

    reason = "with less without, points"
    return judged(results, change, Within(-SMALL, SMALL), reason, paper_scale(), show=means)


@claim(NEEDS, REGISTERED)
def cliff(results: Results) -> Answer:
    """The accuracy falls by more than 10 points between K = 56 and 112 of 784 pixels (28 and 49 of 14x14), permuted.

    Summary: the fall in points with and without the regulariser, mean over n >= 3 replicates. Criterion: above 10,
    both.
    """

    def falls(runs: Results) -> Values:
        high, low = ("K56", "K112") if len(accuracy(runs, PIXELS, "K112")) else ("K28", "K49")
        forms = {"with": "", "none": "-none"}
        return in_common({form: difference(runs, PIXELS, high + end, low + end) for form, end in forms.items()})

    return judged(results, falls, EachWithin(low=CLIFF), "points", paper_scale(), show=means)


@claim(NEEDS, REGISTERED)
def edges(results: Results) -> Answer:
    """At the edge, K = 112 of 784 pixels (49 of 14x14, permuted), the regulariser raises the accuracy by 1.5 points.

    Summary: accuracy with it less that without, points, mean over n >= 3 replicates. Criterion: above 1.5.
    """

    def gain(runs: Results) -> Values:
        K = "K112" if len(accuracy(runs, PIXELS, "K112")) else "K49"
        return in_common({K: difference(runs, PIXELS, K, f"{K}-none")})

    return judged(results, gain, Within(low=SMALL), "published: +46 points", paper_scale(), show=means)


@claim(NEEDS, REGISTERED)
def optimiser(results: Results) -> Answer:
    """An update at each pixel (K = T) ends below 40 % under Adam, and above 75 % under SGD with momentum (permuted).

    Summary: accuracy in percent. Criterion: in all of n >= 3 runs of each.
    """

    def under(rules: tuple[str, ...], holds: Callable[[float], bool], reason: str, lasting: Lean | None) -> Answer:
        def cells(runs: Results) -> Values:
            return in_common({rule: accuracy(runs, PIXELS, rule) for rule in rules})

        return judged(results, cells, all_or_none(holds), reason, paper_scale(lasting), show=means)

    adam = under(("KT", "KT-none"), lambda percent: percent < 40, "Adam < 40 %", None)
    return both(adam, under(("KT-sgd",), lambda percent: percent > 75, "SGD > 75 %", "for"))


@claim(ROWS_OF_LTC, ROWS_REGISTERED)
def rows_regulariser(results: Results) -> Answer:
    """On rows of all of MNIST the regulariser changes the accuracy of LTC by less than 1.5 points at each K (1 to 28).

    Summary: accuracy with it less that without, points, mean over n >= 3 replicates, for K = 1, 2, 4, 7, 14 and 28,
    under Adam and under SGD with momentum. Criterion: between -1.5 and 1.5 in each of the twelve cells.
    """

    def changes(runs: Results) -> Values:
        cells = {
            f"K = {K}{end}": (f"K{K}{end}", f"K{K}-none{end}") for end in ("", "-sgd") for K in (1, 2, 4, 7, 14, 28)
        }
        return in_common({cell: difference(runs, LTC, *rules, "rows") for cell, rules in cells.items()})

    return judged(results, changes, EachWithin(-SMALL, SMALL), CHANGES, trained(LTC, 20), show=differences)


@claim(ROWS_OF_LTC, ROWS_REGISTERED)
def rows_optimiser(results: Results) -> Answer:
    """On rows an update at each step (K = 28 against 7) costs LTC 1.5 points more under Adam than under SGD.

    Summary: accuracy at K = 7 less that at K = 28, mean with and without the regulariser, under Adam less the same
    under SGD with momentum, points, mean over n >= 3 replicates. Criterion: above 1.5.
    """

    def interaction(runs: Results) -> Values:
        costs = {
            end: mean_difference(runs, LTC, [(f"K7{form}{end}", f"K28{form}{end}") for form in ("", "-none")], "rows")
            for end in ("", "-sgd")
        }
        return in_common({"Adam less SGD": (costs[""] - costs["-sgd"]).dropna()})

    return judged(results, interaction, Within(low=SMALL), OF_PIXELS, trained(LTC, 20), show=means)


@claim(ROWS_OF_LTC, ROWS_REGISTERED)
def rows_bptt(results: Results) -> Answer:
    """On rows FPTT with K = 7, near √T, is more accurate than BPTT, LTC under Adam.

    Summary: accuracy at K = 7 with the regulariser less that at K = 1 without it, which is BPTT, points, mean over
    n >= 3 replicates. Criterion: above 0.
    """
    return above_bptt_on_rows(results, NEURONS[LTC])


@claim(ROWS_OF_LTC, "a control, before its runs: 2026-11-30")
def rows_rate(results: Results) -> Answer:
    """On rows the regulariser raises BPTT's accuracy (K = 1) under SGD at the best of three rates, too, LTC.

    Summary: accuracy with it less that without, each at the rate (0.1, 0.3, 1) with the highest mean accuracy, points,
    mean over n >= 3 replicates. Criterion: above 0.5.
    """

    def gain(runs: Results) -> Values:
        return in_common({"K = 1": gain_under_sgd(runs, 1, ("-0.1", "", "-1"))})

    return judged(results, gain, Within(low=0.5), "points, each at its best rate", trained(LTC, 20), show=means)


@claim(ROWS_OF_LTC, SECOND_CONTROL)
def rows_rate_of_parts(results: Results) -> Answer:
    """On rows the regulariser raises the accuracy at K = 7 and 28 under SGD at the best of three rates, too, LTC.

    Summary: accuracy with it less that without, each at the rate (0.03, 0.1, 0.3) with the highest mean accuracy,
    points, mean over n >= 3 replicates. Criterion: above 0.5 at both K.
    """

    def gains(runs: Results) -> Values:
        return in_common({f"K = {K}": gain_under_sgd(runs, K, SGD_RATES) for K in (7, 28)})

    return judged(results, gains, EachWithin(low=0.5), "points, each at its best rate", trained(LTC, 20), show=means)


@claim(ROWS_OF_LTC, SECOND_CONTROL)
def rows_bptt_under_sgd(results: Results) -> Answer:
    """On rows FPTT with K = 7 is more accurate than BPTT under SGD with momentum, each at the best of three rates, LTC.

    Summary: accuracy at K = 7 with the regulariser less that at K = 1 without it, each at the rate (0.03, 0.1, 0.3)
    with the highest mean accuracy, points, mean over n >= 3 replicates. Criterion: above 0.
    """

    def gain(runs: Results) -> Values:
        fptt, bptt = (at_best_rate(runs, rule, SGD_RATES) for rule in ("K7", "K1-none"))
        return in_common({"K7 less BPTT": (fptt - bptt).dropna()})

    return judged(results, gain, Within(low=0.0), "points, each at its best rate", trained(LTC, 20), show=means)


@claim(CHORALES, REGISTERED)
def chorales(results: Results) -> Answer:
    """Where each step has a target, the regulariser lowers the loss of plain SGD at K near √T (JSB chorales).

    Summary: NLL of a step on the test split with it less that without, mean over K = 4, 8 and 20 and n >= 3 replicates.
    Criterion: below 0. On Penn Treebank, K = 15 to 50 of 300 words, the perplexity is lower in four of four cells.
    """

    def change(runs: Results) -> Values:
        changes = [nll(runs, f"K{K}") - nll(runs, f"K{K}-none") for K in (4, 8, 20)]
        return in_common({"K = 4, 8, 20": pd.concat(changes, axis=1).mean(axis=1, skipna=False)})

    return judged(results, change, Within(high=0.0), "nat a step", paper_scale(), show=means)


def above_bptt_on_rows(results: Results, neuron: str) -> Answer:
    """Judge whether FPTT with K = 7 is more accurate than BPTT on rows with a neuron, under Adam."""

    def gain(runs: Results) -> Values:
        return in_common({"K7 less BPTT": difference(runs, LTC, "K7", "K1-none", "rows", neuron)})

    return judged(results, gain, Within(low=0.0), "points", trained(LTC, 20), show=means)


def _written(numbers: dict[str, float] | dict[str, int], digits: str) -> str:
    return ", ".join(f"{name}: {value:{digits}}" for name, value in numbers.items())
