"""Papers otpe, online_lru and neuroseqbench: identities, and claims that hold and fail on other numbers."""

from __future__ import annotations

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.neuroseqbench import claims as bench_claims
from throughtime.reports.online_lru import claims as lru_claims
from throughtime.reports.online_lru.claims import cosines, gradient_error
from throughtime.reports.otpe import claims as otpe_claims
from throughtime.reports.papers.claims import claims_in
from throughtime.reports.papers.stored import reading

NOTHING = Results("nothing")
READINGS = {"eprop_released": 0.54, "eprop_recurrent": 0.52}
"""Accuracies of e-prop with traces of recurrent weights alone."""


@pytest.mark.usefixtures("tensor_operations")
def test_linear_units_are_exact_in_one_layer_and_in_the_last_of_two():
    assert gradient_error(1) < 1e-12 and gradient_error(2) > 1e-3
    lower, last = cosines("online", 2, 0)
    assert lower < 0.9 and last == pytest.approx(1)


def test_stored_values_support_the_identities():
    with reading():
        words = [claim(NOTHING).word for claim in (*claims_in(otpe_claims)[:2], claims_in(lru_claims)[0])]
    assert words == ["supported"] * 3


@pytest.mark.parametrize(
    "errors, word", [((1e-12, 0.1), "supported"), ((1e-9, 0.1), "not supported"), ((1e-12, 1e-4), "not supported")]
)
def test_an_inexact_gradient_with_two_layers_refutes(monkeypatch, errors, word):
    monkeypatch.setattr(otpe_claims, "gradient_error", lambda rule, depth: errors[depth - 2])
    assert otpe_claims.exact_with_one_hidden_layer(NOTHING).word == word


@pytest.mark.parametrize("ahead, word", [(0.2, "supported"), (-0.2, "not supported")])
def test_the_direction_decides_on_otpe(monkeypatch, ahead, word):
    def cosines(rule, code, depth, seed):
        return (*[0.5 + 0.01 * seed + ahead * (rule == "OTPE")] * (depth - 1), 1.0)

    monkeypatch.setattr(otpe_claims, "cosines", cosines)
    assert otpe_claims.otpe_has_the_best_direction(NOTHING).word == word


@pytest.mark.parametrize("otpe, lean", [(0.8, "for"), (0.4, "against")])
def test_accuracies_on_times_lean(tmp_path, otpe, lean):
    store = Store(tmp_path / "runs")
    for rule, accuracy in {"otpe": otpe, "ostl": 0.6, "ottt": 0.61}.items():
        for replicate, off in enumerate((-0.01, 0.0, 0.01)):
            spec = run_spec((rule, "lif", "time"), replicate, suite="otpe")
            put(store, spec, measures={"accuracy": measure(accuracy + off * (rule == "otpe"), "fraction")})
    answer = otpe_claims.best_on_times(Results(store.folder))
    assert (answer.word, answer.lean) == ("unclear", lean)


@pytest.mark.parametrize("online, lean", [(0.9, "for"), (0.5, "against")])
def test_accuracies_on_copies_lean(tmp_path, online, lean):
    store = Store(tmp_path / "runs")
    for rule, accuracy in {"online": online, "spatial": 0.6}.items():
        for layers in lru_claims.LAYERS:
            for replicate, off in enumerate((-0.01, 0.0, 0.01)):
                spec = run_spec((rule, "lru", "copy"), replicate, suite="online_lru")
                network = spec.network.model_copy(update={"label": f"{layers}-layers"})
                spec = spec.model_copy(update={"network": network})
                put(store, spec, measures={"accuracy": measure(accuracy + off * (rule == "online"), "fraction")})
    answer = lru_claims.learns_to_copy(Results(store.folder))
    assert (answer.word, answer.lean) == ("unclear", lean)


@pytest.mark.parametrize("eprop, leans", [(0.5, ("for", "for", "against")), (0.8, ("against", "against", "for"))])
def test_an_order_of_rules_leans(tmp_path, eprop, leans):
    store = Store(tmp_path / "runs")
    for rule, accuracy in {"bptt": 0.73, "tbptt": 0.71, "eprop": eprop, "sltt": 0.51, **READINGS}.items():
        for replicate, off in enumerate((-0.001, 0.0, 0.001)):
            spec = run_spec((rule, "lif", "pixels"), replicate, suite="neuroseqbench")
            network = spec.network.model_copy(update={"label": "recurrent"})
            accuracies = {"accuracy_best_validation": measure(accuracy + off * (rule != "sltt"), "fraction")}
            put(store, spec.model_copy(update={"network": network}), measures=accuracies)
    results = Results(store.folder)
    judged = (
        bench_claims.order_of_the_recurrent_network,
        bench_claims.eprop_is_like_sltt,
        bench_claims.traces_of_inputs_matter,
    )
    answers = [judge(results) for judge in judged]
    assert tuple(answer.lean for answer in answers) == leans
    assert bench_claims.order_of_the_feedforward_network(results).word == "not run here"
