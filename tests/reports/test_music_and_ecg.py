"""The papers `ostl` and `ecg`: an identity that holds and fails where it must, and verdicts from learning curves."""

from __future__ import annotations

import json

import pytest

from tests.real_data import real, real_source  # noqa: F401
from tests.synthetic_records import put, results, run_spec
from throughtime.datasets.music import JSBChorales
from throughtime.paper_folders import paper_folder
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.drawing import save
from throughtime.reports.ecg import claims as ecg
from throughtime.reports.ostl import claims as ostl
from throughtime.reports.ostl.identity import largest_difference
from throughtime.reports.papers.paper import draw_paper, load_paper
from throughtime.reports.papers.verdicts import judge_runs
from throughtime.spec import ComponentSpec

OF_TRAINING = ecg.CLAIMS[2:]
NLL = ostl.published().set_index("epoch")["bptt"]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def put_curve(store, suite, rule, neuron, metric, curve, replicate=0, network=None):
    """A run with a test metric by epoch."""
    default, dataset = ("jsb_rnn", "jsb_chorales") if metric == "nll" else ("ecg_rnn", "qtdb")
    network = network or default
    spec = run_spec((rule.split("-")[0], neuron, dataset), replicate, suite=suite)
    update = {"rule": spec.rule.model_copy(update={"label": rule})}
    spec = spec.model_copy(update={**update, "network": ComponentSpec(name=network, label=network)})
    folder = put(store, spec, measures=results(metric, [*curve.values()][-1], 0.5))
    rows = ({"epoch": epoch, f"test.{metric}": value} for epoch, value in curve.items())
    (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_ostl_with_H_is_bptt_and_without_H_it_is_not():
    """Five epochs of a handful of sequences, in float64."""
    data = JSBChorales.tiny()
    assert largest_difference(data, units=5, epochs=5) < 1e-12
    assert largest_difference(data, units=5, epochs=5, with_H=False) > 1e-3


def test_the_paper_on_real_chorales(real_source):  # noqa: F811
    real("music/JSB_Chorales.mat")
    assert ostl.needs_H(Results("nothing here")).word == "supported"


@pytest.mark.parametrize("off, word", [(1e-6, "supported"), (1e-4, "not supported")])
def test_curves_of_ostl_and_bptt(store, off, word):
    put_curve(store, "ostl_identity", "bptt", "ssnu", "nll", {1: 11.5, 2: 11.2})
    assert ostl.one_gradient(Results(store.folder)).word == "not run here"
    put_curve(store, "ostl_identity", "ostl", "ssnu", "nll", {1: 11.5, 2: 11.2 + off})
    assert ostl.one_gradient(Results(store.folder)).word == word


def put_rates(store, distance, n=3):
    """Runs at both step sizes, each at a distance from the published curve that is half as large after 100 epochs."""
    for rule in ("bptt-5e-4", "bptt-1e-3"):
        for replicate in range(n):
            curve = {epoch: NLL[epoch] + distance / (1 + (epoch == 100)) for epoch in ostl.EPOCHS}
            put_curve(store, "ostl", rule, "ssnu", "nll", curve, replicate)


@pytest.mark.parametrize(
    "distance, level, step_size",
    [(0.1, "supported", "supported"), (0.3, "supported", "not supported"), (0.5, "not supported", "not supported")],
)
def test_level_and_curve(store, distance, level, step_size):
    put_rates(store, distance)
    found = Results(store.folder)
    assert (ostl.level(found).word, ostl.step_size(found).word) == (level, step_size)


def test_a_target_at_an_epoch_reads_the_curve(store):
    put_rates(store, 0.08)
    targets = {target.item: target for target in load_paper("ostl").file.targets if target.cell}
    rows = [judge_runs(target, Results(store.folder)) for target in targets.values()]
    assert [row.verdict for row in rows] == ["reproduced"] * 4
    assert [row.ours for row in rows] == [f"{NLL[10] + 0.08:.4g}", f"{NLL[100] + 0.04:.4g}"] * 2
    target = next(iter(targets.values()))
    missing = target.model_copy(update={"cell": target.cell.model_copy(update={"epoch": 11})})
    assert judge_runs(missing, Results(store.folder)).verdict == "not run here"


def test_a_target_has_an_epoch_or_an_iteration():
    cell = next(target.cell for target in load_paper("ostl").file.targets if target.cell)
    with pytest.raises(ValueError, match="either an iteration or an epoch"):
        type(cell).model_validate({**cell.model_dump(), "iteration": 100})


def test_too_few_runs_are_unclear(store):
    put_rates(store, 0.1, n=2)
    assert ostl.level(Results(store.folder)).word == ostl.step_size(Results(store.folder)).word == "unclear"


def put_neurons(store, network=None, **levels):
    for neuron, level in levels.items():
        for replicate in range(3):
            curve = {10: level + 0.01 * replicate, 20: level + 0.01 * replicate + 0.005}
            put_curve(store, "ecg", "bptt", neuron.replace("_", "-0."), "accuracy", curve, replicate, network)


def test_claims_on_electrocardiograms(store):
    assert {claim(Results(store.folder)).word for claim in OF_TRAINING} == {"not run here"}
    put_neurons(store, brf=0.80, rf=0.80, alif=0.55, lif=0.70, lif_1=0.81, alif_1=0.65)
    words = [claim(Results(store.folder)).word for claim in OF_TRAINING]
    # brf and lif-0.1 overlap, and the mean of lif-0.1 is higher; the other pairs are apart.
    assert words == ["supported", "not supported", "supported", "supported", "not run here", "not run here"]


@pytest.mark.parametrize(
    "alif, lif_1, readout, neuron",
    [
        (0.59, 0.85, "supported", "supported"),
        (0.53, 0.85, "not supported", "supported"),
        (0.56, 0.85, "unclear", "supported"),
        (0.80, 0.85, "supported", "unclear"),
        (0.83, 0.85, "supported", "not supported"),
    ],
)
def test_claims_on_the_readout(store, alif, lif_1, readout, neuron):
    """The runs of a cell are at its level and 1 and 2 points above: 0.56 overlaps with 0.55."""
    put_neurons(store, alif=0.55, lif_1=0.81)
    assert ecg.readout_is_worse(Results(store.folder)).word == "not run here"
    put_neurons(store, "ecg_spiking_readout", alif=alif, lif_1=lif_1)
    found = Results(store.folder)
    assert ecg.readout_is_worse(found).word == readout
    assert ecg.neuron_decides_for_either_readout(found).word == neuron


@pytest.mark.parametrize("own, other, word", [(85.9, 84.8, "supported"), (85.9, 85.0, "not supported")])
def test_weights_with_the_other_readout(monkeypatch, own, other, word):
    for name, accuracy in (("asrnn", own), ("asrnn_leaky_readout", other), ("alif", 70.8), ("alif_spiking_readout", 9)):
        monkeypatch.setattr(f"throughtime.reports.ecg.exact.{name}", lambda accuracy=accuracy: accuracy)
    assert ecg.weights_need_their_readout(Results("nothing here")).word == word


def test_runs_that_overlap_decide_nothing(store):
    put_neurons(store, brf=0.80, rf=0.78, alif=0.61, lif=0.62, lif_1=0.795, alif_1=0.63)
    words = [claim(Results(store.folder)).word for claim in OF_TRAINING]
    assert words == ["not supported", "unclear", "unclear", "unclear", "not run here", "not run here"]


def test_figures(store, tmp_path):
    for paper in ("ostl", "ecg"):
        assert draw_paper(paper_folder(paper), Results(store.folder), "laptop") == {}
    put_rates(store, 0.1)
    put_curve(store, "ostl_identity", "ostl", "ssnu", "nll", {1: 11.5, 2: 11.2})
    put_neurons(store, brf=0.80, alif=0.55, lif_1=0.81)
    put_neurons(store, "ecg_spiking_readout", alif=0.55)
    drawn = {
        paper: draw_paper(paper_folder(paper), Results(store.folder), "laptop")["curves"] for paper in ("ostl", "ecg")
    }
    assert [len(panel.lines) for panel in drawn["ostl"].figure.axes] == [1 + 6, 1]
    # Fifteen published curves and two of ours by three; three of ours by three; one with the other readout by three.
    assert [len(panel.lines) for panel in drawn["ecg"].figure.axes] == [15 + 6, 9, 3]
    for paper, figure in drawn.items():
        save(figure, tmp_path, paper)
