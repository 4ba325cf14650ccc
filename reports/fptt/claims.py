"""Claims of Yin, Corradi and Bohte 2023, judged from results."""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.reports.fptt.adding import SUITES
from throughtime.reports.fptt.comparison import (
    FPTT_LTC,
    FRAMES,
    SEQUENCES,
    Series,
    exceeds,
    grows,
    is_faster,
    is_flat,
    trains,
)
from throughtime.reports.fptt.deep_networks import detects, is_sparse
from throughtime.reports.fptt.evidence import Cell, becomes_nan, both, fails, learns
from throughtime.reports.fptt.memory import published_slope, slope
from throughtime.reports.papers.verdicts import Answer, Word


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


def exceeds_eprop(results: Results) -> Answer:
    """C3: FPTT with LTC is more accurate than an online rule, e-prop with ALIF."""
    return exceeds(results, (FRAMES, SEQUENCES), FPTT_LTC, Series("eprop", ("alif",)))


def exceeds_bptt_on_frames(results: Results) -> Answer:
    """C4: FPTT with LTC is more accurate than BPTT with LTC on event recordings, at each number of frames."""
    return exceeds(results, (FRAMES,), FPTT_LTC, Series("bptt", ("ltc",)))


def exceeds_bptt_with_auxiliary_loss(results: Results) -> Answer:
    """C4: FPTT with LTC is more accurate than BPTT of the same losses at each step (BPTT-Aux)."""
    return exceeds(results, (FRAMES,), FPTT_LTC, Series("bptt-aux", ("ltc",)))


def approaches_bptt_on_sequences(results: Results) -> Answer:
    """C4: FPTT with LTC is at most 3 points less accurate than BPTT with LTC on sequential images."""
    return exceeds(results, (SEQUENCES,), FPTT_LTC, Series("bptt", FPTT_LTC.neurons), margin=-0.03)


def does_not_degrade(results: Results) -> Answer:
    """C5: the accuracy of FPTT with LTC does not depend on the number of frames."""
    return is_flat(results, FPTT_LTC)


def memory_is_constant(results: Results) -> Answer:
    """C6: the memory of FPTT does not grow with the sequence, that of BPTT does."""
    cases = (("fptt-step", True), ("bptt", True), ("bptt", False))
    fptt, bptt, by_autograd = (
        [slope(rule, input, compiled) for input in ("on the device", "excluded")] for rule, compiled in cases
    )
    word: Word = "supported" if abs(fptt[1]) < 0.01 < bptt[1] else "not supported"
    ours = (
        f"FPTT: {fptt[0]:.2f} with the input, {fptt[1]:.4f} without; BPTT: {bptt[0]:.2f} and {bptt[1]:.2f}, "
        f"with uncompiled neurons {by_autograd[0]:.2f} and {by_autograd[1]:.2f}"
    )
    theirs = ", ".join(f"{published_slope(rule):.2f}" for rule in ("fptt-step", "bptt"))
    return Answer(
        word, ours, f"exact bytes, MiB a frame, shallow network, batch 64; published with the input: {theirs}"
    )


def time_of_a_frame_is_constant(results: Results) -> Answer:
    """C7: the time of a frame does not depend on the number of frames under FPTT."""
    return grows(results, "fptt-step", 0.85, 1.15)


def intermediate_outputs_are_quadratic(results: Results) -> Answer:
    """C7: the time of BPTT with intermediate outputs (BPTT-IO) grows with the square of the frames."""
    return grows(results, "bptt-io", 1.7, 2.3)


def faster_than_bptt(results: Results) -> Answer:
    """C7: FPTT needs less time than BPTT."""
    return is_faster(results, "fptt-step", "bptt")


def trains_complex_neurons(results: Results) -> Answer:
    """C8: FPTT trains LTC, ALIF and Izhikevich neurons."""
    return trains(results, "ltc", "alif", "izhikevich")


def finds_objects(results: Results) -> Answer:
    """C9: FPTT trains a deep network that localises and names objects: mAP at an IoU of 0.5 is 50 % or more."""
    return detects(results)


def spikes_are_sparse(results: Results) -> Answer:
    """C10: the layers of deep networks that FPTT trains spike rarely, with a mean rate near 0.14 (at most 0.17)."""
    return is_sparse(results)


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
    exceeds_eprop,
    exceeds_bptt_on_frames,
    exceeds_bptt_with_auxiliary_loss,
    approaches_bptt_on_sequences,
    does_not_degrade,
    memory_is_constant,
    time_of_a_frame_is_constant,
    intermediate_outputs_are_quadratic,
    faster_than_bptt,
    trains_complex_neurons,
    finds_objects,
    spikes_are_sparse,
    regulariser_matters,
)
