"""Rules against one reference: worked by hand, and false verdicts by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from throughtime.records.statistics.against import against, is_bimodal, solved


def runs(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_a_difference_of_means_is_paired_and_corrected():
    """Differences 1, 2, 3: mean 2, sd 1, t = 2 √3 at 2 degrees of freedom: p = 0.0742; twice that by Holm."""
    result = against(runs(0, 0, 0), {"a": runs(1, 2, 3), "b": runs(-1, -2, -3)}, "higher")
    assert result["a"].difference == 2 and result["a"].n == 3 and result["a"].p == pytest.approx(2 * 0.07418, rel=1e-3)
    assert result["a"].low == pytest.approx(2 - 4.3027 / math.sqrt(3), rel=1e-4)
    assert {verdict.word for verdict in result.values()} == {"not distinguished"}
    alone = against(runs(0, 0, 0, 0), {"a": runs(1, 2, 3, 2)}, "lower")
    assert (
        alone["a"].word == "worse"
        and against(runs(0, 0, 0, 0), {"a": runs(1, 2, 3, 2)}, "higher")["a"].word == "better"
    )


def test_shares_of_solved_runs_have_an_exact_test():
    """5 of 5 against 0 of 5: 2 / 252 = 0.0079; with six rules 0.048, with seven 0.056, and nothing could be decided."""
    task = solved("higher", "fraction", 0.5)
    full, none = runs(*[0.9] * 5), runs(*[0.5] * 5)
    for rules, word in ((6, "worse"), (7, "n decides nothing")):
        result = against(full, {str(i): none for i in range(rules)}, "higher", task)
        assert result["0"].p == pytest.approx(rules * 2 / 252) and result["0"].word == word
        assert result["0"].difference == -1 and result["0"].low is None


def test_a_run_is_solved_from_80_percent_on_where_chance_is_50():
    assert solved("higher", "fraction", 0.5)(0.8) and not solved("higher", "fraction", 0.5)(0.79)
    assert solved("lower", "1", 0.167)(0.066) and not solved("lower", "1", 0.167)(0.067)


def test_results_are_bimodal_where_solved_and_unsolved_runs_of_a_rule_are_apart():
    task = solved("higher", "fraction", 0.5)
    assert is_bimodal({"a": runs(0.5, 0.95)}, task)
    assert not is_bimodal({"a": runs(0.77, 0.82)}, task), "a spread around the bound"
    assert not is_bimodal({"a": runs(0.5, 0.5), "b": runs(0.9, 0.9)}, task), "rules that differ"


def test_a_single_replicate_decides_nothing():
    (result,) = against(runs(0.5), {"a": runs(0.9)}, "higher").values()
    assert (result.word, result.n, result.low) == ("n decides nothing", 1, None) and result.difference == pytest.approx(
        0.4
    )


def test_n_of_one_pair_decides_nothing_where_that_of_another_does():
    result = against(runs(0, 0, 0, 0), {"a": runs(1, 2, 3, 2), "b": {0: 4}}, "higher")
    assert [verdict.word for verdict in result.values()] == ["better", "n decides nothing"]


def test_rules_without_a_common_replicate_are_not_distinguished():
    (result,) = against({0: 0.5, 1: 0.6}, {"a": {2: 0.9, 3: 0.95}}, "higher").values()
    assert result.n == 0 and result.p == 1


def test_false_verdicts_within_a_family_are_at_most_five_percent():
    """Six rules of the same distribution as the reference, n = 5, means and shares: 600 families each."""
    random, families = np.random.default_rng(0), 600
    draws = random.normal(size=(families, 7, 5))
    task = solved("higher", "fraction", 0.5)
    coins = 0.5 + 0.45 * (random.random((families, 7, 5)) < 0.5)
    for values, solved_task in ((draws, None), (coins, task)):
        wrong = 0
        for base, *rules in values:
            result = against(runs(*base), {str(i): runs(*rule) for i, rule in enumerate(rules)}, "higher", solved_task)
            wrong += any(verdict.word in ("better", "worse") for verdict in result.values())
        assert wrong / families <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / families)


def test_differences_equal_to_rounding_decide_nothing():
    """7 - 6, 8 - 7 and 9 - 8 of 40 differ in the last bit; 7 - 6 of 40 three times do not."""
    for counts in ((6, 7, 8), (6, 6, 6)):
        reference = {i: count / 40 for i, count in enumerate(counts)}
        runs = {i: (count + 1) / 40 for i, count in enumerate(counts)}
        compared = against(reference, {"rule": runs}, "higher")["rule"]
        assert compared.low is None and compared.p == 1 and compared.word == "n decides nothing"
