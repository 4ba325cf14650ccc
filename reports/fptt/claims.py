"""Claims of Yin, Corradi and Bohte 2023, judged from results."""

from __future__ import annotations

from throughtime.comparing.published import Answer
from throughtime.records.results import Results
from throughtime.reports.fptt.adding import SUITES
from throughtime.reports.fptt.evidence import Cell, becomes_nan, both, fails, learns


def learns_long_sequences(results: Results) -> Answer:
    """C1: FPTT learns the adding task with LTC neurons at T = 200, 500 and 1000."""
    return learns(results, [Cell(T, "fptt-authors", "ltc_adding") for T in SUITES])


def learns_with_an_update_at_each_step(results: Results) -> Answer:
    """C1: FPTT learns the adding task with LTC neurons and K = T (T = 200)."""
    return learns(results, [Cell(200, "fptt-step", "ltc_adding")])


def bptt_fails(results: Results) -> Answer:
    """C1: BPTT does not learn the adding task with LTC neurons at T = 200, 500 and 1000."""
    return fails(results, [Cell(T, "bptt", "ltc_adding") for T in SUITES])


def bptt_becomes_nan(results: Results) -> Answer:
    """C1: BPTT with LTC neurons becomes NaN on the adding task (T = 500)."""
    return becomes_nan(results, [Cell(500, "bptt", "ltc_adding")])


def simple_cells_fail(results: Results) -> Answer:
    """C2: FPTT trains gated cells (LSTM, LTC) on the adding task, and not simple ones (ASRNN, tanh RNN) (T = 500)."""
    simple = fails(results, [Cell(500, "fptt-authors", "asrnn_adding"), Cell(500, "fptt-authors-none", "rnn")])
    gated = learns(results, [Cell(500, "fptt-authors", "ltc_adding"), Cell(500, "fptt-authors-none", "lstm")])
    return both(simple, gated)


def regulariser_matters(results: Results) -> Answer:
    """C11: the regulariser, and not truncation alone, makes FPTT learn (adding task, T = 200)."""
    loops = [("fptt-authors", "fptt-authors-none"), ("fptt", "fptt-none")]
    with_it = learns(results, [Cell(200, rule, "ltc_adding") for rule, _ in loops])
    return both(with_it, fails(results, [Cell(200, without, "ltc_adding") for _, without in loops]))


CLAIMS = (
    learns_long_sequences,
    learns_with_an_update_at_each_step,
    bptt_fails,
    bptt_becomes_nan,
    simple_cells_fail,
    regulariser_matters,
)
