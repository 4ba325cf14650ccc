"""Figures in which each rule is a mark, and what the records say on alignment as a ranking of rules."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.synthetic_records import costs, measure, put, results, run_spec
from throughtime.records.results import Results
from throughtime.registry import ALGORITHMS
from throughtime.reports.alignment_ranks import alignment_ranks, correlations, orders, warning
from throughtime.reports.alignment_table import alignment_table
from throughtime.reports.figure_registry import draw_figures
from throughtime.reports.page.interactive import described
from throughtime.reports.rule_marks import result_against_alignment, spread

HERE = "quick", "laptop"


def put_rule(store, rule: str, accuracies, cosines, dataset: str = "digits", peak: int = 2**20, seconds=0.001) -> None:
    """Replicates of a rule with a result and a cosine each, at two epochs 0.1 above and below the cosine."""
    for replicate, (accuracy, cosine) in enumerate(zip(accuracies, cosines, strict=True)):
        measured = results("accuracy", accuracy, 0.1) | {"alignment_cosine.hidden": measure(cosine, "1")}
        measured |= {"alignment_norm_ratio.hidden": measure(1.0, "1")}
        if replicate == 0:
            measured |= costs(seconds, 2.0 * peak) | {"peak_live_bytes": measure(float(peak), "byte")}
        folder = put(store, run_spec(f"{rule} lif {dataset}", replicate), measures=measured)
        rows = [
            {"epoch": e, "validation": 0.5, "train_loss": 1.0, "alignment_cosine.hidden": cosine + 0.1 - 0.2 * e,
             "alignment_norm_ratio.hidden": 1.0}
            for e in (0, 1)
        ]  # fmt: skip
        (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def contradicting(store) -> Results:
    """kf_rtrl has the lowest cosine and the best result of three rules."""
    put_rule(store, "kf_rtrl", (0.90, 0.92), (0.20, 0.22))
    put_rule(store, "rflo", (0.60, 0.64), (0.50, 0.54))
    put_rule(store, "eprop", (0.70, 0.71), (0.70, 0.72))
    return Results(store.folder)


def test_cosine_and_result_of_a_cell_are_means_over_epochs_and_replicates(store):
    ranks = alignment_ranks(contradicting(store), *HERE).set_index("rule")
    assert ranks["cosine"].to_dict() == pytest.approx({"kf_rtrl": 0.21, "rflo": 0.52, "eprop": 0.71})
    assert ranks["mean"].to_dict() == pytest.approx({"kf_rtrl": 0.91, "rflo": 0.62, "eprop": 0.705})
    assert ranks.loc["rflo", "cosines"] == pytest.approx((0.50, 0.54))


def test_pairs_that_contradict_the_cosine_by_hand(store):
    result = orders(alignment_ranks(contradicting(store), *HERE))
    pairs = {(order.lower["rule"], order.higher["rule"]): order.contradicts for order in result}
    assert pairs == {("kf_rtrl", "rflo"): True, ("kf_rtrl", "eprop"): True, ("rflo", "eprop"): False}


def test_the_rank_correlation_by_hand(store):
    ranks = alignment_ranks(contradicting(store), *HERE)
    # Ranks by cosine 1, 2, 3 and by result 3, 1, 2: 1 − 6 (4 + 1 + 1) / (3 · 8) = −1/2.
    assert correlations(ranks)[["spearman", "rules"]].values.tolist() == [[pytest.approx(-0.5), 3]]
    lower_is_better = ranks.assign(better="lower")
    assert correlations(lower_is_better)["spearman"].tolist() == [pytest.approx(0.5)]
    assert correlations(ranks[:2])["spearman"].isna().all(), "two rules have no order to speak of"
    # Two cosines that differ by rounding share the rank 2.5, whichever is higher: −(1 + ½) / √(2 · 3/2).
    for rounding in (1e-9, -1e-9):
        tied = ranks.assign(cosine=ranks["rule"].map({"kf_rtrl": 0.2, "rflo": 0.7, "eprop": 0.7 + rounding}))
        assert correlations(tied)["spearman"].tolist() == [pytest.approx(-(3**0.5) / 2)]


def test_the_warning_names_the_pair_that_the_records_show_and_is_where_alignment_is_drawn(store):
    result = contradicting(store)
    (line,) = warning(alignment_ranks(result, *HERE))
    assert line.startswith("Alignment does not rank rules. Of 3 pairs")
    assert "2 have the better result at the lower cosine" in line
    assert "cosine 0.21, accuracy 91.0 %" in line and "cosine 0.52, accuracy 62.0 %" in line and "-0.50" in line
    assert line in alignment_table(result, *HERE).caption
    drawn = draw_figures(result)
    assert line in drawn["quick-laptop-alignment"].caption and line in drawn["quick-laptop-alignment-result"].caption


def test_records_in_which_the_cosine_ranks_the_rules_say_so(store):
    for rule, cosine in (("rflo", 0.5), ("eprop", 0.7), ("bptt", 0.9)):
        put_rule(store, rule, (cosine, cosine + 0.01), (cosine, cosine + 0.01))
    (line,) = warning(alignment_ranks(Results(store.folder), *HERE))
    assert line.startswith("Of 3 pairs") and "all have the better result at the higher cosine" in line


def test_overlapping_results_and_single_replicates_contradict_nothing(store):
    put_rule(store, "kf_rtrl", (0.60, 0.92), (0.20, 0.22))
    put_rule(store, "rflo", (0.59, 0.64), (0.50, 0.54))
    put_rule(store, "eprop", (0.10,), (0.90,))
    ranks = alignment_ranks(Results(store.folder), *HERE)
    assert orders(ranks) == [] and warning(ranks) == []


def test_labels_of_all_rules_do_not_overlap(store):
    rules = sorted(ALGORITHMS.displays())
    assert len(rules) >= 20
    for i, rule in enumerate(rules):  # results as close to each other as they may be
        put_rule(store, rule, (0.5 + 0.001 * (i % 4),), (0.9,), peak=2**20 + i)
    figure = result_against_alignment(Results(store.folder), *HERE).figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) == len(rules)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_places_of_labels_keep_order_and_distance():
    assert spread([0.5, 0.1, 0.9], gap=0.1) == [0.5, 0.1, 0.9]
    assert spread([1.0, 1.0, 0.2], gap=0.25) == pytest.approx([0.75, 1.0, 0.2])
    assert spread([0.0, 0.0, 0.0], gap=0.5) == pytest.approx([0.0, 0.5, 1.0])


def test_with_two_rules_there_is_no_figure(store):
    put_rule(store, "bptt", (0.5,), (1.0,))
    put_rule(store, "eprop", (0.5,), (1.0,))
    assert result_against_alignment(Results(store.folder), *HERE) is None


def test_the_page_has_the_picture_with_the_names_of_the_marks(store):
    assert described(result_against_alignment(contradicting(store), *HERE).figure) == {}


def test_a_metric_without_a_unit_leaves_no_space_in_the_warning(store):
    for rule, error, cosine in (("kf_rtrl", 0.1, 0.2), ("rflo", 0.3, 0.6)):
        for replicate in range(2):
            measured = results("mse", error + 0.01 * replicate, 0.5) | {"alignment_cosine.hidden": measure(cosine, "1")}
            measured |= {"alignment_norm_ratio.hidden": measure(1.0, "1")}
            folder = put(store, run_spec(f"{rule} lif adding", replicate), measures=measured, metric="mse")
            row = {"epoch": 0, "alignment_cosine.hidden": cosine, "alignment_norm_ratio.hidden": 1.0}
            (folder / "curve.jsonl").write_text(json.dumps({**row, "validation": 0.5, "train_loss": 1.0}) + "\n")
    (line,) = warning(alignment_ranks(Results(store.folder), *HERE))
    assert "kf_rtrl: cosine 0.20, mse 0.105; RFLO: cosine 0.60, mse 0.305 (adding, lif)." in line
