"""Papers: targets and claims get verdicts from records and from computations, and a wrong value is found."""

from __future__ import annotations

import json
import re
from collections.abc import Container

import numpy as np
import pytest
import torch
import typer

import throughtime as tt
from tests.real_data import real, real_source  # noqa: F401
from tests.synthetic_records import measure, put, run_spec
from throughtime.commands.main import main
from throughtime.paper_folders import paper_folder, paper_folders
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.drawing import Drawn
from throughtime.reports.fptt.memory import slope
from throughtime.reports.influence_balancing import exact
from throughtime.reports.influence_balancing.descent import descend
from throughtime.reports.influence_balancing.experiment import descend_uoro, drawn_signs, train
from throughtime.reports.papers.paper import claims_of, draw_paper, judge, load_paper
from throughtime.reports.papers.stored import computing
from throughtime.reports.papers.verdicts import VerdictRow, judge_exact
from throughtime.spec import ComponentSpec


def exact_rows(compute: Container[str] = ()) -> list[VerdictRow]:
    """Return the verdicts of all exact targets; those of some papers from values that are computed again."""
    judged = (judge(load_paper(name), Results("nothing here"), name in compute) for name in paper_folders())
    return [row for rows in judged for row in rows if row.kind == "exact"]


def test_every_exact_target_is_reproduced_but_for_levels_that_our_training_surpasses():
    rows = exact_rows(compute=["eprop"])
    missed = {row.item: float(row.ours) - float(row.published) for row in rows if row.verdict != "reproduced"}
    assert len(rows) >= 8
    assert missed == {
        "linear classifier of the coordinates: test accuracy (%)": pytest.approx(0.4),
        "4-30-3 with a frozen lower layer: test accuracy (%)": pytest.approx(3.8, abs=0.1),
    }


@pytest.mark.slow
def test_every_stored_value_is_the_one_that_is_computed_again():
    with computing() as values:
        rows = exact_rows(compute=paper_folders())
        slope("bptt", "excluded", compiled=False)
    assert len(values) > 30 and [str(value) for value in values if value.differs] == []
    # Electrocardiograms and chorales are not part of the package.
    rows = [row for row in rows if not row.item.startswith("OSTL") and "accuracy" not in row.item]
    assert {row.verdict for row in rows} == {"reproduced"}


def test_a_wrong_published_value_is_not_reproduced():
    file = load_paper("influence_balancing").file
    for number, right in enumerate(file.targets):
        wrong = right.model_copy(update={"published": right.published + 2 * right.tolerance + 1e-6})
        assert judge_exact(wrong, vars(exact)[right.exact], "").verdict == "not reproduced", number


def test_published_weights_give_published_accuracies(real_source):  # noqa: F811
    real("qtdb/QTDB_test.mat")
    rows = judge(load_paper("ecg"), Results("nothing here"), compute=True)
    assert [row.verdict for row in rows if row.kind == "exact"] == ["reproduced"] * 4
    others = [row.verdict for row in rows if row.kind != "exact"]
    assert "not supported" in others and set(others) == {"not supported", "not run here"}


def test_claims_of_influence_balancing_hold():
    rows = judge(load_paper("influence_balancing"), Results("nothing here"))
    assert {row.verdict for row in rows if row.kind == "claim"} == {"supported"}
    assert {row.needs for row in rows if row.kind == "claim"} == {"anything"}


def test_every_paper_has_one_to_three_primary_claims_and_they_are_first():
    for name, folder in paper_folders().items():
        assert 1 <= sum(claim.primary for claim in claims_of(folder)) <= 3, name
    primary = [row.primary for row in judge(load_paper("rflo"), Results("nothing here"))]
    assert primary == [True, True, False, False]


def test_every_claim_says_when_it_was_fixed_and_how_it_is_judged():
    for name, folder in paper_folders().items():
        for claim in claims_of(folder):
            text = claim.judge.__doc__
            assert text.split("\n\n")[1].strip().startswith("Summary"), f"{name}: {claim.text}"
            assert "riterion" in text and claim.needs, f"{name}: {claim.text}"
            assert re.search(r"(before|after).*\d{4}-\d\d-\d\d", claim.registered), f"{name}: {claim.text}"


def test_every_suite_of_a_paper_says_when_it_was_fixed():
    for folder in paper_folders().values():
        for path in folder.suites().values():
            text = path.read_text("utf-8")
            assert re.search(r"^# Fixed (on \d{4}-\d\d-\d\d, )?(before|after)", text, re.MULTILINE), path


@pytest.mark.parametrize("rule", ["tbptt", "fptt"])
def test_the_closed_form_is_the_rule_of_the_package(rule):
    """Windows of 5 steps, 12 updates, float64."""
    options = {"window": 5} if rule == "tbptt" else {"parts": 12, "alpha": 0.5, "beta": 0.5}
    assert np.allclose(train(tt.build_rule(rule, **options), 5, 12), descend(5, rule, 12), rtol=0, atol=1e-13)


def test_uoro_in_closed_form_is_the_rule_of_the_package():
    """12 updates with the same signs, float64; the rule's loss is the mean over the steps, so its rate is 12 times."""
    signs, rule = drawn_signs(3, 12), tt.build_rule("uoro", loss_at="every", update_every=1)
    rows = iter(torch.tensor(signs))
    rule.signs = lambda *shape: next(rows).view(shape)
    path = descend_uoro(signs, rate=1e-3)
    assert np.allclose(train(rule, 1, 12, rate=12 * 1e-3), path, rtol=0, atol=1e-13)
    assert not np.allclose(path, descend_uoro(-drawn_signs(4, 12), rate=1e-3), rtol=0, atol=1e-6)


def test_a_claim_without_runs_is_not_run_here():
    rows = judge(load_paper("fptt"), Results("nothing here"))
    # Memory is computed without runs.
    rows = [row for row in rows if row.kind != "exact" and not row.item.startswith("C6")]
    assert {row.verdict for row in rows} == {"not run here"}


def test_the_figures_of_every_paper_are_found_and_take_results_without_runs():
    for name, folder in paper_folders().items():
        for figure, shown in draw_paper(folder, Results("nothing here"), "laptop").items():
            assert isinstance(shown, Drawn), f"{name}: {figure}"
    assert set(draw_paper(paper_folder("influence_balancing"), Results("nothing here"), "laptop")) == {"loss"}


def test_reproduce_writes_the_page(tmp_path, capsys):
    command = ["reproduce", "influence_balancing", "--results", str(tmp_path / "runs"), "--out", str(tmp_path)]
    assert main(command) == 0
    page = (tmp_path / "influence_balancing" / "index.html").read_text("utf-8")
    assert page.count('class="verdict">reproduced') == 8
    assert page.count("<svg") == 1 and page.index(">verdict<") < page.index(">published<")
    capsys.readouterr()
    assert main(["verdicts", "influence_balancing", "--results", str(tmp_path / "runs"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["verdict"] for row in rows} == {"reproduced", "supported"}


def test_a_page_of_claims_alone_has_no_column_of_published_values(tmp_path):
    assert main(["verdicts", "hypr", "--out", str(tmp_path)]) == 0
    page = (tmp_path / "hypr" / "index.html").read_text("utf-8")
    assert ">verdict<" in page and ">published<" not in page


def test_an_interruption_ends_reproduce(tmp_path, monkeypatch):
    begun = []

    def interrupted(suite, **_):
        begun.append(suite)
        raise typer.Exit(130)

    monkeypatch.setattr("throughtime.commands.papers.run", interrupted)
    assert main(["reproduce", "fptt", "--results", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 130
    assert len(begun) == 1 and not (tmp_path / "out").exists(), "the paper has several suites"


def test_verdicts_of_a_fresh_clone_are_of_the_committed_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["verdicts", "rflo", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 4 and "not run here" not in {row["verdict"] for row in rows}
    assert [row["n"] for row in rows] == [5] * 4


def test_runs_of_a_users_folder_replace_the_committed_ones_of_their_cell(tmp_path, capsys):
    store = Store(tmp_path)
    network = ComponentSpec(name="chaotic_rnn", label="chaotic_rnn")
    spec = run_spec("rflo leaky_tanh periodic_target", suite="rflo").model_copy(update={"network": network})
    put(store, spec, measures={"mse": measure(0.5, "loss")})
    assert main(["verdicts", "rflo", "--results", str(tmp_path), "--json"]) == 0
    rows = {row["item"]: row for row in json.loads(capsys.readouterr().out) if row["kind"] == "target"}
    assert [(row["ours"], row["n"]) for item, row in rows.items() if "RFLO" in item] == [("0.5", 1)]
    assert [row["n"] for item, row in rows.items() if "BPTT" in item] == [5]


def test_a_folder_without_runs_is_named(tmp_path, capsys):
    assert main(["verdicts", "rflo", "--results", str(tmp_path / "nowhere"), "--json"]) == 0
    assert "nowhere: the committed runs alone are judged" in " ".join(capsys.readouterr().err.split())


def test_an_unknown_paper_is_a_usage_error(capsys):
    assert main(["verdicts", "influence"]) == 2
    assert "influence_balancing" in capsys.readouterr().err
