"""The papers `ostl` and `ecg`: an identity that holds and fails where it must, and verdicts from learning curves."""

from __future__ import annotations

import json

import pytest

from tests.real_data import real, real_source  # noqa: F401
from tests.synthetic_records import put, results, run_spec
from throughtime.datasets.music import JSBChorales
from throughtime.paper_folders import paper_folder
from throughtime.records.results import Results
from throughtime.reports.drawing import save
from throughtime.reports.ecg import claims as ecg
from throughtime.reports.ostl import claims as ostl
from throughtime.reports.ostl.experiment import largest_difference
from throughtime.reports.papers.claims import claims_in
from throughtime.reports.papers.paper import draw_paper, load_paper
from throughtime.reports.papers.verdicts import judge_runs
from throughtime.spec import ComponentSpec

OF_TRAINING = claims_in(ecg)[2:]
NLL = ostl.published().set_index("epoch")["bptt"]


def put_curve(store, suite, rule, neuron, metric, curve, replicate=0, network=None, epochs=400):
    """A run with a test metric by epoch."""
    default, dataset = ("jsb_rnn", "jsb_chorales") if metric == "nll" else ("ecg_rnn", "qtdb")
    network = network or default
    spec = run_spec((rule.split("-")[0], neuron, dataset), replicate, suite=suite, epochs=epochs)
    update = {"rule": spec.rule.model_copy(update={"label": rule})}
    spec = spec.model_copy(update={**update, "network": ComponentSpec(name=network, label=network)})
    folder = put(store, spec, measures=results(metric, [*curve.values()][-1], 0.5))
    rows = ({"epoch": epoch, f"test.{metric}": value} for epoch, value in curve.items())
    (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.usefixtures("tensor_operations")
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
    [(0.1, "supported", "supported"), (0.28, "supported", "not supported"), (0.5, "not supported", "not supported")],
)
def test_level_and_curve(store, distance, level, step_size):
    put_rates(store, distance)
    result = Results(store.folder)
    assert (ostl.level(result).word, ostl.step_size(result).word) == (level, step_size)


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


def put_neurons(store, network=None, epochs=400, **levels):
    """Runs at a level and 1 and 2 points above, half a point more at the end; each neuron has another order."""
    for number, (neuron, level) in enumerate(levels.items()):
        for replicate in range(3):
            off = 0.01 * ((replicate + number) % 3)
            curve = {10: level + off, 20: level + off + 0.005}
            put_curve(store, "ecg", "bptt", neuron.replace("_", "-0."), "accuracy", curve, replicate, network, epochs)


def test_claims_on_electrocardiograms(store):
    assert {claim(Results(store.folder)).word for claim in OF_TRAINING} == {"not run here"}
    put_neurons(store, brf=0.86, rf=0.86, alif=0.50, lif=0.70, lif_1=0.82, alif_1=0.60)
    answers = [claim(Results(store.folder)) for claim in OF_TRAINING]
    words = [answer.word for answer in answers]
    assert words == ["supported", "unclear", "supported", "supported", "not run here", "not run here"]
    assert (answers[1].lean, answers[1].ours) == ("neither", "brf − lif-0.1: +4.0")


@pytest.mark.parametrize(("lif", "word"), [(0.75, "supported"), (0.86, "unclear"), (0.95, "not supported")])
def test_an_order_is_decided_by_the_interval_of_the_difference(store, lif, word):
    """Not by its sign, nor by whether the runs are apart. At 40 of 400 epochs it leans."""
    put_neurons(store, brf=0.85, lif_1=lif)
    assert ecg.better_than_lif(Results(store.folder)).word == word
    put_neurons(store, brf=0.85, lif_1=lif, epochs=40)
    answer = ecg.better_than_lif(Results(store.folder))
    lean = {"supported": "for", "not supported": "against"}.get(word, "neither")
    assert (answer.word, answer.lean, answer.missing) == ("unclear", lean, "40 of 400 epochs")


@pytest.mark.parametrize(
    "alif, lif_1, readout, neuron",
    [
        (0.65, 0.91, "supported", "supported"),
        (0.45, 0.91, "not supported", "supported"),
        (0.56, 0.91, "unclear", "supported"),
        (0.81, 0.91, "supported", "unclear"),
        (0.97, 0.91, "supported", "not supported"),
    ],
)
def test_claims_on_the_readout(store, alif, lif_1, readout, neuron):
    put_neurons(store, lif_1=0.81, alif=0.55)
    assert ecg.readout_is_worse(Results(store.folder)).word == "not run here"
    put_neurons(store, "ecg_spiking_readout", alif=alif, lif_1=lif_1)
    result = Results(store.folder)
    assert ecg.readout_is_worse(result).word == readout
    assert ecg.neuron_decides_for_either_readout(result).word == neuron


@pytest.mark.parametrize("own, other, word", [(85.9, 84.8, "supported"), (85.9, 85.0, "not supported")])
def test_weights_with_the_other_readout(monkeypatch, own, other, word):
    for name, accuracy in (("asrnn", own), ("asrnn_leaky_readout", other), ("alif", 70.8), ("alif_spiking_readout", 9)):
        monkeypatch.setattr(f"throughtime.reports.ecg.exact.{name}", lambda accuracy=accuracy: accuracy)
    assert ecg.weights_need_their_readout(Results("nothing here")).word == word


def test_resonators_are_compared_after_ten_epochs(store):
    put_neurons(store, epochs=20, brf=0.86, rf=0.79, alif=0.50)
    answer = ecg.resonators_learn_faster(Results(store.folder))
    assert (answer.word, answer.lean, answer.missing) == ("unclear", "neither", "")
    put_neurons(store, epochs=20, brf=0.70, rf=0.86, alif=0.50)
    answer = ecg.resonators_learn_faster(Results(store.folder))
    assert answer.word == "not supported" and answer.ours == "brf − 79 %: -8.0*, rf − 79 %: +8.0*, 60 % − alif: +9.0*"


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
