"""Cells that a suite excludes, in tables and on the page: not a missing run."""

from __future__ import annotations

import pytest

from tests.synthetic_records import put, results, run_spec
from throughtime.records.journal import Began
from throughtime.records.results import Results
from throughtime.records.store import JOURNAL
from throughtime.reports.formats import text
from throughtime.reports.page.runs import failures
from throughtime.reports.planned import EXCLUDED, exclusion, planned_cells
from throughtime.reports.tables import NOT_RUN, tables
from throughtime.running.journal import Journal
from throughtime.running.plan import Planned

CELLS = ["bptt lif digits", "eprop lif digits", "bptt lstm digits"]


@pytest.fixture
def runs(store):
    """Three of four cells, of a suite whose last sweep was started without `eprop lstm digits`."""
    for cell in CELLS:
        put(store, run_spec(cell), measures=results("accuracy", 0.9, 0.1), metric="accuracy")
    began(store, "laptop", CELLS)
    return Results(store.folder)


def began(store, scale, cells):
    runs = [(f"{number}", f"{cell} #0", "ok") for number, cell in enumerate(cells)]
    line = Began(command=["throughtime"], scale=scale, host="here", pid=1, process_started=0.0, runs=runs)
    (store.folder / "quick" / JOURNAL).write_text(line.model_dump_json() + "\n")


def entries(runs):
    return [row for table in tables(runs) if table.name == "quick-laptop-metric" for row in table.rows]


def test_an_excluded_cell_is_no_missing_run(runs):
    lif, lstm = ([entry.text for entry in row[3:]] for row in entries(runs))
    assert "—" not in lif and lstm[1] == "—"
    printed = "".join(text(table) for table in tables(runs))
    assert EXCLUDED in printed and NOT_RUN not in printed
    assert failures(runs.frame) == []


@pytest.mark.parametrize(
    ("scale", "cells"), [("laptop", [*CELLS, "eprop lstm digits"]), ("tiny", CELLS), (None, CELLS)]
)
def test_a_cell_without_a_record_is_missing_unless_the_suite_is_known_not_to_have_it(runs, store, scale, cells):
    began(store, scale, cells)
    assert entries(runs)[1][4].text == "not run"
    ((_, status, which, why),) = failures(runs.frame)
    assert (status, which, why) == ("not run", "quick, laptop: eprop lstm digits", NOT_RUN)


def test_a_journal_that_is_broken_or_missing_says_nothing(runs, store):
    assert planned_cells(runs.frame) == {("quick", "laptop"): set(CELLS)}
    (store.folder / "quick" / JOURNAL).write_text("3\n")
    assert planned_cells(runs.frame) == {}
    (store.folder / "quick" / JOURNAL).unlink()
    assert planned_cells(runs.frame) == {}


def test_a_sweep_at_another_scale_leaves_the_cells_of_the_one_before(runs, store):
    other = [Planned(run_spec("bptt lif digits", scale="tiny"), "5", {}, ["train"], None, None)]
    path = store.folder / "quick" / JOURNAL
    for _ in range(2):
        Journal(path, ["throughtime"], other, other)
        assert planned_cells(runs.frame) == {("quick", "laptop"): set(CELLS)}
    began(store, "tiny", CELLS)  # a journal without the older sweep
    Journal(path, ["throughtime"], [other[0]._replace(spec=run_spec(CELLS[0]))], [])
    assert planned_cells(runs.frame) == {("quick", "laptop"): {CELLS[0]}}


def test_an_excluded_cell_says_why(tmp_path):
    """Also of committed records, which have no journal: the suite of the package is asked."""
    cell = ("eprop", "ltc", "recurrent", "digits")
    assert exclusion({}, "quick", "laptop", cell) == f"{EXCLUDED}: traces of the gates too, half a minute an epoch"
    assert exclusion({}, "quick", "tiny", cell) == "", "at scale tiny it is run"
    assert exclusion({("quick", "laptop"): {"eprop ltc digits"}}, "quick", "laptop", cell) == "", "it was planned"
    assert exclusion({("mine", "laptop"): {"bptt lif digits"}}, "mine", "laptop", cell) == EXCLUDED
    assert exclusion({}, "mine", "laptop", cell) == ""
