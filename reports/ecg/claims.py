"""Claims on the networks for electrocardiograms, judged with the published weights and with the suite `ecg`."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean

from throughtime.errors import UsageError, first_line
from throughtime.records.results import Results
from throughtime.reports.ecg import exact
from throughtime.reports.papers.verdicts import Answer, Word, at_a_scale, decided
from throughtime.spec import Scale

Accuracies = dict[str, list[float]]
"""Test accuracies of the runs of each neuron and readout."""

LEVELS = {"brf": (0.79, 1.0), "rf": (0.79, 1.0), "alif": (0.0, 0.60)}
"""Range of the test accuracy after 10 epochs, by neuron."""
SPIKING = " with spiking readout"
"""Ending of the name of a neuron in the network with the readout of 2021."""


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


def weights_need_their_readout(results: Results) -> Answer:
    """The weights of 2021 and of the ALIF of 2024 each lose more than 1 point with the readout of the other."""
    try:
        own_2021, other_2021 = exact.asrnn(), exact.asrnn_leaky_readout()
        own_2024, other_2024 = exact.alif(), exact.alif_spiking_readout()
    except UsageError as error:
        return Answer("not run here", "", first_line(error))
    ours = f"2021: {own_2021:.1f} %, leaky: {other_2021:.1f} %; 2024: {own_2024:.1f} %, spiking: {other_2024:.1f} %"
    needed = own_2021 - other_2021 > 1 and own_2024 - other_2024 > 1
    reason = "published weights, not trained again; this does not say which readout trains better"
    return Answer("supported" if needed else "not supported", ours, reason)


def resonators_learn_faster(results: Results) -> Answer:
    """Resonators learn faster than ALIF: after 10 epochs BRF and RF exceed 79 %, and ALIF has less than 60 %."""

    def inside(of: Accuracies) -> bool:
        return all(low < value < high for neuron, (low, high) in LEVELS.items() for value in of[neuron])

    return _judged(results, list(LEVELS), inside, "test accuracy after 10 epochs", epoch=10)


def better_than_lif(results: Results) -> Answer:
    """A balanced resonator is better than LIF neurons with learnt time constants (b_0 = 0.1, no adaptation)."""
    return _ordered(results, [("brf", "lif-0.1")])


def adaptation_is_worse(results: Results) -> Answer:
    """Adaptation makes ALIF worse: β = 1.8 against 0, at either b_0 (our prediction)."""
    return _ordered(results, [("lif", "alif"), ("lif-0.1", "alif-0.1")])


def low_threshold_is_worse(results: Results) -> Answer:
    """The low threshold makes ALIF worse: b_0 = 0.01 against 0.1, with and without adaptation (our prediction)."""
    return _ordered(results, [("alif-0.1", "alif"), ("lif-0.1", "lif")])


def readout_is_worse(results: Results) -> Answer:
    """The leaky readout makes ALIF, and LIF with b_0 = 0.1, worse than the spiking one (we predict: it does not)."""
    return _ordered(results, [(f"{neuron}{SPIKING}", neuron) for neuron in ("alif", "lif-0.1")])


def neuron_decides_for_either_readout(results: Results) -> Answer:
    """LIF with b_0 = 0.1 (2021) is above ALIF (2024), whichever the two readouts (our prediction)."""
    endings = ("", SPIKING)
    return _ordered(results, [(f"lif-0.1{better}", f"alif{worse}") for better in endings for worse in endings])


def _ordered(results: Results, pairs: list[tuple[str, str]]) -> Answer:
    """Judge whether, for each pair (better, worse), every run of the one exceeds every run of the other."""

    def word(of: Accuracies) -> Word:
        if all(min(of[better]) > max(of[worse]) for better, worse in pairs):
            return "supported"
        refuted = any(mean(of[better]) <= mean(of[worse]) for better, worse in pairs)
        return "not supported" if refuted else "unclear"

    reason = "test accuracy of the last epoch; supported if each run of the better is above each of the worse"
    return _judged(results, list(dict.fromkeys(neuron for pair in pairs for neuron in pair)), word, reason)


def _judged(
    results: Results,
    neurons: list[str],
    word: Callable[[Accuracies], Word | bool],
    reason: str,
    epoch: int | None = None,
) -> Answer:
    """Judge a condition on the test accuracies of some neurons after an epoch; None: the last."""

    def at(scale: Scale) -> Answer | None:
        found = _accuracies(results, scale, epoch)
        of = {neuron: found.get(neuron, []) for neuron in neurons}
        if not (n := min(map(len, of.values()))):
            return None
        ours = "; ".join(f"{neuron}: {', '.join(f'{100 * a:.1f}' for a in each)} %" for neuron, each in of.items())
        return decided(word(of), ours, reason, n, scale)

    return at_a_scale(at, f"the suite ecg has no run of one of {', '.join(neurons)}")


def _accuracies(results: Results, scale: Scale, epoch: int | None) -> Accuracies:
    """Return the test accuracies of the runs that are ok, by neuron and readout."""
    runs = results.select("ecg", scale).frame
    found: Accuracies = {}
    for _, run in runs[runs["status"] == "ok"].iterrows():
        rows = [row for row in results.curve(run["id"]) if epoch in (None, row["epoch"])]
        name = run["neuron"] + SPIKING * (run["network"] == "ecg_spiking_readout")
        found.setdefault(name, []).extend(row["test.accuracy"] for row in rows[-1:])
    return found


CLAIMS = (
    adaptive,
    weights_need_their_readout,
    resonators_learn_faster,
    better_than_lif,
    adaptation_is_worse,
    low_threshold_is_worse,
    readout_is_worse,
    neuron_decides_for_either_readout,
)
