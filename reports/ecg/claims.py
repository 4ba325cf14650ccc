"""Claims on the networks for electrocardiograms, judged with the published weights and with the suite `ecg`."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import pandas as pd

from throughtime.errors import UsageError, first_line
from throughtime.records.results import Results
from throughtime.reports.ecg import exact
from throughtime.reports.papers.claims import (
    ANYTHING,
    Answer,
    EachWithin,
    NeededSize,
    Values,
    claim,
    decided,
    differences,
    in_common,
    judged,
    trained,
)

SPIKING = " with spiking readout"
"""Ending of the name of a neuron in the network with the readout of 2021."""
EARLY, WHOLE = 10, 400
"""Epochs after which resonators are compared with ALIF, and epochs of the source's training."""
NEEDS = f"{WHOLE} epochs"
REGISTERED = "before the runs: 36f6165, 2026-11-26; statistics after them: 2026-11-28"
READOUT = "before the runs: cbd8790, 2026-11-26; statistics after them: 2026-11-28"


@claim(ANYTHING, "before the computation: d4e4b00, 2026-11-26", primary=True)
def adaptive(results: Results) -> Answer:
    """The network of 2021 reaches 85.9 % with adaptive neurons in its hidden layer.

    Summary: test accuracy of the published weights with adaptation and without. Criterion: at most 1 point lower with
    it.
    """
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
    reason = "published weights with adaptation and without; at most 1 point lower with it"
    return decided(with_adaptation > without - 1, ours, reason)


@claim(ANYTHING, READOUT.split(";")[0])
def weights_need_their_readout(results: Results) -> Answer:
    """The weights of 2021 and of the ALIF of 2024 each lose more than 1 point with the readout of the other.

    Summary: test accuracy of the published weights with either readout. Criterion: a loss above 1 point, of both.
    """
    try:
        own_2021, other_2021 = exact.asrnn(), exact.asrnn_leaky_readout()
        own_2024, other_2024 = exact.alif(), exact.alif_spiking_readout()
    except UsageError as error:
        return Answer("not run here", "", first_line(error))
    ours = f"2021: {own_2021:.1f} %, leaky: {other_2021:.1f} %; 2024: {own_2024:.1f} %, spiking: {other_2024:.1f} %"
    needed = own_2021 - other_2021 > 1 and own_2024 - other_2024 > 1
    reason = "published weights, not trained again; this does not say which readout trains better"
    return decided(needed, ours, reason)


@claim(f"{EARLY} epochs", REGISTERED, primary=True)
def resonators_learn_faster(results: Results) -> Answer:
    """Resonators learn faster than ALIF: after 10 epochs BRF and RF exceed 79 %, and ALIF has less than 60 %.

    Summary: test accuracy after 10 epochs less 79 %, and 60 % less that of ALIF. Criterion: above 0 in the mean over n
    >= 3 replicates, for each of the three neurons.
    """

    def margins(runs: Results) -> Values:
        accuracy = _accuracies(runs, EARLY)
        rows = {f"{name} − 79 %": accuracy[name] - 79 for name in ("brf", "rf") if name in accuracy}
        if "alif" in accuracy:
            rows["60 % − alif"] = 60 - accuracy["alif"]
        return in_common(rows) if len(rows) == 3 else {}

    return _judged(results, margins, trained("ecg", EARLY), f"test accuracy after {EARLY} epochs")


@claim(NEEDS, REGISTERED)
def better_than_lif(results: Results) -> Answer:
    """A balanced resonator is better than LIF neurons with learnt time constants (b_0 = 0.1, no adaptation).

    Summary: difference of the test accuracies of the last epoch. Criterion: above 0 in the mean over n >= 3 replicates.
    """
    return _ordered(results, ("brf", "lif-0.1"))


@claim(NEEDS, REGISTERED)
def adaptation_is_worse(results: Results) -> Answer:
    """Adaptation makes ALIF worse: β = 1.8 against 0, at either b_0 (our prediction).

    Summary and criterion: as above, at both b_0.
    """
    return _ordered(results, ("lif", "alif"), ("lif-0.1", "alif-0.1"))


@claim(NEEDS, REGISTERED)
def low_threshold_is_worse(results: Results) -> Answer:
    """The low threshold makes ALIF worse: b_0 = 0.01 against 0.1, with and without adaptation (our prediction).

    Summary and criterion: as above, with adaptation and without.
    """
    return _ordered(results, ("alif-0.1", "alif"), ("lif-0.1", "lif"))


@claim(NEEDS, READOUT)
def readout_is_worse(results: Results) -> Answer:
    """The leaky readout makes ALIF, and LIF with b_0 = 0.1, worse than the spiking one (we predict: it does not).

    Summary and criterion: as above, for both neurons.
    """
    return _ordered(results, *((f"{neuron}{SPIKING}", neuron) for neuron in ("alif", "lif-0.1")))


@claim(NEEDS, READOUT)
def neuron_decides_for_either_readout(results: Results) -> Answer:
    """LIF with b_0 = 0.1 (2021) is above ALIF (2024), whichever the two readouts (our prediction).

    Summary and criterion: as above, for each of the four pairs of readouts.
    """
    endings = ("", SPIKING)
    return _ordered(results, *((f"lif-0.1{better}", f"alif{worse}") for better in endings for worse in endings))


def _ordered(results: Results, *pairs: tuple[str, str]) -> Answer:
    """Judge whether, for each pair (better, worse), the one is more accurate than the other."""

    def number(runs: Results) -> Values:
        accuracy = _accuracies(runs)
        if not {name for pair in pairs for name in pair} <= accuracy.keys():
            return {}
        return in_common({f"{better} − {worse}": accuracy[better] - accuracy[worse] for better, worse in pairs})

    return _judged(results, number, trained("ecg", WHOLE), "test accuracy of the last epoch")


def _judged(results: Results, number: Callable[[Results], Values], size: NeededSize, reason: str) -> Answer:
    """Judge whether the mean of each row of differences is above 0."""
    reason = f"{reason}, points; each mean above 0 by its interval (* differs from 0 after Holm)"
    return judged(results, number, EachWithin(low=0.0), reason, size, show=differences)


def _accuracies(results: Results, epoch: int | None = None) -> dict[str, pd.Series]:
    """Return the test accuracies in percent after an epoch, or the last one, by neuron and readout and by replicate; 0
    for a run that diverged."""
    rows: dict[str, dict[int, float]] = {}
    runs = results.select("ecg").frame
    for _, run in runs[runs["status"].isin(("ok", "diverged"))].iterrows():
        curve = [row for row in results.curve(run["id"]) if epoch in (None, row["epoch"])]
        accuracy = 100 * curve[-1].get("test.accuracy", nan) if curve else nan
        name = run["neuron"] + SPIKING * (run["network"] == "ecg_spiking_readout")
        rows.setdefault(name, {})[run["replicate"]] = 0.0 if run["status"] == "diverged" else accuracy
    return {name: pd.Series(row) for name, row in rows.items()}
