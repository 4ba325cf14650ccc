"""Papers marschall and rflo: the comparison of gradients, the missing α, suites, verdicts from records."""

from __future__ import annotations

import copy
import math
from collections import Counter
from functools import partial

import pytest
import torch

import throughtime as tt
from throughtime.checks.tiny import INPUTS, SIZE, error, seeded
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Regression
from throughtime.harness.learner import Learner
from throughtime.networks.presets import online_rnn
from throughtime.neurons.leaky_tanh import LeakyTanh
from throughtime.paper_folders import paper_folder
from throughtime.records.results import Results
from throughtime.reports.marschall import claims, exact
from throughtime.reports.marschall.experiment import along_rtrl, cosines
from throughtime.reports.page.interactive import described
from throughtime.reports.papers.claims import claims_in
from throughtime.reports.papers.paper import draw_paper, judge, load_paper
from throughtime.reports.rflo import claims as claims_of_rflo
from throughtime.suites.suite import load_suite

TASK = Regression(1.0, per_step=True)
STEPS, RATE = 20, 0.1


def network(alpha: float = 0.5):
    with seeded(3):
        return online_rnn(INPUTS, 2, lambda n: LeakyTanh(n, alpha=alpha), hidden=[SIZE]).double()


def batch() -> Batch:
    x, target = (torch.randn(STEPS, 1, n, generator=torch.Generator().manual_seed(n)).double() for n in (INPUTS, 2))
    return Batch(x, target, True)


def rule(name: str, **options):
    return tt.build_rule(name, loss_at="every", update_every=1, **options)


def test_exact_rules_are_aligned_at_every_step_and_others_are_not():
    rules = {"ostl": rule("ostl"), "rtrl": rule("rtrl"), "snap1": rule("snap1"), "rflo": rule("rflo")}
    result = cosines(rules, network(), TASK, batch(), RATE).set_index(["rule", "other"])
    assert result.loc[("ostl", "rtrl"), "mean"] == pytest.approx(1, abs=1e-9)
    assert result.loc[("ostl", "rtrl"), "sd"] == pytest.approx(0, abs=1e-9)
    assert all(result.loc[(name, name), "mean"] == pytest.approx(1, abs=1e-9) for name in rules)
    assert result.loc[("ostl", "snap1"), "mean"] < 0.9999
    assert result.loc[("snap1", "rflo"), "mean"] < result.loc[("ostl", "snap1"), "mean"]


def test_the_leader_trains_as_it_does_alone():
    alone, followed = network(), network()
    learner = Learner(alone, rule("ostl"), TASK, STEPS)
    optimiser = torch.optim.SGD(learner.parameters(), lr=RATE)
    learner.learn(batch().x, batch().target, optimiser)
    before = copy.deepcopy([*followed.parameters()])
    cosines({"ostl": rule("ostl"), "uoro": rule("uoro")}, followed, TASK, batch(), RATE)
    assert error([*followed.parameters()], [*alone.parameters()]) < 1e-12
    assert error([*followed.parameters()], before) > 1e-3


def test_the_first_steps_do_not_count():
    def mean(**steps: int) -> float:
        result = cosines({"ostl": rule("ostl"), "snap1": rule("snap1")}, network(), TASK, batch(), RATE, **steps)
        return result.set_index(["rule", "other"]).loc[("ostl", "snap1"), "mean"]

    assert mean() != pytest.approx(mean(forgotten=15))
    assert mean(forgotten=15) != pytest.approx(mean(alone=15)), "after steps alone the others have no trace"


def test_feedback_weights_do_not_depend_on_the_other_rules():
    def with_leader(*others: str) -> float:
        result = cosines({name: rule(name) for name in ("ostl", *others)}, network(), TASK, batch(), RATE, seed=5)
        return result.set_index(["rule", "other"]).loc[("ostl", "rflo"), "mean"]

    assert with_leader("rflo") == with_leader("uoro", "rflo")


def test_the_alignment_of_the_suite_s_rules():
    """RTRL is aligned with itself; the truncation to 10 steps keeps nearly all of the gradient of lags 5 and 9."""
    result = along_rtrl("add", replicates=2, alone=50, steps=150)
    assert list(result.groupby("replicate").size()) == [36, 36]
    with_rtrl = result[result["other"] == "rtrl"].groupby("rule")["mean"].mean()
    assert with_rtrl["rtrl"] == pytest.approx(1)
    assert with_rtrl["rolling_tbptt"] > 0.9 > with_rtrl["kf_rtrl"] > with_rtrl["uoro"]


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.25])
def test_the_released_influence_lacks_alpha(alpha):
    released, corrected = exact.immediate_influence_over_derivative(alpha)
    assert released == pytest.approx(1 / alpha, rel=1e-6) and corrected == pytest.approx(1, rel=1e-6)


def test_uoro_survives_saturated_units():
    """J and the roots' denominators are 0 where every unit saturates: the estimate stays finite."""
    net = network(alpha=1.0)
    with torch.no_grad():
        net.layers[0].inward.weight.mul_(1e6)
    learner = Learner(net, rule("uoro"), TASK, STEPS)
    learner.learn(batch().x, batch().target, torch.optim.SGD(learner.parameters(), lr=RATE))
    assert all(bool(p.isfinite().all()) for p in net.parameters())


def test_suites_have_the_settings_of_the_papers():
    cells = load_suite("marschall").cells["paper"]
    assert len(cells) == 28
    for cell in cells:
        assert cell.neuron.options["alpha"] == (0.5 if "half" in cell.dataset.label else 1.0)
        every = cell.rule.options.get("update_every", 1)
        T = cell.dataset.options["steps"] if "update_every" in cell.rule.options else 1
        step = cell.training.learning_rate / T * (2 / 32 if "mimic" in cell.dataset.label else 1)
        assert (
            every == 1 and step == pytest.approx(1e-3) and cell.training.epochs * cell.dataset.options["steps"] == 1e5
        )
    (bptt, rflo) = load_suite("rflo").cells["laptop"]
    assert bptt.training == rflo.training and bptt.training.epochs * bptt.dataset.options["sequences"] == 10_000


def test_without_runs_only_the_code_is_judged():
    rows = {name: judge(load_paper(name), Results("nothing here")) for name in ("marschall", "rflo")}
    words = Counter(row.verdict for row in rows["marschall"])
    assert words == {"reproduced": 3, "not run here": 4, "not supported": 1}
    assert {row.verdict for row in rows["rflo"]} == {"not run here"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """RTRL and RFLO on Add at tiny scale."""
    folder = tmp_path_factory.mktemp("runs")
    for cell in ("rtrl tanh online_rnn add #0", "rflo tanh online_rnn add #0"):
        results = tt.run("marschall", scale="tiny", only=cell, results=folder)
    return results


def test_figures_from_runs(ran, monkeypatch):
    short = partial(along_rtrl, replicates=1, alone=10, steps=130)
    monkeypatch.setattr("throughtime.reports.marschall.figures.along_rtrl", short)
    assert set(ran.frame["status"]) == {"ok"}
    drawn = draw_paper(paper_folder("marschall"), ran, "tiny")
    assert set(drawn) == {"curves", "alignment", "cosine"}
    assert len(drawn["curves"].data) == 4 and set(drawn["curves"].data["step"]) == {100, 200}
    assert described(drawn["alignment"].figure) == {}, "the page shows the picture"
    matrix = drawn["alignment"].data.set_index(["rule", "other"])["mean"]
    assert matrix["rtrl", "rtrl"] == pytest.approx(1) and abs(matrix["rtrl", "rflo"]) < 1
    assert list(drawn["cosine"].data["rule"]) == ["rflo", "rtrl"]
    exploded = Results(ran.folder)
    exploded.frame.loc[exploded.frame["rule"] == "rflo", "loss"] = 50.0
    notes = draw_paper(paper_folder("marschall"), exploded, "tiny")["cosine"].caption
    assert notes[-1] == "Runs with losses outside the axis, up to 50: 1 of rflo."


def test_the_suite_of_rflo_runs(tmp_path):
    results = tt.run("rflo", scale="tiny", only="rflo leaky_tanh chaotic_rnn periodic_target #0", results=tmp_path)
    (run,) = results.frame["id"]
    assert [row["updates"] for row in results.curve(run)] == [10, 20]
    assert 0 < results.frame["mse"][0] < 2  # a chaotic network of 50 units with small readout weights: near 0.66


def as_if(ran: Results, losses: dict[str, list[float]], suite="marschall", measure="loss", epochs=20) -> Results:
    """Return results with these losses in place of those that ran, at scale laptop; infinity: the run diverged."""
    changed = Results(ran.folder)
    row, rows = {**changed.frame.iloc[0], "suite": suite, "scale": "laptop", "epochs": epochs}, []
    for name, values in losses.items():
        for replicate, value in enumerate(values):
            status = "diverged" if math.isinf(value) else "ok"
            rows.append({**row, "rule": name, measure: value, "replicate": replicate, "status": status})
    changed.frame = type(ran.frame)(rows)
    return changed


GOOD = {"rtrl": [0.47, 0.48, 0.46], "kf_rtrl": [0.47] * 3, "readout": [0.53] * 3, "uoro": [0.52] * 3}


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({}, "supported"),
        ({"rtrl": [0.53] * 3, "readout": [0.51] * 3, "uoro": [0.54, 0.54, math.inf]}, "not supported"),
        ({"rtrl": [0.53, 0.47, 0.47], "readout": [0.51, 0.53, 0.53], "uoro": [0.52, 0.52, math.inf]}, "unclear"),
    ],
)
def test_claims_can_fail(ran, changed, word):
    for claim in (claims.unbiased_rules_learn, claims.the_readout_does_not, claims.uoro_learns):
        assert claim(as_if(ran, GOOD | changed)).word == word, claim.text
        short = claim(as_if(ran, GOOD | changed, epochs=9))
        assert (short.word, short.missing) == ("unclear", "9 of 10 epochs")
    few = {name: values[:2] for name, values in GOOD.items()}
    assert claims.unbiased_rules_learn(as_if(ran, few)).word == "unclear"


@pytest.mark.parametrize(
    ("kf", "larger", "word", "lean"),
    [
        (0.47, "kf_rtrl", "unclear", "for"),  # the larger cosine has the smaller loss, in one pair
        (0.47, "rflo", "not supported", None),
        (0.55, "kf_rtrl", "not supported", None),
        (0.51, "kf_rtrl", "unclear", "neither"),
    ],
)
def test_the_rank_of_the_cosine(ran, monkeypatch, kf, larger, word, lean):
    monkeypatch.setattr(exact, "cosine_with_rtrl", lambda dataset, rule: 0.5 + (larger == rule))
    losses = {"kf_rtrl": [kf] * 3, "rflo": [0.50, 0.51, 0.52]}
    answer = claims.alignment_ranks(as_if(ran, losses))
    assert (answer.word, answer.lean) == (word, lean)


def test_claims_of_rflo_can_fail(ran):
    for bptt, rflo, words in (
        ([1e-3] * 5, [2e-3] * 5, ["supported", "supported"]),
        ([1e-3] * 5, [2e-3, 2e-3, 2e-3, 2e-3, 5e-3], ["unclear", "supported"]),
        ([1e-3] * 5, [5e-3] * 5, ["not supported", "supported"]),
        ([1e-4] * 5, [2e-3] * 5, ["supported", "not supported"]),
        ([1e-4] * 5, [2e-3] * 4, ["unclear", "unclear"]),
        ([1e-4] * 5, [math.inf] * 5, ["not supported", "not supported"]),
    ):
        results = as_if(ran, {"bptt": bptt, "rflo": rflo}, "rflo", "mse")
        assert [claim(results).word for claim in claims_in(claims_of_rflo)] == words, (bptt, rflo)
