"""Claims of Yin, Corradi and Bohte 2023 on what is learnt and how well, judged from results."""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.reports.fptt import low_gradient
from throughtime.reports.fptt.adding import SUITES
from throughtime.reports.fptt.comparison import (
    ACCURACY,
    BPTT,
    EPROP,
    FPTT,
    FRAMES,
    IN_SUITE,
    LTC,
    PAPER,
    PSMNIST,
    SEQUENCES,
    SMNIST,
    Series,
    exceeds,
)
from throughtime.reports.fptt.deep_networks import detects, is_sparse
from throughtime.reports.fptt.evidence import LONG_ENOUGH, PUBLISHED, EvidenceCell, becomes_nan, fails, learns
from throughtime.reports.fptt.registered import WITHOUT, bptt_fails, strength_of, windows_suffice
from throughtime.reports.fptt.silent import needs_no_spikes, spikes_hold_bptt_back
from throughtime.reports.papers.claims import Answer, both, claim, trained

ITERATIONS = f"{PUBLISHED} iterations to refute"
ALPHA = "n = 5, 300 iterations"
ENDS = "n = 5, 3000, 2500 and 2300 iterations to support"
LOW = "n = 5, 600 iterations"
AFTER_BPTT = "after the runs of BPTT, before the others, in the suite: 2026-12-01"
ADDING = "criterion before the runs: caf16c3, 2026-11-26; shares of runs after them: 2026-11-28"
AFTER_28 = f"K = 10 was added after the results with K = 28 had been seen; {ACCURACY}"
MILDER = f"the milder LTC was chosen after BPTT had failed on the plain one; {ACCURACY}"
SUITE = "before the runs, in the suite: 59b8d03, 2026-11-28"
SILENT = "before the runs, after the firing rates of earlier ones, in the suite: 0cdf130, 2026-11-29"
PERMUTED = "before the runs, in the suite: 2026-12-06"
ALL_IMAGES = "LTC of 64 cells, 55 000 training images, 20 epochs"

FPTT_10, FPTT_ALIF = Series("fptt-10", LTC), Series("fptt", ("alif",))
FPTT_10_MILD, FPTT_28_MILD, BPTT_MILD = (Series(rule, ("ltc-mild",)) for rule in ("fptt-10", "fptt-28", "bptt"))


@claim(ITERATIONS, ADDING, primary=True)
def learns_long_sequences(results: Results) -> Answer:
    """C1: FPTT learns the adding task with LTC neurons at T = 200, 500 and 1000 (α = 1/2).

    Summary: least error over 100 iterations. Criterion: below 0.05 in all of n >= 3 runs at each length; refuted if in
    none at some length.
    """
    return learns(results, [EvidenceCell(T, "fptt-authors", "ltc_adding") for T in SUITES])


@claim(ALPHA, SUITE)
def a_strength_gives_the_curves(results: Results) -> Answer:
    """C1: one strength α of the regulariser gives the published curves of FPTT at T = 200, 500 and 1000.

    Summary: first iteration with an error below 0.1, median of n = 5 runs. Criterion: within a factor of 1.5 of the
    published iteration at each length, for one α of 0.5, 0.2, 0.1, 0.05, 0.01 and none; refuted if for no α.
    """
    return strength_of(results)


@claim(ALPHA, SUITE)
def no_regulariser_gives_v2(results: Results) -> Answer:
    """C1: the loop without regulariser gives the published curves named v2 (our reading of their label).

    Summary and criterion: as for the strengths, for the loop without regulariser.
    """
    return strength_of(results, WITHOUT, ("none",))


@claim(ITERATIONS, ADDING)
def learns_with_an_update_at_each_step(results: Results) -> Answer:
    """C1: FPTT learns the adding task with LTC neurons and K = T (T = 200).

    Summary and criterion: as for T = 200, 500 and 1000.
    """
    return learns(results, [EvidenceCell(200, "fptt-step", "ltc_adding")])


@claim(ENDS, SUITE)
def bptt_fails_with_the_papers_neuron(results: Results) -> Answer:
    """C1: BPTT fails on the adding task with LTC of the paper's equations, with adaptation, where windows learn.

    Summary: share of runs that end above 0.14 or diverge, at T = 200, 500 and 1000. Criterion: 4 of 5 at each length,
    while the windows are below 0.05 in all runs; refuted if 3 of 5 end below 0.14 at some length.
    """
    return bptt_fails(results, "ltc")


@claim(ENDS, SUITE)
def bptt_fails_with_the_released_neuron(results: Results) -> Answer:
    """C1: BPTT fails on the adding task with LTC of the released script, without adaptation, where windows learn.

    Summary and criterion: as for the paper's neuron.
    """
    return bptt_fails(results, "ltc_adding")


@claim(LOW, AFTER_BPTT)
def exceeds_bptt_with_a_low_gradient(results: Results) -> Answer:
    """C1: FPTT is better than BPTT on adding at T = 500, paper's LTC, both with a surrogate gradient of 0.1 (ours).

    Summary: log10 of the mean error of the last 100 iterations less BPTT's, by replicate, n = 5. Criterion: below 0,
    p <= 0.05 by Student's t after Holm over FPTT and its windows without the regulariser.
    """
    return low_gradient.exceeds_bptt(results, "FPTT")


@claim(LOW, AFTER_BPTT)
def windows_exceed_bptt_with_a_low_gradient(results: Results) -> Answer:
    """C1: the same of the windows without the regulariser (ours).

    Summary and criterion: as for FPTT.
    """
    return low_gradient.exceeds_bptt(results, "windows")


@claim(f"{LONG_ENOUGH} iterations to refute", ADDING)
def bptt_becomes_nan(results: Results) -> Answer:
    """C1: BPTT with LTC of the released script becomes NaN on the adding task (T = 500).

    Summary: share of runs that diverge. Criterion: all of n >= 3; refuted if none does.
    """
    return becomes_nan(results, [EvidenceCell(500, "bptt", "ltc_adding")])


@claim(ITERATIONS, "LSTM at the rate of the published curve, chosen after the runs at 1e-3; " + ADDING)
def simple_cells_fail(results: Results) -> Answer:
    """C2: FPTT trains gated cells (LSTM, LTC) on the adding task, and not simple ones (ASRNN, tanh RNN) (T = 500).

    Summary: least error over 100 iterations; LSTM at the rate 3e-3, that gives the published curve. Criterion: gated
    cells below 0.05 and simple ones above 0.14 in all of n >= 3 runs.
    """
    simple = [EvidenceCell(500, "fptt-authors", "asrnn_adding"), EvidenceCell(500, "fptt-authors-none", "rnn")]
    gated = [EvidenceCell(500, "fptt-authors", "ltc_adding"), EvidenceCell(500, "fptt-authors-none-3e-3", "lstm")]
    return both(fails(results, simple), learns(results, gated))


@claim(PAPER, ACCURACY)
def exceeds_eprop(results: Results) -> Answer:
    """C3: FPTT with LTC is more accurate than e-prop with ALIF (K = T on frames and rows, 28 by pixels).

    Summary: difference of the accuracies of a replicate, mean over datasets and n >= 3 replicates. Criterion: above 0.
    """
    return exceeds(results, (FRAMES, SEQUENCES), FPTT, EPROP)


@claim(PAPER, AFTER_28)
def exceeds_eprop_in_ten_parts(results: Results) -> Answer:
    """C3: FPTT with LTC is more accurate than e-prop with ALIF on sequential images (K = 10).

    Summary and criterion: as with K = 28.
    """
    return exceeds(results, (SEQUENCES,), FPTT_10, EPROP)


@claim(PAPER, "added after the runs as a control of the neuron; " + ACCURACY)
def exceeds_eprop_with_its_neuron(results: Results) -> Answer:
    """C3: FPTT is more accurate than e-prop with the same neuron, ALIF (control).

    Summary and criterion: as with LTC.
    """
    return exceeds(results, (FRAMES, SEQUENCES), FPTT_ALIF, EPROP)


@claim(PAPER, MILDER, primary=True)
def approaches_bptt_on_sequences(results: Results) -> Answer:
    """C4: FPTT with LTC is at most 3 points less accurate than BPTT with LTC on sequential images (K = 28).

    Summary: difference of the accuracies of a replicate, mean over datasets and n >= 3 replicates. Criterion: above −3.
    """
    return exceeds(results, (SEQUENCES,), FPTT, BPTT, margin=-3.0)


@claim(PAPER, f"K = 10 was added after the results with K = 28 had been seen; {MILDER}")
def approaches_bptt_in_ten_parts(results: Results) -> Answer:
    """C4: FPTT with LTC is at most 3 points less accurate than BPTT with LTC on sequential images (K = 10).

    Summary and criterion: as with K = 28.
    """
    return exceeds(results, (SEQUENCES,), FPTT_10, BPTT, margin=-3.0)


@claim(ALL_IMAGES, IN_SUITE)
def approaches_bptt_on_pixels(results: Results) -> Answer:
    """C4: FPTT is at most 3 points less accurate than BPTT on MNIST by pixels, all images, the milder LTC (K = 10).

    Summary: difference of the accuracies of a replicate, mean over n >= 3 replicates. Criterion: above −3.
    """
    return exceeds(results, (SMNIST,), FPTT_10_MILD, BPTT_MILD, margin=-3.0, size=trained(SMNIST, 20))


@claim(ALL_IMAGES, IN_SUITE)
def approaches_bptt_on_pixels_in_28_parts(results: Results) -> Answer:
    """C4: FPTT is at most 3 points less accurate than BPTT on MNIST by pixels, all images, the milder LTC (K = 28).

    Summary and criterion: as with K = 10.
    """
    return exceeds(results, (SMNIST,), FPTT_28_MILD, BPTT_MILD, margin=-3.0, size=trained(SMNIST, 20))


@claim(ALL_IMAGES, PERMUTED)
def approaches_bptt_on_permuted_pixels(results: Results) -> Answer:
    """C4: FPTT is at most 3 points less accurate than BPTT on permuted pixels, all images, the milder LTC (K = 10).

    Summary and criterion: as in the order of rows.
    """
    return exceeds(results, (PSMNIST,), FPTT_10_MILD, BPTT_MILD, margin=-3.0, size=trained(PSMNIST, 20))


@claim("scale paper: 416 x 416 pixels, full width, VOC", "before the runs: c0345fc, 2026-11-26")
def finds_objects(results: Results) -> Answer:
    """C9: FPTT trains a deep network that localises and names objects: mAP at an IoU of 0.5 is 50 % or more.

    Summary: mAP, mean over n >= 3 replicates. Criterion: above 50 %.
    """
    return detects(results)


@claim(
    "scale paper: networks at full width, all data",
    "detector and networks of the frames added after the runs: 2026-11-28",
)
def spikes_are_sparse(results: Results) -> Answer:
    """C10: the layers of networks that FPTT trains spike rarely, with a mean rate near 0.14 (at most 0.17).

    Summary: mean firing rate of the layers, mean over datasets and n >= 3 replicates. Criterion: below 0.17.
    """
    return is_sparse(results)


@claim(ITERATIONS, f"restated after the runs, from 'the regulariser makes FPTT learn'; {ADDING}")
def windows_alone_learn(results: Results) -> Answer:
    """C11: windows alone, without the regulariser, learn the adding task (Adam; T = 200, 500, 1000) (ours).

    Summary: least error over 100 iterations of the authors' loop without regulariser. Criterion: below 0.05 in all of
    n >= 3 runs at each length; refuted if in none at some length.
    """
    return learns(results, [EvidenceCell(T, "fptt-authors-none", "ltc_adding") for T in SUITES])


@claim("scale paper: 60 000 images, 100 epochs", "before the runs, in the suite: 10b32cb, 2026-11-28")
def windows_alone_learn_under_sgd(results: Results) -> Answer:
    """C11: windows alone learn rows of MNIST under SGD with momentum, as with the regulariser (K = 7 and 28) (ours).

    Summary: test accuracy without the regulariser, and less that with it, mean over n >= 3 replicates, for each K.
    Criterion: above twice chance in all runs, and above −3 points; refuted if in none at some K, or below −3.
    """
    return windows_suffice(results)


@claim(ALPHA, SILENT)
def learns_without_spikes(results: Results) -> Answer:
    """C12: the network of the adding task learns as soon if no neuron can spike (T = 200, 500, 1000) (ours).

    Summary: first iteration with an error below 0.1, median of n = 5 runs in windows without regulariser, released
    neuron, over the same with spikes. Criterion: at most 1.5 at each length; refuted if above at some length.
    """
    return needs_no_spikes(results)


@claim("n = 5, 3000 iterations with spikes", SILENT)
def spikes_delay_bptt(results: Results) -> Answer:
    """C12: spikes hold BPTT back with LTC of the paper's equations (T = 200) (ours).

    Summary: first iteration with an error below 0.1, median of n = 5 runs of BPTT without spikes, over the same with
    spikes. Criterion: at most 1/1.5; refuted if 1 or more.
    """
    return spikes_hold_bptt_back(results)
