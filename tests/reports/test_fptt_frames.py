"""Paper `fptt`, against frames: memory, accuracy and time; verdicts from synthetic records."""

from __future__ import annotations

import pytest

from tests.synthetic_records import costs, peaks, put, results, run_spec
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.reports.drawing import save
from throughtime.reports.fptt.comparison import FRAMES, LTC, Series, exceeds, trains
from throughtime.reports.fptt.cost_claims import faster_than_bptt, memory_is_constant
from throughtime.reports.fptt.figures import FIGURES
from throughtime.reports.fptt.memory import published_slope, slope
from throughtime.reports.fptt.times import grows
from throughtime.reports.papers.stored import reading
from throughtime.reports.quantities import MIB

FPTT = Series("fptt", LTC)


def put_accuracies(store, cell, values, suite=FRAMES, T=20, **fields):
    for replicate, value in enumerate(values):
        measures = results("accuracy", value, 0.1)
        put(store, run_spec(cell, replicate, suite=suite, steps=T), measures=measures, **fields)


def put_times(store, rule, seconds):
    for T, value in seconds.items():
        put(store, run_spec(f"{rule} ltc frames-{T}", suite="fptt-time", steps=T), measures=costs(value, None))


def test_the_memory_of_a_frame():
    """FPTT holds the input and, for each step, a row of the table of the auxiliary loss; BPTT all states too: those
    numbers are stored, and computed again in test_papers.py."""
    assert published_slope("fptt-step") == pytest.approx(8.004, abs=1e-3)
    assert published_slope("bptt") == pytest.approx(19.32, abs=1e-2)
    frame = 64 * 2 * 128 * 128 * 4 / MIB
    assert frame == 8
    assert slope("fptt-step", "on the device") == pytest.approx(frame + slope("fptt-step", "excluded"))
    assert 0 < slope("fptt-step", "excluded") < 0.001 and slope("fptt-step", "streamed") < 0.001
    with reading():
        bptt, by_autograd = (slope("bptt", "excluded", compiled=compiled) for compiled in (True, False))
        assert memory_is_constant(Results("nothing here")).word == "supported"
    # v, b and z of three layers of 512 are the least that BPTT must hold; spikes take a byte at least.
    assert bptt > 3 * 512 * 64 * (4 + 4 + 1) / MIB
    assert by_autograd > bptt, "autograd stores more of each step"


def test_ltc_is_compared_in_the_same_network(store):
    """Other pairs of networks are 30 points and more apart, and one network has no partner."""
    for network, means in {"recurrent": (0.8, 0.9), "smnist_srnn": (0.6, 0.7), "online_rnn": (0.2,)}.items():
        for rule, mean in zip(("bptt", "fptt"), means, strict=False):
            for replicate, value in enumerate((mean - 0.01, mean, mean + 0.01)):
                spec = run_spec((rule, "ltc", "rmnist"), replicate, suite=FRAMES, scale="paper")
                spec = spec.model_copy(update={"network": spec.network.model_copy(update={"label": network})})
                put(store, spec, measures=results("accuracy", value, 0.1))
    answer = exceeds(Results(store.folder), (FRAMES,), FPTT, Series("bptt", LTC))
    assert (answer.word, answer.n, answer.ours, answer.interval) == ("supported", 3, "rmnist: +10.0*", "[10, 10]")


def test_neurons_that_train(store):
    assert trains(Results(store.folder), "ltc").word == "not run here"
    put_accuracies(store, "fptt ltc nmnist-20", [0.5] * 3)
    assert trains(Results(store.folder), "ltc").word == "supported"
    put_accuracies(store, "fptt alif nmnist-20", [0.5, 0.5, 0.19])
    assert trains(Results(store.folder), "ltc", "alif").lean == "neither", "one run is hardly above chance"
    failure = Failure(reason="nan")
    put_accuracies(store, "fptt izhikevich nmnist-20", [0.5] * 3, status="diverged", failure=failure)
    assert trains(Results(store.folder), "ltc", "izhikevich").lean == "against"
    assert trains(Results(store.folder), "ltc", "lif").word == "not run here"


def test_times_that_grow(store, tmp_path):
    assert grows(Results(store.folder), "fptt", 0.85, 1.15).word == "not run here"
    put_times(store, "fptt-step", {20: 0.2, 40: 0.4, 80: 0.8})
    put_times(store, "bptt-io", {20: 0.2, 40: 0.8, 80: 3.2})
    put_times(store, "bptt", {20: 0.3, 40: 0.5, 80: 0.7})
    result = Results(store.folder)
    assert grows(result, "fptt-step", 0.85, 1.15).word == "supported"
    assert grows(result, "bptt-io", 0.85, 1.15).word == "not supported"
    assert grows(result, "bptt-io", 1.7, 2.3).ours == "bptt-io: 2.00"
    assert faster_than_bptt(result).word == "not run here", "another suite"
    drawn = FIGURES["time"](result, "laptop")
    ours = drawn.data.query("source == 'ours' and rule == 'bptt-io'")
    assert ours["per_frame"].tolist() == pytest.approx([0.01, 0.02, 0.04])
    theirs = drawn.data.query("source == 'published' and rule == 'fptt-step'")
    assert theirs["per_frame"].round(2).tolist() == [0.40, 0.35, 0.30, 0.29, 0.33, 0.38, 0.40]
    save(drawn, tmp_path / "out", "time")


def test_the_figure_of_accuracy_has_the_published_series_behind_those_of_the_gestures(store, tmp_path):
    put_accuracies(store, "fptt ltc gesture-20", [0.8, 0.9])
    put_accuracies(store, "fptt ltc nmnist-20", [0.7, 0.8])
    drawn = FIGURES["accuracy"](Results(store.folder), "laptop")
    theirs = drawn.data.query("source == 'published' and series == 'fptt ltc'")
    assert theirs["accuracy"].tolist() == pytest.approx([88.31, 90.39, 90.74, 91.31, 91.89, 90.16, 90.64])
    assert set(drawn.data.query("source == 'published'")["data"]) == {"gesture"}
    save(drawn, tmp_path / "out", "accuracy")


def put_bytes(store, T, scale="laptop"):
    spec = run_spec(f"bptt ltc frames-{T}", suite="fptt-memory", scale=scale, steps=T, passes=["bytes"])
    network = spec.network.model_copy(update={"label": "shallow"})
    dataset = spec.dataset.model_copy(update={"options": {"steps": T, "size": 8}})
    put(store, spec.model_copy(update={"network": network, "dataset": dataset}), measures=peaks(T * MIB, MIB, MIB))


def test_the_figure_of_memory_has_a_panel_for_each_place_of_the_input(store, tmp_path):
    put_bytes(store, 20)
    put_bytes(store, 40)
    drawn = FIGURES["memory"](Results(store.folder), "laptop")
    assert drawn.data.groupby("input")["MiB"].agg(list).to_dict() == {
        "input on the device": [20, 40],
        "input excluded": [19, 39],
        "input streamed": [1, 1],
    }
    assert set(drawn.data["source"]) == {"ours"}, "images of another size"
    save(drawn, tmp_path / "out", "memory")
    put_bytes(store, 60, "paper")
    assert set(FIGURES["memory"](Results(store.folder), "laptop").data["frames"]) == {60}, "paper before laptop"


@pytest.mark.parametrize("name", ["memory", "accuracy", "time"])
def test_nothing_to_draw(store, name):
    assert FIGURES[name](Results(store.folder), "laptop") is None
