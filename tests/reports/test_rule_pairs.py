"""`throughtime compare-rules`: two rules on each task, from records."""

from __future__ import annotations

import json

import pytest

from tests.synthetic_records import put, results, run_spec
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.records.results import Results
from throughtime.reports.rule_pairs import rule_pairs


@pytest.fixture
def two_tasks(store):
    """a is 0.1 ± 0.01 better than b on digits; on xor, of chance 0.5, a solves 5 of 5 runs and b 1; c fails always."""
    for replicate in range(5):
        own = 0.01 * (-1) ** replicate
        for rule, value in (("a", 0.6 + own), ("b", 0.5)):
            put(store, run_spec(f"{rule} lif digits", replicate), measures=results("accuracy", value, 0.1))
        for rule, value in (("a", 0.95), ("b", 0.95 if replicate == 4 else 0.5), ("c", 0.5)):
            put(store, run_spec(f"{rule} lif xor", replicate), measures=results("accuracy", value, 0.5))
    return Results(store.folder)


def test_each_task_has_a_difference_and_holms_correction_is_over_tasks(two_tasks):
    """digits: mean 0.102, sd 0.010954, t = 20.8 at 4 degrees of freedom, p = 3.1e-5, doubled; xor: 2 * 6 / 252."""
    digits, xor = rule_pairs(two_tasks, "a", "b").to_dict("records")
    assert (digits["dataset"], digits["solved"], digits["n"], digits["word"]) == ("digits", False, 5, "better")
    assert digits["difference"] == pytest.approx(0.102) and digits["p"] == pytest.approx(2 * 3.15e-5, rel=0.02)
    assert digits["rule"] == pytest.approx(0.602) and digits["low"] < 0.102 < digits["high"]
    assert (xor["dataset"], xor["solved"], xor["rule"], xor["other"]) == ("xor", True, 1.0, 0.2)
    assert xor["p"] == pytest.approx(2 * 6 / 252) and xor["word"] == "better"


def test_rules_without_a_common_task_are_refused(two_tasks):
    (row,) = rule_pairs(two_tasks, "c", "a").to_dict("records")
    assert row["dataset"] == "xor"
    with pytest.raises(UsageError, match='no run has the rule "d"'):
        rule_pairs(two_tasks, "d", "a")
    with pytest.raises(UsageError, match='no task has results of "a" and of "a"'):
        rule_pairs(two_tasks, "a", "a")


def test_the_command_prints_both_means_and_what_they_say_in_80_columns(two_tasks, capsys, monkeypatch):
    where = ["--results", str(two_tasks.folder)]
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["compare-rules", "a", "a", *where]) == 2 and "with itself" in capsys.readouterr().err
    assert main(["compare-rules", "a", "b", *where]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "digits, lif" in printed and "10.2 [" in printed and "better" in printed and "100 %" in printed
    assert main(["compare-rules", "a", "b", "--json", *where]) == 0
    assert [row["word"] for row in json.loads(capsys.readouterr().out)] == ["better", "better"]
    assert main(["compare-rules", "a", "bb", *where]) == 2
