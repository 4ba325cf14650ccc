"""Claims and figure on the adding task without spikes, from records made up for the runs of its suites."""

from __future__ import annotations

import pytest

from tests.synthetic_records import put, results, run_spec
from throughtime.records.results import Results
from throughtime.reports.fptt import claims
from throughtime.reports.fptt.figures import FIGURES

LENGTHS = (200, 500, 1000)
LTC = "ltc_adding"


@pytest.mark.parametrize(
    ("silent", "word"),
    [
        ({200: 30, 500: 30, 1000: 40}, "supported"),
        ({200: 60, 500: 60, 1000: 60}, "supported"),  # a factor of 1.5
        ({200: 30, 500: 70, 1000: 40}, "not supported"),
        ({200: 30, 500: None}, "not supported"),
        ({200: 30, 500: 30}, "unclear"),
    ],
)
def test_a_network_without_spikes_learns_within_a_factor_of_the_iterations(store, silent, word):
    for T in LENGTHS:
        put_firsts(store, f"none {LTC} adding-{T}", "fptt-alpha", [40, 40, 40, 400, None])
    for T, first in silent.items():
        put_firsts(store, f"none silent adding-{T}", "fptt-silent", [20, first, first, first, None])
    answer = claims.learns_without_spikes(Results(store.folder))
    assert (answer.word, answer.n) == (word, 5)
    assert answer.missing == ("T = 1000" if word == "unclear" else "")


@pytest.mark.parametrize(
    ("silent", "spiking", "word"),
    [
        (200, 300, "supported"),
        (200, None, "supported"),
        (210, 300, "unclear"),
        (300, 300, "not supported"),
        (None, 300, "not supported"),
        (None, None, "unclear"),
    ],
)
def test_spikes_hold_bptt_back_if_the_network_without_them_learns_sooner(store, silent, spiking, word):
    put_firsts(store, "bptt silent adding-200", "fptt-silent", [silent] * 5, iterations=1000)
    assert claims.spikes_delay_bptt(Results(store.folder)).word == "not run here"
    put_firsts(store, "bptt ltc adding-200", "fptt-bptt", [spiking] * 5, iterations=3000)
    answer = claims.spikes_delay_bptt(Results(store.folder))
    assert (answer.word, answer.lean) == (word, "neither" if word == "unclear" else None)


def test_short_runs_with_spikes_do_not_show_that_spikes_hold_bptt_back(store):
    put_firsts(store, "bptt silent adding-200", "fptt-silent", [200] * 5, iterations=1000)
    put_firsts(store, "bptt ltc adding-200", "fptt-bptt", [None] * 5, iterations=1000)
    answer = claims.spikes_delay_bptt(Results(store.folder))
    assert (answer.word, answer.lean, answer.missing) == ("unclear", "for", "1000 of 3000 iterations with spikes")


def put_firsts(store, cell, suite, firsts, iterations=300):
    """Runs of a cell whose error is first below 0.1 at these iterations; None: never."""
    for replicate, first in enumerate(firsts):
        low = 0 if first is None or first > iterations else (iterations - first) // 10 + 1
        curve = [0.17] * (iterations // 10 - low) + [0.01] * low
        spec = run_spec(cell, replicate, suite=suite, epochs=iterations // 10)
        put(store, spec, curve=curve, metric="mse", measures=results("mse", 0.1, 1 / 6))


def test_the_figure_has_a_line_for_each_run_that_spikes_and_each_that_cannot(store):
    for T in LENGTHS:
        put_firsts(store, f"none {LTC} adding-{T}", "fptt-alpha", [40, 50])
    assert FIGURES["silent"](Results(store.folder), "laptop") is None
    put_firsts(store, "none silent adding-500", "fptt-silent", [30])
    drawn = FIGURES["silent"](Results(store.folder), "laptop")
    runs = drawn.data.groupby(["column", "network"])["run"].nunique().to_dict()
    column = "windows, released neuron, T = "
    assert runs == {(f"{column}{T}", "spiking"): 2 for T in LENGTHS} | {(f"{column}500", "silent"): 1}
    errors, rates = drawn.figure.axes[:3], drawn.figure.axes[3:]
    assert [len(panel.lines) for panel in errors] == [3, 4, 3]  # the dashed line is that of a constant prediction
    assert [len(panel.lines) for panel in rates] == [2, 3, 2]
