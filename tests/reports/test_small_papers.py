"""Papers rtrl_elstm, yinyang and hypr: identities in small, and claims on made-up runs that hold and fail."""

from __future__ import annotations

import pytest
import torch

from tests.synthetic_records import measure, put, run_spec
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.hypr import claims as hypr
from throughtime.reports.hypr import timing
from throughtime.reports.hypr.experiment import OPTIONS, Linear, scanned
from throughtime.reports.papers.stored import reading
from throughtime.reports.rtrl_elstm import claims as rtrl_claims
from throughtime.reports.yinyang import claims as yinyang_claims


@pytest.fixture
def runs(tmp_path):
    """Three runs of each rule with these accuracies."""
    store = Store(tmp_path / "runs")

    def made(suite: str, scale: str, accuracy: dict[str, float]) -> Results:
        for rule, value in accuracy.items():
            for replicate, off in enumerate((-0.001, 0.0, 0.001)):
                spec = run_spec((rule, "elstm", "copy"), replicate, suite=suite, scale=scale)
                put(store, spec, measures={"accuracy": measure(value + off * (rule != "rtrl"), "fraction")})
        return Results(store.folder)

    return made


@pytest.mark.usefixtures("tensor_operations")
def test_diagonal_rtrl_is_exact_in_one_layer_without_recurrent_weights_alone():
    assert rtrl_claims.gradient_error() < 1e-12
    assert rtrl_claims.gradient_error(connected=True) > 1e-3 < rtrl_claims.gradient_error(layers=2)


def test_a_wrong_gradient_changes_the_verdict(monkeypatch):
    with reading():
        assert rtrl_claims.exact_in_one_layer(Results("nothing")).word == "supported"
    monkeypatch.setattr(rtrl_claims, "gradient_error", lambda layers=1, connected=False: 2e-12 + connected)
    assert rtrl_claims.exact_in_one_layer(Results("nothing")).word == "not supported"


@pytest.mark.parametrize(
    "rtrl, scale, words",
    [(0.9995, "paper", "supported"), (0.98, "paper", "not supported"), (0.98, "laptop", "unclear")],
)
def test_the_copy_task_is_learnt_without_error_or_not(runs, rtrl, scale, words):
    assert rtrl_claims.both_copy(runs("rtrl_elstm", scale, {"bptt": 1.0, "rtrl": rtrl})).word == words


@pytest.mark.parametrize("rtrl, word", [(0.951, "supported"), (0.90, "not supported")])
def test_both_rules_end_alike_or_not(runs, rtrl, word):
    assert rtrl_claims.same_result(runs("rtrl_elstm", "laptop", {"bptt": 0.95, "rtrl": rtrl})).word == word


def test_rules_that_exceed_a_frozen_layer_have_exceeded_it_and_others_only_lean(runs):
    good = {"bptt": 0.95, "eprop": 0.94, "sltt": 0.93, "fptt": 0.945}
    results = runs("yinyang", "laptop", good)
    assert yinyang_claims.rules_train_the_hidden_layer(results).word == "supported"
    assert yinyang_claims.rules_approach_bptt(results)[0] == "unclear"
    assert yinyang_claims.rules_approach_bptt(results).lean == "for"
    assert yinyang_claims.bptt_is_near_eventprop(results).lean == "against"


def test_a_rule_below_the_frozen_layer_leans_against(runs):
    answer = yinyang_claims.rules_train_the_hidden_layer(
        runs("yinyang", "laptop", {"bptt": 0.95, "eprop": 0.8, "sltt": 0.93, "fptt": 0.9})
    )
    assert (answer.word, answer.lean) == ("unclear", "against")


@pytest.mark.usefixtures("tensor_operations")
@pytest.mark.parametrize("neuron", OPTIONS)
def test_a_scan_over_blocks_is_eprop_and_one_that_forgets_between_them_is_not(neuron):
    assert hypr.gradient_error(neuron, 7) < 1e-10
    assert hypr.gradient_error(neuron, 7, carried=False) > 1e-3


def test_a_scan_is_the_recursion_step_by_step():
    A, b = torch.randn(5, 2, 2, 1, 3).double(), torch.randn(5, 2, 1, 3, 4).double()
    ε = torch.zeros(2, 1, 3, 4).double()
    for t, map in enumerate(scanned(Linear(A, b)).b):
        ε = torch.einsum("ijbs,jbsf->ibsf", A[t], ε) + b[t]
        assert torch.allclose(map, ε, atol=1e-12)


@pytest.mark.usefixtures("tensor_operations")
def test_times_have_a_row_for_each_length():
    head, names, *rows = timing.rows([8, 30])
    assert "brf" in head and names.split() == ["steps", "bptt", "eprop", "scans"]
    assert [row.split()[0] for row in rows] == ["8", "30"]
    assert all(float(ms) > 0 for row in rows for ms in row.split()[1:])
