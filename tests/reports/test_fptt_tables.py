"""Paper `fptt`: the table of passes, updates and seconds, from made-up records and from the committed ones."""

from __future__ import annotations

from tests.synthetic_records import put, results, run_spec
from throughtime.records.committed import CommittedStore
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.fptt.tables import COMPARED, TABLES
from throughtime.reports.papers.page import write_paper
from throughtime.reports.papers.paper import load_paper

make = TABLES["side-by-side"]


def put_run(store, cell, accuracies, suite="fptt-static", **fields):
    spec = run_spec(cell, suite=suite, replicate=fields.pop("replicate", 0))
    put(store, spec, curve=accuracies, metric="accuracy", measures=results("accuracy", accuracies[-1], 0.1), **fields)


def test_bptt_and_fptt_stand_side_by_side(tmp_path):
    """The made-up runs have 10 updates and 15 seconds an epoch; a cell without BPTT beside it has no row."""
    store = Store(tmp_path / "runs")
    assert make(Results(store.folder), "laptop") is None
    put_run(store, "bptt ltc mnist", [0.5, 0.75])
    put_run(store, "bptt ltc mnist", [0.5, 0.5, 0.85], replicate=1)
    put_run(store, "fptt ltc mnist", [0.5, 0.9], machine={"processor": "another", "cores": 2})
    put_run(store, "fptt ltc mnist", [0.5, 0.9], replicate=1, status="timeout")
    put_run(store, "fptt ltc fashion_mnist", [0.5, 0.9])
    table = make(Results(store.folder), "laptop")
    numbers = ["2–3 / 2", "20–30 / 20", "30–45 / 30", "80.0 % / 90.0 % (1 of 2)"]
    assert table.rows == [["mnist", "ltc", "fptt", *numbers, "made-up processor / another, made-up processor"]]
    assert table.markdown().splitlines()[2].startswith("| mnist | ltc | fptt | 2–3 / 2 | 20–30 / 20 |")
    assert make(Results(store.folder), "paper") is None
    page = write_paper(load_paper("fptt"), [], Results(store.folder), "laptop", tmp_path).read_text("utf-8")
    assert "<td>30–45 / 30</td>" in page


def test_the_committed_records_have_rows_for_each_comparison():
    table = make(Results(CommittedStore(), tuple(COMPARED)), "laptop")
    assert table is not None and len(table.rows) == 22
    updates = {tuple(row[:3]): row[4] for row in table.rows}
    assert updates["adding-200", "ltc_adding", "fptt-authors"] == "1000 / 9000"
    assert updates["smnist", "ltc", "fptt"] == "1000 / 28000"
