"""Figures, targets and claims of the paper `fptt`: they agree with the runs and with the published curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.synthetic_records import measure, put, results, run_spec
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.reports.drawing import save
from throughtime.reports.fptt import claims, cost_claims
from throughtime.reports.fptt.adding import SUITES, loop_of, published
from throughtime.reports.fptt.evidence import EvidenceCell, becomes_nan, fails, learns, levels_of
from throughtime.reports.fptt.figures import FIGURES
from throughtime.reports.page.interactive import described
from throughtime.reports.papers.claims import AVERAGED, both, claims_in
from throughtime.reports.papers.paper import load_paper
from throughtime.reports.papers.verdicts import judge_runs, level_at
from throughtime.spec import SCALES
from throughtime.suites.suite import load_suite

CURVE = [0.2, 0.1, 0.01, 0.001]
RULES = ("fptt-authors", "fptt-authors-none", "bptt")
FLAT = [0.17] * 30
AS_LONG = [0.17] * 1000  # 10 000 iterations, as the published curves
SOLVED = [0.17] * 20 + [0.01] * 10


def put_run(store, rule, replicate=0, status="ok", curve=CURVE, T=200, neuron="ltc_adding", **fields):
    sizes = {"steps": fields.pop("steps", T), "hidden": fields.pop("hidden", 128), "batch": fields.pop("batch", 128)}
    spec = run_spec(f"{rule} {neuron} adding", replicate, suite=SUITES[T], scale=fields.pop("scale", "laptop"), **sizes)
    fields = {"measures": results("mse", 0.1, 1 / 6), **fields}
    return put(store, spec, status, curve=curve, metric="mse", **fields)


def draw(store, name="adding-200", scale="laptop"):
    return FIGURES[name](Results(store.folder), scale)


def legend(drawn):
    return [text.get_text() for text in drawn.figure.legends[0].get_texts()]


def crosses(drawn):
    """(title, x, y) of the crosses, by panel."""
    result = [(panel, line) for panel in drawn.figure.axes for line in panel.lines if line.get_marker() == "x"]
    return [(panel.get_title(loc="left"), *line.get_xdata(), *line.get_ydata()) for panel, line in result]


def test_published_curves_stand_behind_the_loops_that_they_are_of(store, tmp_path):
    for rule in RULES:
        put_run(store, rule)
    drawn = draw(store)
    behind = drawn.data[drawn.data["source"] == "published"]
    assert set(behind[["run", "rule"]].itertuples(index=False, name=None)) == {
        ("snn_fptt_mem_200", "fptt-authors"),
        ("snn_v2_fptt_mem_200", "fptt-authors-none"),
        ("snn_bptt_mem_200", "bptt"),
    }
    assert behind["iteration"].max() == 40
    assert behind.query("run == 'snn_v2_fptt_mem_200'")["mse"].tolist() == [0.1866, 0.1562, 0.07456, 0.04635]
    assert drawn.data.query("source == 'ours' and rule == 'bptt'")["mse"].tolist() == CURVE
    assert legend(drawn) == [*sorted(RULES), *[f"{rule}, published" for rule in sorted(RULES)]]
    assert [panel.get_title(loc="left") for panel in drawn.figure.axes] == [
        "LTC, bptt",
        "LTC, fptt-authors",
        "LTC, fptt-authors-none",
    ]
    assert [len(panel.lines) for panel in drawn.figure.axes] == [3, 3, 3]  # ours, published, the dashed one
    assert drawn.title == "Adding task, T = 200: error against iterations"
    assert drawn.figure.axes[0].get_yscale() == "log"
    save(drawn, tmp_path / "out", "fptt")
    panels = described(drawn.figure)["panels"]
    names = [[trace["name"] for trace in panel["traces"]] for panel in panels]
    assert names == [[f"{rule}, published", rule] for rule in sorted(RULES)]
    assert {panel["y"]["label"] for panel in panels} == {"mean squared error"}
    assert {panel["x"]["label"] for panel in panels} == {"training iteration (128 sequences each), linear scale"}


def test_the_loop_of_every_published_curve():
    loops = {name: loop_of(name) for T in SUITES for name in set(published(T)["run"])}
    assert len(loops) == 36
    assert loops["snn_bptt_mem_1000_v2"] == ("ltc_adding", "bptt")
    assert loops["asrnn_v2_fptt_mem_200"] == ("asrnn_adding", "fptt-authors-none")
    assert loops["asrnn_fptt_mem_200_v1"] == ("asrnn_adding", "fptt-authors")
    assert loops["lstm_500_fptt"] == ("lstm", "fptt-authors-none")
    assert loops["rnn_1000_bptt"] == ("rnn", "bptt")
    assert {rule for _, rule in loops.values()} == set(RULES)


def test_a_published_curve_ends_where_it_becomes_nan():
    curve = published(500).query("run == 'snn_bptt_mem_500'")
    assert curve["iteration"].max() == 1630  # NaN from 1639 on
    assert set(curve["updates"] / curve["iteration"]) == {1}
    assert set(published(500).query("run == 'rnn_500_fptt'").eval("updates / iteration")) == {9}


def test_targets_are_the_means_of_the_published_curves():
    """The targets come from single evaluations, the files of curves have means of ten with four digits."""
    targets = [t for t in load_paper("fptt").file.targets if t.cell and t.cell.suite in SUITES.values()]
    assert len(targets) == 44
    for target in targets:
        T = next(T for T, suite in SUITES.items() if suite == target.cell.suite)
        name = target.source.removesuffix(".txt")
        curve = published(T).query("run == @name")
        last = curve[curve["iteration"].between(target.cell.iteration - AVERAGED + 1, target.cell.iteration)]
        assert len(last) == 10, name
        assert last["mse"].mean() == pytest.approx(target.published, rel=0.01), name
        assert loop_of(name) == (target.cell.neuron, target.cell.rule)


def test_every_target_names_a_cell_of_its_suite_that_trains_long_enough():
    suites = {suite: load_suite(suite) for suite in load_paper("fptt").suites}
    assert sum(target.cell is not None for target in load_paper("fptt").file.targets) == 44 + 35 + 4 + 1
    for target in load_paper("fptt").file.targets:
        if target.cell is None:
            continue
        labels = (target.cell.rule, target.cell.neuron, target.cell.network, target.cell.dataset)
        cells = suites[target.cell.suite].cells[target.cell.scale]
        (epochs,) = {cell.training.epochs for cell in cells if tuple(part.label for part in cell[:4]) == labels}
        assert target.cell.iteration is None or 10 * epochs >= target.cell.iteration, target.item


def test_every_suite_has_cells_at_every_scale():
    for name in load_paper("fptt").suites:
        suite = load_suite(name)
        assert all(suite.cells[scale] for scale in SCALES), name


def test_at_another_length_nothing_is_said_of_the_published(store):
    for rule in RULES:
        put_run(store, rule, steps=20, hidden=8, batch=32)
    drawn = draw(store)
    assert drawn.title == "Adding task, T = 20: error against iterations"
    assert "batch 32" in drawn.caption[0] and "32 sequences" in drawn.figure.get_supxlabel()
    assert set(drawn.data["source"]) == {"ours"} and legend(drawn) == sorted(RULES)
    assert not any("authors' own" in line for line in drawn.caption)


def test_only_cells_that_were_run_have_published_curves(store):
    put_run(store, "bptt", neuron="lstm")
    drawn = draw(store)
    assert set(drawn.data.query("source == 'published'")["run"]) == {"lstm_bptt_200"}
    assert legend(drawn) == ["bptt", "bptt, published"]


def test_a_run_that_failed_ends_in_a_cross_and_says_why(store, tmp_path):
    put_run(store, "bptt")
    for rule, curve in (("fptt-authors-none", [0.2, 0.3, math.inf]), ("fptt-authors", [])):
        put_run(store, rule, status="diverged", curve=curve, measures={}, failure=Failure(reason="loss is nan"))
    drawn = draw(store)
    assert crosses(drawn) == [("LTC, fptt-authors-none", 20, 0.3)]
    assert "fptt-authors-none ltc_adding adding #0: diverged, loss is nan." in drawn.caption
    save(drawn, tmp_path / "out", "fptt")


def test_older_runs_and_other_suites_are_left_alone(store):
    put_run(store, "bptt", id="old", curve=[0.5] * 9)
    put_run(store, "bptt", id="new", started="2026-02-02T00:00:00+00:00")
    put(store, run_spec("bptt lif digits"), measures={"accuracy": measure(0.5, "fraction")}, curve=[0.5])
    assert draw(store).data.query("source == 'ours'")["mse"].tolist() == CURVE


def test_colours_do_not_depend_on_other_suites(store):
    def colours():
        return [line.get_color() for panel in draw(store).figure.axes for line in panel.lines]

    put_run(store, "fptt-authors")
    put_run(store, "fptt-authors-none")
    before = colours()
    for label in ("fptt", "fptt-K2", "fptt-z"):  # further shades of the colour of FPTT
        put(store, run_spec(f"{label} lif digits"), measures={"accuracy": measure(0.5, "fraction")})
    assert colours() == before


def test_against_updates_a_line_is_the_geometric_mean_of_the_replicates(store):
    put_run(store, "bptt", curve=[0.1, 0.1, 0.1])
    put_run(store, "bptt", 1, curve=[0.4, 0.001])
    drawn = draw(store, "adding-200-updates")
    ours = drawn.data.query("source == 'ours'")
    assert ours["mse"].tolist() == pytest.approx([0.2, 0.01]) and ours["updates"].tolist() == [10, 20]
    theirs = drawn.data.query("source == 'published' and rule == 'bptt'")
    assert (theirs["updates"] == theirs["iteration"]).all()


def test_bars_are_means_of_the_last_100_iterations_beside_the_published_ones(store, tmp_path):
    put_run(store, "bptt", curve=[0.5, 0.5, *[0.1] * 5, *[0.2] * 5])
    put_run(store, "fptt-authors", T=1000, curve=SOLVED)
    drawn = draw(store, "adding-bars")
    ours = drawn.data[drawn.data["run"] != "published"]
    assert ours["mse"].tolist() == pytest.approx([0.15, 0.01])
    theirs = drawn.data[drawn.data["run"] == "published"]
    assert theirs[["T", "published"]].to_numpy().tolist() == [[200, 0.146], [1000, 0.0171]]
    save(drawn, tmp_path / "out", "bars")
    assert described(drawn.figure) == {}, "the page shows the picture"


def test_nothing_to_draw(store):
    def drawn():
        return [draw(store, name) for name in FIGURES if name.startswith("adding")]

    assert not any(drawn())
    put_run(store, "bptt", curve=[])
    assert not any(drawn())
    assert draw(store, "adding-200", "paper") is None


def test_the_figure_of_the_neuron_has_the_published_rates_in_it():
    data = FIGURES["ltc-neuron"](Results("nothing here"), "laptop").data
    known = data.dropna(subset="published")
    assert len(known) == 10
    assert np.allclose(known["rate"], known["published"], atol=0.022)


def test_the_level_of_a_curve_at_an_iteration(store):
    put_run(store, "bptt", curve=[1.0, *[0.1] * 5, *[0.2] * 5])
    result = Results(store.folder)
    (run,) = result.frame["id"]
    assert level_at(result, run, "mse", 110) == pytest.approx(0.15)
    assert level_at(result, run, "mse", 60) == pytest.approx(1.5 / 6)
    assert math.isnan(level_at(result, run, "mse", 120)) and math.isnan(level_at(result, run, "mse", 105))
    assert levels_of([(10 * i, v) for i, v in enumerate([1.0, *[0.1] * 5, *[0.2] * 5], 1)])[-1] == pytest.approx(0.15)
    assert levels_of([(10, 0.1)]) == []


def test_a_target_at_an_iteration_counts_runs_that_diverged_later(store):
    for replicate in range(3):
        put_run(store, "bptt", replicate, "diverged", curve=[0.17] * 100, measures={}, failure=Failure(reason="nan"))
    paper = load_paper("fptt").file
    cells = [t for t in paper.targets if t.cell and t.cell.rule == "bptt" and t.cell.suite == SUITES[200]]
    (target,) = [t for t in cells if t.cell.scale == "laptop" and t.cell.neuron == "ltc_adding"]
    # The test's network is `recurrent`.
    target = target.model_copy(update={"cell": target.cell.model_copy(update={"network": "recurrent"})})
    assert target.cell.iteration == 1000
    row = judge_runs(target, Results(store.folder))
    assert (row.verdict, row.n) == ("both at the trivial level", 3)
    later = target.model_copy(update={"cell": target.cell.model_copy(update={"iteration": 1010})})
    row = judge_runs(later, Results(store.folder))
    assert (row.verdict, row.reason) == ("not reproduced", "3 of 3 runs diverged before")


CELL = EvidenceCell(200, "bptt", "ltc_adding")


@pytest.mark.parametrize(
    "judge, curve, status, scale, word",
    [
        (learns, SOLVED, "ok", "laptop", "supported"),
        (learns, FLAT, "ok", "paper", "unclear"),  # the paper has more iterations
        (learns, AS_LONG, "ok", "paper", "not supported"),
        (learns, FLAT, "diverged", "paper", "not supported"),
        (fails, AS_LONG, "ok", "paper", "supported"),
        (fails, FLAT, "ok", "paper", "unclear"),
        (fails, FLAT, "diverged", "laptop", "supported"),
        (fails, SOLVED, "ok", "laptop", "not supported"),
        (fails, [0.1] * 30, "ok", "paper", "unclear"),
        (becomes_nan, FLAT, "diverged", "laptop", "supported"),
        (becomes_nan, FLAT, "ok", "laptop", "unclear"),  # the authors' runs took 1624 to 2203 iterations
        (becomes_nan, [0.17] * 221, "ok", "laptop", "not supported"),
    ],
)
def test_verdicts_on_learning(store, judge, curve, status, scale, word):
    assert judge(Results(store.folder), [CELL]).word == "not run here"
    failure = {} if status == "ok" else {"failure": Failure(reason="nan")}
    for replicate in range(2):
        put_run(store, "bptt", replicate, status, curve, scale=scale, **failure)
    assert judge(Results(store.folder), [CELL]).word == "unclear", "n = 2"
    put_run(store, "bptt", 2, status, curve, scale=scale, **failure)
    answer = judge(Results(store.folder), [CELL])
    assert (answer.word, answer.n, answer.scale) == (word, 3, scale)


def test_verdicts_on_learning_are_of_all_runs_of_a_cell(store):
    """Two of three runs learn: neither does the cell learn, nor does it fail."""
    for replicate, curve in enumerate((SOLVED, SOLVED, AS_LONG)):
        put_run(store, "bptt", replicate, curve=curve, scale="paper")
    for judge in (learns, fails):
        answer = judge(Results(store.folder), [CELL])
        assert (answer.word, answer.lean) == ("unclear", "neither")


def test_a_claim_in_two_parts_needs_both(store):
    for replicate in range(3):
        put_run(store, "bptt", replicate, curve=SOLVED)
        put_run(store, "fptt-authors", replicate, curve=FLAT)
    result = Results(store.folder)
    parts = learns(result, [CELL]), learns(result, [EvidenceCell(200, "fptt-authors", "ltc_adding")])
    assert [part.word for part in parts] == ["supported", "unclear"] and both(*parts).word == "unclear"
    assert both(parts[0], fails(result, [CELL])).word == "not supported"
    absent = learns(result, [EvidenceCell(500, "bptt", "ltc_adding")])
    assert both(parts[0], absent).word == "not run here"
    assert both(fails(result, [CELL]), absent).word == "not supported", "one part that does not hold is enough"
    assert both(parts[0], parts[0]).word == "supported"


def test_a_larger_scale_with_too_few_runs_does_not_hide_a_verdict(store):
    for replicate in range(3):
        put_run(store, "bptt", replicate, curve=SOLVED)
    put_run(store, "bptt", curve=FLAT, scale="paper")
    answer = learns(Results(store.folder), [CELL])
    assert (answer.word, answer.n, answer.scale) == ("supported", 3, "laptop")


def test_claims_without_runs_are_not_run_here():
    result = Results("nothing here")
    made = [*claims_in(claims), *claims_in(cost_claims)]
    made.remove(cost_claims.memory_is_constant)
    assert {claim(result).word for claim in made} == {"not run here"}
