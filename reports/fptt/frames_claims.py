"""Claims of Yin, Corradi and Bohte 2023 on accuracies against the number of frames, judged from results."""

from __future__ import annotations

from throughtime.records.results import Results
from throughtime.reports.fptt.comparison import (
    ACCURACY,
    BPTT,
    BPTT_AUX,
    FPTT,
    FRAMES,
    IN_SUITE,
    MOTIONS,
    PAPER,
    SPEECH,
    Series,
    exceeds,
    falls_less,
    trains,
    with_frames,
)
from throughtime.reports.fptt.memory import FRAMES as NUMBERS_OF_FRAMES
from throughtime.reports.papers.claims import Answer, NeededSize, both, claim, trained

UPDATES = "fptt-motions-updates"
CONTROL = "a control, before its runs, in the suite: 2026-12-01"
UPDATES_SIZE = trained(UPDATES, 30)
FPTT_SCALED, BPTT_SCALED, BPTT_AUX_SCALED = (Series(rule, ("ltc-scaled",)) for rule in ("fptt", "bptt", "bptt-aux"))
FPTT_LOW, BPTT_LOW = (Series(f"{rule}-γ=0.3", ("ltc-scaled",)) for rule in ("fptt", "bptt"))
BPTT_SINGLE, WINDOWS = (Series(rule, ("ltc",)) for rule in ("bptt-batch-1", "fptt-none"))


def _motions(second: Series, frames: tuple[int, ...] = NUMBERS_OF_FRAMES) -> NeededSize:
    return with_frames(MOTIONS, frames, 30, 3, FPTT, second)


def _speech(first: Series, second: Series) -> NeededSize:
    return with_frames(SPEECH, (25, 50, 100, 200), 20, 5, first, second)


@claim(PAPER, ACCURACY)
def exceeds_bptt_on_frames(results: Results) -> Answer:
    """C4: FPTT with LTC is more accurate than BPTT with LTC on event recordings and speech.

    Summary: difference of the accuracies of a replicate, mean over numbers of frames, datasets and n >= 3 replicates.
    Criterion: above 0.
    """
    return exceeds(results, (FRAMES,), FPTT, BPTT)


@claim(PAPER, ACCURACY)
def exceeds_bptt_with_auxiliary_loss(results: Results) -> Answer:
    """C4: FPTT with LTC is more accurate than BPTT of the same losses at each step (BPTT-Aux).

    Summary and criterion: as against BPTT.
    """
    return exceeds(results, (FRAMES,), FPTT, BPTT_AUX)


@claim("20 to 500 frames, 30 epochs", IN_SUITE)
def exceeds_bptt_on_motions(results: Results) -> Answer:
    """C4: FPTT with LTC is more accurate than BPTT, and BPTT-Aux, with LTC on generated event recordings.

    Summary and criterion: as on event recordings and speech, against each.
    """
    return both(*(exceeds(results, (MOTIONS,), FPTT, other, size=_motions(other)) for other in (BPTT, BPTT_AUX)))


@claim("40, 100 and 200 frames, 30 epochs", CONTROL)
def exceeds_bptt_of_lower_surrogate_gradient(results: Results) -> Answer:
    """C4: the same if the surrogate gradient of BPTT has the height 0.3 in place of 0.73, that of FPTT (ours).

    Summary: difference of the accuracies of a replicate, mean over 40, 100 and 200 frames and n >= 3 replicates.
    Criterion: above 0.
    """
    bptt = Series("bptt-γ=0.3", ("ltc",))
    return exceeds(results, (MOTIONS,), FPTT, bptt, size=_motions(bptt, (40, 100, 200)))


@claim("40 frames, 30 epochs", IN_SUITE)
def exceeds_bptt_with_as_many_updates(results: Results) -> Answer:
    """C4: FPTT is more accurate than BPTT with batches of one, which updates nearly as often (generated events) (ours).

    Summary: difference of the accuracies of a replicate at 40 frames, mean over n >= 3 replicates. Criterion: above 0.
    """
    return exceeds(results, (UPDATES,), FPTT, BPTT_SINGLE, size=UPDATES_SIZE)


@claim(PAPER, "restated as a contrast after the runs; " + ACCURACY)
def falls_less_than_bptt(results: Results) -> Answer:
    """C5: the accuracy of FPTT with LTC falls less with the number of frames than that of BPTT.

    Summary: slope of the accuracy over log2 of the frames, FPTT less BPTT, mean over datasets and n >= 3 replicates.
    Criterion: above 0.
    """
    return falls_less(results, FPTT, BPTT)


@claim(PAPER, "restated as a contrast after the runs; " + ACCURACY)
def falls_less_than_bptt_with_auxiliary_loss(results: Results) -> Answer:
    """C5: the accuracy of FPTT with LTC falls less with the number of frames than that of BPTT-Aux.

    Summary and criterion: as against BPTT.
    """
    return falls_less(results, FPTT, BPTT_AUX)


@claim("20 to 500 frames, 30 epochs", IN_SUITE)
def falls_less_on_motions(results: Results) -> Answer:
    """C5: the accuracy of FPTT falls less with the frames than that of BPTT, and BPTT-Aux, on generated recordings.

    Summary and criterion: as on event recordings and speech, against each.
    """
    return both(*(falls_less(results, FPTT, other, MOTIONS, _motions(other)) for other in (BPTT, BPTT_AUX)))


@claim("25 to 200 frames, n = 5", IN_SUITE)
def falls_less_on_speech(results: Results) -> Answer:
    """C5: the same on the same second of speech in 25 to 200 frames, with time constants that grow with the frames.

    Summary and criterion: as on event recordings and speech, against each.
    """
    others = (BPTT_SCALED, BPTT_AUX_SCALED)
    return both(*(falls_less(results, FPTT_SCALED, other, SPEECH, _speech(FPTT_SCALED, other)) for other in others))


@claim("25 to 200 frames, n = 5", CONTROL)
def falls_less_at_lower_surrogate_gradient(results: Results) -> Answer:
    """C5: the same on speech if the surrogate gradient has the height 0.3 in place of 0.73, under FPTT and BPTT (ours).

    Summary and criterion: as on event recordings and speech, against BPTT.
    """
    return falls_less(results, FPTT_LOW, BPTT_LOW, SPEECH, _speech(FPTT_LOW, BPTT_LOW))


@claim(f"{PAPER}, to refute", "criterion before the runs: acbc688, 2026-11-26; replicates after them: 2026-11-28")
def trains_complex_neurons(results: Results) -> Answer:
    """C8: FPTT trains LTC, ALIF and Izhikevich neurons.

    Summary: least accuracy of a replicate over its datasets as a multiple of chance. Criterion: above 2 in all of n >=
    3 replicates of each neuron; refuted if in none of one.
    """
    return trains(results, "ltc", "alif", "izhikevich")


@claim("40 frames, 30 epochs", IN_SUITE)
def windows_alone_learn_motions(results: Results) -> Answer:
    """C11: windows alone are at most 3 points less accurate than with the regulariser (generated recordings) (ours).

    Summary: difference of the accuracies of a replicate at 40 frames, mean over n >= 3 replicates. Criterion: above −3.
    """
    return exceeds(results, (UPDATES,), WINDOWS, FPTT, margin=-3.0, size=UPDATES_SIZE)
