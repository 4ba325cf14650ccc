"""Claims on rows of MNIST with the plain LTC and with LSTM (suite `fptt_kag_ltc`): is it the neuron?

The claims on the milder LTC are in `claims.py`. Published runs over the number of parts K are of an LSTM.
"""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.reports.fptt_kag.cells import LTC, difference
from throughtime.reports.fptt_kag.claims import CHANGES, OF_PIXELS, SMALL, above_bptt_on_rows
from throughtime.reports.papers.claims import (
    Answer,
    EachWithin,
    Values,
    Within,
    claim,
    differences,
    in_common,
    judged,
    means,
    trained,
)

ROWS_OF_OTHERS = "LTC of 64 cells and LSTM of 128, 55 000 training images, 20 epochs"
REGISTERED = "after ten of twelve runs with K = 1 of the plain LTC, before K = 7, K = 28 and LSTM: 2026-12-01"


@claim(ROWS_OF_OTHERS, REGISTERED)
def rows_regulariser_of_others(results: Results) -> Answer:
    """On rows the regulariser changes the accuracy of the plain LTC and of LSTM by less than 1.5 points, too.

    Summary: accuracy with it less that without, points, mean over n >= 3 replicates, for K = 1, 7 and 28, under Adam
    and under SGD with momentum, with either neuron. Criterion: between -1.5 and 1.5 in each of the twelve cells.
    """

    def changes(runs: Results) -> Values:
        cells = [(neuron, K, end) for neuron in ("ltc", "lstm") for end in ("", "-sgd") for K in (1, 7, 28)]
        return in_common(
            {
                f"{neuron}, K = {K}{end}": difference(runs, LTC, f"K{K}{end}", f"K{K}-none{end}", "rows", neuron)
                for neuron, K, end in cells
            }
        )

    return judged(results, changes, EachWithin(-SMALL, SMALL), CHANGES, trained(LTC, 20), show=differences)


@claim(ROWS_OF_OTHERS, REGISTERED)
def rows_bptt_of_ltc(results: Results) -> Answer:
    """On rows FPTT with K = 7, near √T, is more accurate than BPTT with the plain LTC, Adam.

    Summary: accuracy at K = 7 with the regulariser less that at K = 1 without it, which is BPTT, points, mean over
    n >= 3 replicates. Criterion: above 0.
    """
    return above_bptt_on_rows(results, "ltc")


@claim(ROWS_OF_OTHERS, REGISTERED)
def rows_bptt_of_lstm(results: Results) -> Answer:
    """On rows FPTT with K = 7, near √T, is more accurate than BPTT with LSTM, Adam.

    Summary and criterion: those of the plain LTC.
    """
    return above_bptt_on_rows(results, "lstm")


@claim(ROWS_OF_OTHERS, REGISTERED)
def rows_optimiser_of_lstm(results: Results) -> Answer:
    """On rows an update at each step (K = 28 against 7) costs LSTM 1.5 points more under Adam than under SGD.

    Summary: accuracy at K = 7 less that at K = 28, both with the regulariser, under Adam less the same under SGD with
    momentum, points, mean over n >= 3 replicates. Criterion: above 1.5.
    """

    def interaction(runs: Results) -> Values:
        adam, sgd = (difference(runs, LTC, f"K7{end}", f"K28{end}", "rows", "lstm") for end in ("", "-sgd"))
        return in_common({"Adam less SGD": (adam - sgd).dropna()})

    return judged(results, interaction, Within(low=SMALL), OF_PIXELS, trained(LTC, 20), show=means)
