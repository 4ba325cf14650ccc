"""Claims on FPTT with LTC over the number of parts K of 14x14 pixels (suite `fptt_kag_curve`)."""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.reports.fptt_kag.cells import CURVE, difference, mean_difference
from throughtime.reports.fptt_kag.claims import CLIFF, ORDERS, ROWS_REGISTERED, SMALL
from throughtime.reports.papers.claims import (
    Answer,
    EachWithin,
    Values,
    Within,
    claim,
    differences,
    in_common,
    judged,
    trained,
)

PIXELS_OF_LTC = "LTC of 64 cells, 55 000 training images, 10 epochs"


@claim(PIXELS_OF_LTC, ROWS_REGISTERED)
def curve_cliff(results: Results) -> Answer:
    """On 14x14 pixels of all of MNIST the accuracy of LTC falls by more than 10 points between K = 28 and 49, too.

    Summary: the fall in points with and without the regulariser, in row order and permuted, mean over n >= 3
    replicates. Criterion: above 10 in each of the four cells.
    """

    return _falls_of_ltc(results, "K28", "K49")


@claim(PIXELS_OF_LTC, "after K = 28 and 49 and one run with K = 14, before the others: 2026-12-01")
def curve_cliff_in_steps(results: Results) -> Answer:
    """On 14x14 pixels of all of MNIST the accuracy of LTC falls by more than 10 points between K = 14 and 28.

    Summary and criterion: as between K = 28 and 49. Windows have 14 and 7 steps there, as with the 56 and 112 parts of
    784 pixels between which published runs fall.
    """
    return _falls_of_ltc(results, "K14", "K28")


@claim(PIXELS_OF_LTC, ROWS_REGISTERED)
def curve_edges(results: Results) -> Answer:
    """On 14x14 pixels of all of MNIST the regulariser raises the accuracy of LTC at K = 49, 98 and T by 1.5 points.

    Summary: accuracy with it less that without, points, mean over the three K, both orders and n >= 3 replicates.
    Criterion: above 1.5.
    """

    def gains(runs: Results) -> Values:
        pairs = [(K, f"{K}-none") for K in ("K49", "K98", "KT")]
        return in_common({order: mean_difference(runs, CURVE, pairs, order) for order in ORDERS})

    return judged(results, gains, Within(low=SMALL), "points", trained(CURVE, 10), show=differences)


def _falls_of_ltc(results: Results, few: str, many: str) -> Answer:
    """Judge whether the accuracy falls by more than `CLIFF` points between two numbers of parts, in four cells."""

    def falls(runs: Results) -> Values:
        cells = [(order, end) for order in ORDERS for end in ("", "-none")]
        return in_common({o + end: difference(runs, CURVE, few + end, many + end, o) for o, end in cells})

    return judged(results, falls, EachWithin(low=CLIFF), "points", trained(CURVE, 10), show=differences)
