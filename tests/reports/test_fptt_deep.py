"""Paper `fptt`, deep networks: verdicts on detection (C9) and on firing rates (C10) from synthetic records."""

from __future__ import annotations

import pytest

import throughtime as tt
from tests.synthetic_records import measure, put, results, run_spec
from throughtime.datasets.files import fetch
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.reports.fptt.claims import finds_objects, spikes_are_sparse
from throughtime.reports.papers.paper import load_paper
from throughtime.reports.papers.verdicts import judge_runs
from throughtime.suites.suite import load_suite


def put_detectors(store, levels, dataset="bccd", scale="laptop", rule="fptt", **fields):
    for replicate, level in enumerate(levels):
        spec = run_spec(f"{rule} ltc {dataset}", replicate, suite="fptt-detection", scale=scale)
        put(store, spec, **{"measures": results("mAP", level, 0.0, "fraction"), **fields})


def put_rates(store, rates, dataset="mnist", scale="laptop", rule="fptt", suite="fptt-static"):
    """Runs of a network of two layers, with the rates of each."""
    for replicate, (first, second) in enumerate(rates):
        spec = run_spec(f"{rule} ltc {dataset}", replicate, suite=suite, scale=scale)
        layers = {"firing_rate.conv1": measure(first, "1"), "firing_rate.dense": measure(second, "1")}
        put(store, spec, measures={**results("accuracy", 0.9, 0.1), **layers})


@pytest.mark.parametrize(
    ("levels", "scale", "word", "lean"),
    [
        ([0.56, 0.57, 0.58], "paper", "supported", None),
        ([0.56, 0.57, 0.58], "laptop", "unclear", "for"),  # a smaller network on other images
        ([0.40, 0.41, 0.42], "paper", "not supported", None),
        ([0.40, 0.41, 0.42], "laptop", "unclear", "against"),
        ([0.50, 0.51, 0.52], "paper", "unclear", "neither"),  # 0.51 ± 0.025
        ([0.56, 0.57], "laptop", "not run here", None),  # n = 2
    ],
)
def test_a_detector_is_performant_from_an_map_of_a_half(store, levels, scale, word, lean):
    put_detectors(store, levels, scale=scale)
    put_detectors(store, [0.9, 0.9, 0.9], scale=scale, rule="fptt-none")  # another rule
    answer = finds_objects(Results(store.folder))
    assert (answer.word, answer.lean) == (word, lean)
    assert word == "not run here" or (answer.n, answer.scale) == (3, scale)


def test_the_images_of_the_paper_decide_and_their_numbers_are_shown(store):
    put_detectors(store, [0.56, 0.57, 0.58])
    put_detectors(store, [0.40, 0.41, 0.42], "voc-0712", "paper")
    put_detectors(store, [0.80, 0.81, 0.82], "bccd", "paper")
    answer = finds_objects(Results(store.folder))
    assert (answer.word, answer.ours) == ("not supported", "voc-0712: 40.0, 41.0, 42.0")


def test_a_detector_that_diverged_finds_nothing(store):
    put_detectors(store, [0.9] * 3, scale="paper", status="diverged", failure=Failure(reason="nan"), measures={})
    assert finds_objects(Results(store.folder)).word == "not supported"


@pytest.mark.parametrize(
    ("rates", "word"),
    [
        ([(0.20, 0.06), (0.21, 0.07), (0.22, 0.08)], "supported"),  # 0.14 ± 0.025
        ([(0.40, 0.10), (0.41, 0.11), (0.42, 0.12)], "not supported"),  # 0.26 ± 0.025
        ([(0.29, 0.05), (0.30, 0.06), (0.31, 0.07)], "unclear"),  # 0.18 ± 0.025
        ([(0.20, 0.06), (0.21, 0.07)], "not run here"),
    ],
)
def test_spikes_are_sparse_by_the_mean_over_the_layers(store, rates, word):
    put_rates(store, rates, scale="paper")
    put_rates(store, [(0.9, 0.9)] * 3, scale="paper", rule="bptt")
    answer = spikes_are_sparse(Results(store.folder))
    assert answer.word == word
    assert word != "supported" or answer.ours == "mnist: 0.14"


def test_spikes_are_sparse_in_the_mean_over_the_data_sets(store):
    """The detector and the networks of the frames count; at scale laptop they lean."""
    low, high = [(0.06, 0.04), (0.07, 0.05), (0.08, 0.06)], [(0.24, 0.14), (0.25, 0.15), (0.26, 0.16)]
    for scale in ("laptop", "paper"):
        put_rates(store, high, "gestures", suite="fptt-gestures", scale=scale)
        put_rates(store, low, "bccd", suite="fptt-detection", scale=scale)
        put_rates(store, low, "nmnist-20", suite="fptt-frames", scale=scale)
        put_rates(store, low, "nmnist-40", suite="fptt-frames", scale=scale)
        answer = spikes_are_sparse(Results(store.folder))
        assert (answer.word, answer.lean, answer.n) == ("unclear", "neither", 3)
        assert answer.ours == "gestures: 0.2; bccd: 0.06; nmnist: 0.06"
        assert answer.missing == ("" if scale == "paper" else "no run at scale paper")


def test_scale_paper_reads_the_folder_of_voc_that_a_change_names():
    suite = load_suite("fptt-detection", "paper", ["voc-0712.root=/data/VOCdevkit"])
    roots = {run.dataset.label: run.dataset.options.get("root") for run in suite.expand("paper")}
    assert roots == {"voc-0712": "/data/VOCdevkit", "bccd": None}


def test_the_target_of_firing_rates_is_the_mean_over_the_layers(store):
    put_rates(store, [(0.21, 0.07)] * 3, "gesture-100", "paper", suite="fptt-gestures")
    (target,) = [t for t in load_paper("fptt").file.targets if t.published == 0.14]
    assert target.cell.measure == "firing_rate.*"
    cell = target.cell.model_copy(update={"neuron": "ltc", "network": "recurrent"})  # those of the records made up here
    row = judge_runs(target.model_copy(update={"cell": cell}), Results(store.folder))
    assert (row.verdict, row.ours, row.n) == ("reproduced", "0.14", 3)


def test_the_detector_trains_at_scale_tiny_without_files(tmp_path, monkeypatch):
    """Its record has what the verdicts read; the verdicts do not judge this scale."""
    monkeypatch.setenv(fetch.DATA, "")
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))
    ran = tt.run("fptt-detection", scale="tiny", only="fptt ltc spyv4 rectangles", results=tmp_path / "runs")
    assert ran.frame["status"].tolist() == ["ok"] and 0 <= ran.frame["mAP"][0] <= 1
    assert len(ran.frame.filter(regex=r"^firing_rate\.").columns) == 19
    assert finds_objects(ran).word == "not run here"
