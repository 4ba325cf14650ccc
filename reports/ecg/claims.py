"""Claims on the networks for electrocardiograms, judged with the published weights."""

from __future__ import annotations

from throughtime.comparing.published import Answer, Word
from throughtime.errors import UsageError, first_line
from throughtime.records.results import Results
from throughtime.reports.ecg import exact


def adaptive(results: Results) -> Answer:
    """The network of 2021 reaches 85.9 % with adaptive neurons in its hidden layer."""
    try:
        accuracy = {
            "β = 0, b_0 = 0.1": exact.asrnn(),
            "β = 1.8, b_0 = 0.1": exact.asrnn_adaptive(),
            "β = 0, b_0 = 0.01 (the script's)": exact.asrnn_low_threshold(),
        }
    except UsageError as error:
        return Answer("not run here", "", first_line(error))
    ours = ", ".join(f"{setting}: {value:.1f} %" for setting, value in accuracy.items())
    without, with_adaptation, _ = accuracy.values()
    word: Word = "supported" if with_adaptation > without - 1 else "not supported"
    return Answer(word, ours, "the published weights give the published accuracy only with adaptation switched off")


CLAIMS = (adaptive,)
