"""A table on a terminal fits its width, with rules as rows where they outnumber the tasks."""

from __future__ import annotations

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.tables import render

RULES = ("bptt", "tbptt", "fptt", "eprop", "diagonal_rtrl", "checkpointed_bptt", "presynaptic_trace", "rflo")
FAILURE = Failure(reason="a loss is NaN")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Eight rules on six tasks, three replicates; one run of rflo diverged."""
    store = Store(tmp_path_factory.mktemp("runs"))
    for rule in RULES:
        for task in ("digits", "delayed_xor", "evidence_accumulation"):
            for neuron in ("lif", "alif"):
                for replicate in range(3):
                    spec = run_spec(f"{rule} {neuron} {task}", replicate, suite="rules")
                    diverged = rule == "rflo" and replicate == 2
                    measures = {"accuracy": measure(0.5 + replicate / 20, "fraction")}
                    fields = {"failure": FAILURE} if diverged else {"metric": "accuracy"}
                    put(store, spec, "diverged" if diverged else "ok", measures=measures, **fields)
    return Results.load(store.folder)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(runs, width):
    lines = render(runs, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert render(runs).count("evidence_accumulation") == 2, "without a width tasks are rows"


def test_rules_are_rows_where_they_outnumber_the_tasks(runs):
    lines = render(runs, width=80).splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("---")) + 1
    first = [line.split()[0] for line in lines[begin : begin + len(RULES)]]
    assert first[:4] == ["bptt", "tbptt", "fptt", "eprop"] and len(set(first)) == len(RULES)
    few = render(runs.matching(rule=["bptt", "fptt"]), width=80).splitlines()
    assert sum(line.startswith("digits") for line in few) == 2


def test_the_legend_names_only_what_is_there(runs):
    assert "failed runs" in render(runs, width=80) and "(1/3 diverged)" in render(runs, width=80)
    assert "failed runs" not in render(runs.matching(rule=["bptt", "fptt"]), width=80)


def test_labels_are_selected_by_pattern_and_an_unknown_one_is_named(runs, capsys):
    where = ["--results", str(runs.folder)]
    assert main(["table", "rules", *where, "--rules", "*bptt", "--neurons", "lif", "--datasets", "digits"]) == 0
    printed = capsys.readouterr().out
    assert "checkpointed_bptt" in printed and "tbptt" in printed and "alif" not in printed and "rflo" not in printed
    assert main(["table", "rules", *where, "--rules", "eprob"]) == 2
    assert 'no run has the rule "eprob"' in capsys.readouterr().err
    with pytest.raises(UsageError, match="eprop"):
        runs.matching(rule=["eprob"])
