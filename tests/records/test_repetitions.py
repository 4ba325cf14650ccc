"""The sentence on repetitions of runs of other code; the first evaluation of a curve; unequal columns."""

from __future__ import annotations

import pytest

from tests.synthetic_records import put, run_spec
from throughtime.commands.terminal import print_stale
from throughtime.records.baselines import baselines_in
from throughtime.records.repetitions import (
    Repetition,
    keep_repetitions,
    read_repetitions,
    repeated_cells,
    write_repetition,
)
from throughtime.records.results import Results
from throughtime.reports.page import runs as page
from throughtime.running.repeat import compared_row, largest_difference

LABELS = [f"{rule} lif digits #{n}" for rule in ("bptt", "fptt", "ottt", "sltt", "rflo") for n in range(2)]


def repetition(run, verdict="same", commit="0123456789ab", **fields):
    return Repetition(
        **{"id": run, "suite": "quick", "scale": "laptop", "label": run, "epoch": 2, "updates": 22, "verdict": verdict}
        | {"recorded_on": "a", "processor": "b", "versions": {}, "code": {"commit": commit, "changed": False}}
        | {"when": "2026-11-29T05:17:36+00:00", **fields}
    )


@pytest.fixture
def runs(store):
    """Two runs in each of five cells, made by other code; the id of each is its label."""
    for label in LABELS:
        cell, _, replicate = label.rpartition(" #")
        put(store, run_spec(cell, int(replicate)), id=label)
    return Results(store.folder)


def test_a_cell_with_a_difference_in_one_run_gave_other_numbers(runs):
    made = [
        *(repetition(label) for label in LABELS[:2]),
        *(repetition(LABELS[2], against="own code"), repetition(LABELS[3])),
        *(repetition(LABELS[4]), repetition(LABELS[5], "other", "fedcba987654", difference=0.1, column="test.mse")),
        *(repetition(LABELS[6], "not run here"), repetition(LABELS[8], "not decided")),
    ]
    said = repeated_cells([runs.frame, runs.frame[:3]], {line.id: line for line in made})
    assert said == (
        "the code of 01234567, fedcba98 repeated a run of 4 of their 5 cells to its first evaluation: 1 the recorded "
        "numbers, 1 the numbers that the code of the record gives on the same processor, 1 other numbers, 1 not "
        "decided; `throughtime baseline repeat --list` names these"
    )
    assert repeated_cells([runs.frame], {}) == repeated_cells([], {"x": repetition("x")}) == ""


def test_the_terminal_and_the_page_name_repetitions(runs, tmp_path, capsys, monkeypatch):
    lines = {LABELS[0]: repetition(LABELS[0])}
    monkeypatch.setattr("throughtime.records.repetitions.committed_repetitions", lambda: lines)
    monkeypatch.setattr(page, "committed_repetitions", lambda: lines)
    print_stale(runs)
    assert capsys.readouterr().err == (
        "other code than today's made 10 of 10 runs: quick 10\n"
        "the code of 01234567 repeated a run of 1 of their 5 cells to its first evaluation: 1 the recorded numbers\n"
    )
    facts = [dict(page.run_data(runs, runs.record(run), tmp_path)["facts"]) for run in LABELS[:2]]
    assert "repeated" not in facts[1] and facts[0]["repeated"] == (
        "after 22 updates (epoch 2) the recorded numbers, by the code of 01234567 on 2026-11-29"
    )


def test_the_first_row_with_20_updates_is_compared():
    curve = [{"epoch": e, "updates": 10 * e} for e in range(4)]
    assert compared_row(curve) == 3 and compared_row(curve[:2]) == 2
    assert compared_row([{"epoch": 1, "updates": 500}]) == 1


def test_columns_are_equal_after_rounding_to_6_digits():
    before = {"epoch": 1, "train_loss": 0.123457, "firing_rate": None, "seconds": 3.0, "test.mse": 0.5}
    equal = {"epoch": 1, "train_loss": 0.12345678, "firing_rate": 0.1, "seconds": 4.0, "test.mse": 0.5000000001}
    assert largest_difference(before, equal) == (0.0, "")
    largest, column = largest_difference(before, {**equal, "train_loss": 0.123458, "test.mse": 0.4})
    assert column == "test.mse" and largest == pytest.approx(0.2)
    assert largest_difference(before, {**equal, "train_loss": None}) == (1.0, "train_loss")
    assert (
        largest_difference({"a": 0.0}, {"a": 0.0}) == (0.0, "") and largest_difference({"a": 0.0}, {"a": 1.0})[0] == 1
    )


def test_repetitions_of_runs_that_a_baseline_lost_are_removed(tmp_path):
    lines = [repetition("a"), repetition("b"), repetition("c", suite="other")]
    for line in lines:
        write_repetition(tmp_path, line)
    keep_repetitions(tmp_path, "quick", "tiny", {"b"})
    assert read_repetitions(tmp_path) == {line.id: line for line in lines}
    keep_repetitions(tmp_path, "quick", "laptop", {"b"})
    assert list(read_repetitions(tmp_path)) == ["c", "b"], "in the order of suites"


def test_the_file_of_repetitions_is_no_baseline(tmp_path):
    for name in ("quick-laptop.jsonl.gz", "log.jsonl", "repeated.jsonl.gz"):
        (tmp_path / name).touch()
    assert [path.name for path in baselines_in(tmp_path)] == ["quick-laptop.jsonl.gz"]
