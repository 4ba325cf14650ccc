"""A cell whose tuning chose a value at the edge of its grid is marked in each form of a table, and in figures."""

from __future__ import annotations

import pytest

from tests.reports.test_alignment import numbers, put_aligned
from tests.synthetic_records import costs, measure, peaks, put, run_spec
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.alignment_figure import alignment_by_group, alignment_over_training
from throughtime.reports.drawing import Drawn
from throughtime.reports.figure_registry import draw_figures
from throughtime.reports.option_figure import option_figures
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
    rows = table_data(tuned, [("quick", "laptop")])["rows"]
    assert [EDGE in row["values"]["metric"][3] for row in rows] == [True, False, False]


def test_figures_mark_the_cell(tuned):
    drawn = draw_figures(tuned)
    for name in ("quick-laptop-curves", "quick-laptop-tradeoff"):
        assert any("1 of 2 cells" in sentence for sentence in drawn[name].caption), name
    for name, panels in (("quick-laptop-curves", 1), ("quick-laptop-tradeoff", 2)):
        assert stars(drawn[name]) == panels, name
        assert "These have a star." in " ".join(drawn[name].caption)


def stars(drawn: Drawn) -> int:
    """Return the number of stars in the panels of a figure, of one cell in each panel."""
    return sum(line.get_marker() == "*" for panel in drawn.figure.axes for line in panel.lines)


def test_figures_of_options_mark_the_cell(tmp_path):
    """Truncated BPTT with K = 2, 4 and 8: the middle one is at the edge."""
    store = Store(tmp_path)
    for K in (2, 4, 8):
        spec = run_spec("tbptt lif digits", tuning=tuning(2 if K == 4 else 1))
        rule = spec.rule.model_copy(update={"label": f"tbptt K={K}", "options": {"window": K}})
        accuracy = measure(0.5, "fraction").model_copy(update={"better": "higher"})
        measures = {"accuracy": accuracy, **costs(0.1, None)}
        put(store, spec.model_copy(update={"rule": rule}), id=f"K{K}", metric="accuracy", measures=measures)
    (drawn,) = option_figures(Results.load(store.folder), "quick", "laptop").values()
    assert stars(drawn) == 1 and "1 of 3 cells. These have a star." in " ".join(drawn.caption)


def test_figures_of_alignment_mark_the_cell(tmp_path):
    """The last dot of each of cosine and norm ratio, in each of the four hidden groups and the readout."""
    store = Store(tmp_path)
    for rule, chosen in (("bptt", 1), ("fptt", 2)):
        put_aligned(store, f"{rule} lif digits", 0, {0: numbers(0.5, 0.5), 1: numbers(0.6, 0.6)}, tuning=tuning(chosen))
    results = Results.load(store.folder)
    assert stars(alignment_over_training(results, "quick", "laptop")) == 2
    by_group = alignment_by_group(results, "quick", "laptop")
    assert stars(by_group) == 2 * len(by_group.figure.axes[0].get_yticks())
