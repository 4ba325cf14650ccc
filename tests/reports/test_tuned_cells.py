"""A cell whose tuning chose a value at the edge of its grid is marked in each form of a table, and in figures."""

from __future__ import annotations

import pytest

from tests.synthetic_records import costs, measure, peaks, put, run_spec
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.figure_registry import draw_figures
from throughtime.reports.page.table import table_data
from throughtime.reports.tables import render
from throughtime.spec import TrialResult, Tuning

RATES = (1e-3, 3e-3, 1e-2)
EDGE = "at the edge of its grid: largest training.learning_rate, of 3 trials"


def tuning(chosen: int, **more: object) -> Tuning:
    trials = [TrialResult(values={"training.learning_rate": rate, **more}, validation=0.5) for rate in RATES]
    return Tuning(metric="accuracy", seed=1, replicates=1, trials=trials, chosen=chosen)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Results:
    """Three rules: at the largest rate, in the middle of the grid, and not tuned."""
    store = Store(tmp_path_factory.mktemp("tuned"))
    for rule, chosen in (("bptt", 2), ("fptt", 1), ("tbptt", None)):
        for replicate in range(3):
            spec = run_spec(f"{rule} lif digits", replicate, tuning=None if chosen is None else tuning(chosen))
            accuracy = measure(0.5, "fraction").model_copy(update={"better": "higher"})
            measures = {"accuracy": accuracy} | costs(0.1, None) | peaks(1e6, 5e5, 1e5)
            put(store, spec, metric="accuracy", measures=measures, curve=[0.4, 0.5])
    return Results.load(store.folder)


def test_the_ends_of_a_grid_are_its_edge():
    ends = [tuning(chosen, **{"rule.form": "a", "fptt.alpha": 0.5}).at_edge for chosen in range(3)]
    assert ends == [["smallest training.learning_rate"], [], ["largest training.learning_rate"]], "one value is no grid"


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "csv", "json"])
def test_every_form_of_a_table_marks_the_cell(form, tuned):
    table = render(tuned, form=form).replace("\\_", "_")
    assert table.count(EDGE) == 1
    if form in ("text", "markdown", "latex"):
        assert "Tuned: 3 trials a cell; at the edge of its grid: the chosen value of 1 of 2 cells." in table


def test_the_page_marks_the_cell(tuned):
    rows = table_data(tuned.frame, [("quick", "laptop")])["rows"]
    assert [EDGE in row["values"]["metric"][3] for row in rows] == [True, False, False]


def test_figures_mark_the_cell(tuned):
    drawn = draw_figures(tuned)
    for name in ("quick-laptop-curves", "quick-laptop-tradeoff"):
        assert any("1 of 2 cells" in sentence for sentence in drawn[name].caption), name
