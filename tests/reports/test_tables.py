"""Tables: literal cells, gaps that stay gaps, and the four output formats."""

from __future__ import annotations

import io
import json
import math
import shutil
import subprocess

import pandas as pd
import pytest

from tests.synthetic_records import (
    DIVERGED,
    HOSTILE,
    NO_PEAK,
    SKIPPED,
    costs,
    grid_store,
    measure,
    put,
    results,
    run_spec,
)
from throughtime.errors import UsageError
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.statistics.interval import mean_interval
from throughtime.records.store import Store
from throughtime.reports.best import row_marks
from throughtime.reports.cells import natural, slug
from throughtime.reports.formats import csv, markdown, text, write_table
from throughtime.reports.latex import escaped, latex
from throughtime.reports.quantities import shown_in_unit, significant
from throughtime.reports.rule_matrix import SIGNS, mean_ranks, result_text, rule_matrix, rule_table
from throughtime.reports.summaries import summarise
from throughtime.reports.tables import render, tables


def cell(results: Results, name: str, measure_name: str = "metric") -> pd.Series:
    rule, neuron, dataset = name.split()
    rows = summarise(results.frame, measure_name)
    (row,) = (r for _, r in rows.iterrows() if (r["rule"], r["neuron"], r["dataset"]) == (rule, neuron, dataset))
    return row


def printed(results: Results, name: str, table_name: str = "quick-laptop-metric") -> list[str]:
    """The entries of every rule in the row that begins with `name`."""
    (table,) = (t for t in tables(results) if t.name == table_name)
    (row,) = (row for row in table.rows if [e.text for e in row[: len(name.split(" | "))]] == name.split(" | "))
    return [entry.text for entry in row[3:]]


def test_a_row_of_accuracy_is_percent_with_its_replicates(grid):
    assert printed(grid, "digits | lif") == [
        "90.0 (89.0, 90.0, 91.0)",
        "87.0 (86.0, 87.0, 88.0)",
        "83.0 (n=1)",
        "81.0 (80.0, 81.0, 82.0)",
    ]


def test_five_replicates_have_an_interval_inside_the_possible_range(store):
    # s = 0.01581, half width 2.7764 s / sqrt(5) / 0.09 = 0.21813 around logit(0.9) = 2.19722
    for replicate, value in enumerate((0.88, 0.89, 0.90, 0.91, 0.92)):
        put(store, run_spec("bptt lif digits", replicate), measures=results("accuracy", value, 0.1))
        put(
            store, run_spec("fptt lif digits", replicate), measures=results("accuracy", 1 - 0.3 * (replicate == 0), 0.1)
        )
    result = Results(store.folder)
    assert printed(result, "digits | lif")[0] == "90.0 [87.9, 91.8] (n=5)"
    row = cell(result, "fptt lif digits")
    assert (row["mean"], row["high"] < 1) == (pytest.approx(0.94), True)
    assert mean_interval(row["values"]).high > 1, "the plain t interval leaves the range"


def test_mse_has_three_significant_digits(grid):
    assert printed(grid, "adding | lif")[0] == "0.00500 (0.00550, 0.00500, 0.00450)"


def test_failures_are_counted_and_enter_no_mean(grid):
    assert printed(grid, "digits | ltc")[0] == "90.5 (90.0, 91.0), 1/3 diverged"
    assert printed(grid, "adding | ltc")[0] == "3/3 diverged"
    row = cell(grid, "bptt ltc adding")
    assert (row["n"], row["runs"], row["n_diverged"]) == (0, 3, 3)
    assert math.isnan(row["mean"])
    assert row["note"] == f"diverged: {DIVERGED}"


def test_the_last_epoch_and_the_one_best_on_validation_are_tables_of_their_own(store):
    for replicate in range(2):
        given = {"accuracy": measure(0.8, "fraction"), "accuracy_best_validation": measure(0.6, "fraction")}
        put(store, run_spec("bptt lif digits", replicate), measures=given, metric="accuracy")
    result = Results(store.folder)
    assert printed(result, "digits | lif") == ["80.0 (n=2)"]
    assert printed(result, "digits | lif", "quick-laptop-best-validation") == ["60.0 (n=2)"]


def test_a_failed_run_that_left_a_number_is_still_not_counted(store):
    for replicate, status in enumerate(("ok", "diverged")):
        value = {"accuracy": measure(0.8 if status == "ok" else 0.0, "fraction")}
        put(store, run_spec("bptt lif digits", replicate), status, measures=value, metric="accuracy")
    assert cell(Results(store.folder), "bptt lif digits")["mean"] == 0.8


def test_skipped_and_absent_cells_say_why(grid):
    assert printed(grid, "digits | lstm")[3] == "—"
    assert printed(grid, "adding | lstm")[1] == "not run"
    written = text(next(t for t in tables(grid) if t.name == "quick-laptop-metric"))
    assert f"skipped: {SKIPPED}" in written
    assert "no record of this cell" in written


def test_one_replicate_has_no_interval(grid):
    row = cell(grid, "fptt lif digits")
    assert (row["n"], row["mean"]) == (1, pytest.approx(0.83))
    assert math.isnan(row["low"]) and math.isnan(row["high"])


def test_costs_are_in_readable_units_and_a_missing_peak_is_a_dash_with_its_reason(grid):
    table = "quick-laptop-cost"
    assert printed(grid, "digits | lif | wall time (ms a sequence)", table) == ["4.00", "2.00", "1.33", "1.00"]
    assert printed(grid, "digits | lif | peak memory (MiB)", table) == ["40.0", "—", "10.0", "5.00"]
    assert cell(grid, "tbptt lif digits", "peak_process_bytes")["note"] == f"no value: {NO_PEAK}"


def test_costs_do_not_depend_on_how_training_ended(grid):
    assert printed(grid, "adding | ltc | peak memory (MiB)", "quick-laptop-cost")[0] == "40.0"
    assert (
        printed(grid, "adding | ltc | firing rate (spikes a neuron and step)", "quick-laptop-activity")[0]
        == "3/3 diverged"
    )


def test_a_busy_machine_is_told_of(store):
    put(store, run_spec("bptt lif digits"), measures=costs(0.1, 1.0), contended=True)
    assert "busy" in cell(Results(store.folder), "bptt lif digits", "wall_time")["note"]


def test_the_newest_run_of_a_replicate_counts_and_the_older_is_told_of(store):
    for day, value in ((1, 0.2), (3, 0.9), (2, 0.5)):
        started = f"2026-01-0{day}T00:00:00+00:00"
        measures = results("accuracy", value, 0.1)
        put(store, run_spec("bptt lif digits"), id=f"run{day}", measures=measures, started=started)
    row = cell(Results(store.folder), "bptt lif digits")
    assert (row["mean"], row["n"]) == (0.9, 1)
    assert row["note"].startswith("2 older runs left out: repeated since")


def test_a_mean_is_of_one_make(store):
    for replicate in range(3):
        measures = results("accuracy", 0.2, 0.1)
        put(store, run_spec("bptt lif digits", replicate), id=f"old{replicate}", measures=measures, code={"rule": "a"})
    rerun = {"measures": results("accuracy", 0.9, 0.1), "started": "2026-02-02T00:00:00+00:00"}
    put(store, run_spec("bptt lif digits"), id="new0", code={"rule": "b"}, **rerun)
    row = cell(Results(store.folder), "bptt lif digits")
    assert (row["mean"], row["n"], row["runs"]) == (0.9, 1, 1)
    assert row["note"].startswith("3 older runs left out")
    # A run of the old code again makes that the newest: its replicates count once more, the new one does not.
    rerun["started"] = "2026-03-03T00:00:00+00:00"
    put(store, run_spec("bptt lif digits", 1), id="again1", code={"rule": "a", "commit": "other"}, **rerun)
    row = cell(Results(store.folder), "bptt lif digits")
    assert (row["mean"], row["n"], row["runs"]) == (pytest.approx(1.3 / 3), 3, 3)
    assert row["note"].startswith("2 older runs left out")


@pytest.mark.parametrize("change", ["epochs", "versions", "passes"])
def test_settings_and_versions_make_a_make_and_passes_do_not(store, change):
    spec = run_spec("bptt lif digits", 1)
    training = spec.training.model_copy(update={"epochs": 5})
    changed = {"epochs": {"training": training}, "passes": {"passes": ["train"]}, "versions": {}}[change]
    put(store, run_spec("bptt lif digits"), measures=results("accuracy", 0.2, 0.1))
    versions = {"versions": {"torch": "3.0"}} if change == "versions" else {}
    later = {"measures": results("accuracy", 0.4, 0.1), "started": "2026-02-02T00:00:00+00:00"}
    put(store, spec.model_copy(update=changed), **later, **versions)
    assert cell(Results(store.folder), "bptt lif digits")["n"] == (2 if change == "passes" else 1)


def test_a_metric_of_another_name_is_shown_by_its_unit(store):
    for replicate in range(2):
        measures = {**results("f1", 0.7 + 0.1 * replicate, 0.1, "fraction"), **costs(0.1, 2.0**20)}
        put(store, run_spec("bptt lif digits", replicate), measures=measures, metric="f1", curve=[0.2, 0.7])
    put(store, run_spec("fptt lif digits"), "diverged", failure=Failure(reason=DIVERGED))
    put(store, run_spec("bptt lif words"), measures=results("loss_bits", 12.0, 30.0, "bit"), metric="loss_bits")
    grid = Results(store.folder)
    assert printed(grid, "digits | lif | f1 (%)") == ["75.0 (70.0, 80.0)", "1/1 diverged"]
    assert printed(grid, "words | lif | loss_bits (bit)")[0] == "12.0 (n=1)"
    assert printed(grid, "digits | lif | f1 (%)", "quick-laptop-best-validation")[0] == "75.0 (70.0, 80.0)"
    metric, best, *_ = tables(grid)
    assert "F1, loss_bits: test split, weights of the final epoch." in metric.caption
    assert any("f1, loss_bits: test split, weights of the epoch that was best" in s.lower() for s in best.caption)
    assert cell(grid, "fptt lif digits")[["measure", "unit"]].tolist() == ["f1", "fraction"]
    assert cell(grid, "bptt lif digits", "f1")["mean"] == pytest.approx(0.75)


def test_a_suite_that_does_not_measure_something_says_so_once(grid):
    by_name = {table.name: table for table in tables(grid)}
    assert not by_name["memory-laptop-metric"].rows
    assert "Not measured here: metric" in text(by_name["memory-laptop-metric"])
    assert "memory-laptop-best-validation" not in by_name
    cost = by_name["memory-laptop-cost"]
    assert [[e.text for e in row] for row in cost.rows] == [
        ["adding-50", "ltc", "peak memory (MiB)", "52.0", "2.00"],
        ["adding-100", "ltc", "peak memory (MiB)", "102", "2.00"],
        ["adding-200", "ltc", "peak memory (MiB)", "202", "2.00"],
    ]
    assert "Not measured here: wall time" in text(cost)
    assert "Not measured here: compile time (not in the record)." in text(cost)
    assert "CUDA" not in text(cost), "a suite that runs on the processor has no place for a device's memory"
    assert cost.title.startswith("Time and memory: ")


def test_why_nothing_has_a_value_is_told_once_though_other_replicates_lack_the_reason(store):
    compiled = {"compile_time": measure(None, "second", "nothing is compiled")}
    for replicate, measures in enumerate((compiled, {})):
        put(store, run_spec("bptt lif digits", replicate), measures=measures)
    cost = next(table for table in tables(Results(store.folder)) if table.name == "quick-laptop-cost")
    assert "Not measured here: compile time (nothing is compiled)." in cost.caption


def test_every_form_tells_suite_scale_protocol_n_and_interval(grid):
    table = next(t for t in tables(grid) if t.name == "quick-laptop-best-validation")
    for form in (text(table), markdown(table), latex(table)):
        plain = form.replace("\\", "").replace("--", "–").replace("-{}", "-")
        for needed in (
            "Suite quick, scale laptop: 67 runs, 57 ok, 4 diverged, 6 skipped.",
            "epoch that was best on the validation split",
            "95 % Student t interval",
            "Mean of n = 1–3 replicates",
        ):
            assert needed in plain


@pytest.mark.parametrize(
    "last, said", [(1, "weights of the final epoch"), (3, "mean of the evaluations after the last 3")]
)
def test_captions_name_the_mean_of_the_last_evaluations(store, last, said):
    spec = run_spec("bptt lif digits")
    training = spec.training.model_copy(update={"mean_of_last": last})
    put(
        store, spec.model_copy(update={"training": training}), measures=results("accuracy", 0.9, 0.1), metric="accuracy"
    )
    text = " ".join(render(Results(store.folder)).split())
    assert f"Accuracy: test split, {said}" in text


def test_rules_and_numbers_stand_in_reading_order(store):
    for rule in ("own", "eprop", "tbptt K=10", "tbptt K=5", "bptt"):
        for dataset in ("adding-100", "adding-20"):
            put(store, run_spec((rule, "lif", dataset)), measures=results("mse", 0.1, 0.2))
    table = tables(Results(store.folder))[0]
    assert table.head[3:] == ["bptt", "tbptt K=5", "tbptt K=10", "eprop", "own"]
    assert [row[0].text for row in table.rows] == ["adding-20", "adding-100"]


def test_neurons_stand_in_the_order_of_the_package(store):
    for neuron in ("own", "ltc", "alif", "cuba", "lif"):
        put(store, run_spec(("bptt", neuron, "digits")), measures=results("accuracy", 0.1, 0.2))
    assert [row[1].text for row in tables(Results(store.folder))[0].rows] == ["lif", "alif", "ltc", "cuba", "own"]


def test_two_networks_are_two_rows(store):
    plain = run_spec("bptt lif digits")
    other = plain.network.model_copy(update={"label": "convolutional"})
    for spec, value in ((plain, 0.1), (plain.model_copy(update={"network": other}), 0.9)):
        put(store, spec, measures=results("accuracy", value, 0.1))
    assert [row[1].text for row in tables(Results(store.folder))[0].rows] == ["lif, convolutional", "lif"]


def test_csv_gives_back_every_number(grid):
    for table in tables(grid):
        texts = ("note", "unit", "better", "values", "replicates", "edge")
        back = pd.read_csv(io.StringIO(csv(table)), dtype=dict.fromkeys(texts, str))
        # An empty note reads back as NaN, as an empty number does.
        back = back.fillna(dict.fromkeys(texts, ""))
        for name, kind in (("values", float), ("replicates", int)):
            back[name] = [tuple(map(kind, str(values).split())) for values in back[name]]
        pd.testing.assert_frame_equal(back, table.long.reset_index(drop=True), check_dtype=False, rtol=0, atol=0)


def hostile_table(store: Store):
    put(store, run_spec(("50%_rule & co", "a|b*", "<i>$x$\nβ")), "error", failure=Failure(reason=HOSTILE))
    put(store, run_spec(("bptt", "a|b*", "<i>$x$\nβ")), measures=results("accuracy", 0.5, 0.1))
    return tables(Results(store.folder))[0]


def test_latex_escapes_what_users_write(store):
    written = latex(hostile_table(store))
    assert r"50\%\_rule \& co" in written
    assert r"\textless{}i\textgreater{}\$x\$ $\beta$" in written
    assert r"\$of\_it \textbackslash{} \{a\} \textasciitilde{} \textasciicircum{} \#1" in written
    assert r" & 50.0" in written and "n = 1 replicates" in written and r"\toprule" in written


def test_markdown_keeps_its_columns_whatever_users_write(store):
    written = markdown(hostile_table(store))
    assert r"a\|b\*" in written and r"\<script\>" in written
    rows = [line for line in written.splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in rows} == {6}


def comparison_store(store: Store) -> Results:
    """Three rules, five replicates: b is better than a on every replicate, c varies around a."""
    for replicate in range(5):
        for rule, value in (("a", 0.5), ("b", 0.6), ("c", 0.5 + (-1) ** replicate * 0.1)):
            spec = run_spec((rule, "lif", "digits"), replicate)
            put(store, spec, measures=results("accuracy", value + 0.01 * replicate, 0.1))
    return Results(store.folder)


def test_the_best_rule_and_those_not_distinguished_from_it_are_bold(store):
    (row,) = tables(comparison_store(store))[0].rows
    # b and a: 0.62 and 0.52, sd 0.0158; c: mean 0.54, sd 0.11, so that its difference from b may be 0
    assert [entry.best for entry in row[3:]] == [False, True, True]
    written = latex(tables(Results(store.folder))[0])
    assert r"52.0 \pm 1.6 & \bfseries 62.0 \pm 1.6 & \bfseries 54.0 \pm 11.1" in written
    assert r"**62.0 \[60.0, 63.9\] (n=5)**" in markdown(tables(Results(store.folder))[0])


def test_latex_of_the_table_of_rules_has_its_signs(grid):
    written = latex(rule_table(grid, "quick", "laptop"))
    assert "textless" not in written and r"$\cdot$" in written
    assert "textless" not in "".join(map(escaped, SIGNS.values()))


def test_latex_has_the_decimals_and_the_width_of_the_numbers(store):
    """4.5 and 4.5 ± 17.3165: the mean has two decimals, so has the deviation; 1.5e-12 has an exponent of two digits."""
    for replicate, value in enumerate((-7.745, 16.745)):
        put(store, run_spec("a lif digits", replicate), measures={"score": measure(value, "1")})
    put(store, run_spec("b lif digits"), measures={"score": measure(1.5e-12, "1")})
    written = render(Results(store.folder), "score", "latex")
    assert r"4.50 \pm 17.32" in written and "1.50e-12" in written
    assert "table-format=1.2e-2" in written and "table-format=1.2(4)" in written


def summary_of(**values: list[float]) -> pd.DataFrame:
    """Return the summary of an accuracy on one task, without a level of chance."""
    rules = [*values]
    means = [sum(values[rule]) / len(values[rule]) for rule in rules]
    frame = {"rule": rules, "n": 5, "better": "higher", "mean": means, "values": [values[rule] for rule in rules]}
    fixed = {"measure": "accuracy", "unit": "fraction", "chance": math.nan, "n_diverged": 0}
    return pd.DataFrame({**frame, **fixed, "replicates": [range(5)] * len(rules)})


@pytest.mark.parametrize("rivals, alike", [(1, False), (2, True)])
def test_differences_from_the_best_are_corrected_for_their_number(rivals, alike):
    """Differences of 1, 1, 1, 1 and 0.2 hundredths: t = 5.25 at 4 degrees of freedom, p = 0.0063; 3.4 has 0.027."""
    best = [0.90, 0.91, 0.92, 0.93, 0.94]
    near = [0.88, 0.89, 0.91, 0.925, 0.9395]
    values = {"best": best, "near": near, "other": [0.87, 0.89, 0.91, 0.93, 0.9399]}
    rules = {rule: values[rule] for rule in [*values][: rivals + 1]}
    assert ("near" in row_marks(summary_of(**rules).to_dict("records")).best) == alike


def test_labels_have_one_order():
    """The numbers of 0.1 and 0.01 are 0 and 1 both; K=5 is before K=10, and a label before its continuation."""
    labels = ["α=0.01", "α=0.1", "K=5", "K=5 b", "K=10", "k=10"]
    for given in (labels, labels[::-1]):
        assert sorted(given, key=natural) == [*labels[2:], *labels[:2]]


def test_names_of_files_keep_letters_of_every_script():
    names = [slug(label) for label in ("fptt-α", "fptt-β", "γ=0.1", "a/b c", "..")]
    assert names == ["fptt-α", "fptt-β", "γ-0.1", "a-b-c", "unnamed"]


def test_few_equal_values_decide_nothing(store):
    """Replicates that agree show no spread, as a single one does: fewer than five say nothing."""
    for replicate in range(5):
        for rule, value in (("bptt", 0.5), ("b", 0.6)):
            put(store, run_spec((rule, "lif", "digits"), replicate), measures=results("accuracy", value, 0.1))
        matrix = rule_matrix(Results(store.folder), "quick", "laptop").set_index("rule")
        assert matrix.loc["b", "against_bptt"] == ("better" if replicate == 4 else "n decides nothing")
        best = [entry.best for entry in tables(Results(store.folder))[0].rows[0][3:]]
        assert best == [False, True], "the best alone"


def test_less_is_better_for_an_error_and_without_a_direction_nothing_is_bold(store):
    for rule, value in (("a", 0.5), ("b", 0.6)):
        measures = results("mse", value, 0.1) | {"score": measure(value, "1")}
        put(store, run_spec((rule, "lif", "adding")), measures=measures)
    result = Results(store.folder)
    assert [entry.best for entry in tables(result)[0].rows[0][3:]] == [True, False]
    assert "**" not in render(result, "score", "markdown").partition("| --- |")[2]


def test_what_is_measured_once_is_bold_where_it_is_least():
    summary = summary_of(a=[100.0], b=[101.0], c=[100.0])
    rows = summary.assign(measure="peak_live_bytes", better="lower", n=1).to_dict("records")
    assert row_marks(rows).best == {"a", "c"}


def test_csv_has_the_standard_deviation_and_the_single_values(grid):
    row = cell(grid, "bptt lif digits")
    assert row["values"] == (0.89, 0.9, 0.91) and row["sd"] == pytest.approx(0.01)
    assert row["better"] == "higher" and cell(grid, "bptt lif adding")["better"] == "lower"


def test_rules_are_compared_with_bptt_by_paired_replicates(store):
    """b is better on every replicate by 0.1 ± 0.01, c varies around; a spread that all rules share cancels."""
    for replicate in range(5):
        shared, own = 0.1 * replicate, 0.01 * (-1) ** replicate
        for rule, value in (("bptt", 0.4), ("b", 0.5 + own), ("c", 0.4 + 20 * own)):
            put(store, run_spec((rule, "lif", "digits"), replicate), measures=results("accuracy", value + shared, 0.1))
    matrix = rule_matrix(Results(store.folder), "quick", "laptop").set_index("rule")
    assert matrix["against_bptt"].to_dict() == {"bptt": "", "b": "better", "c": "not distinguished"}
    assert matrix["against_best"].to_dict() == {"bptt": "worse", "b": "", "c": "not distinguished"}
    assert matrix.loc["b", "difference"] == pytest.approx(0.102) and matrix.loc["b", "n"] == 5
    put(store, run_spec(("b", "lif", "digits"), 9), measures=results("accuracy", 0.0, 0.1))
    again = rule_matrix(Results(store.folder), "quick", "laptop").set_index("rule")
    assert again.loc["b", "difference"] == pytest.approx(0.102), "a replicate that only one rule has is in no pair"


def test_bimodal_results_are_shares_of_solved_runs(store):
    """Chance 0.5, so that 0.8 is solved: 4 of 5 against 0 of 5 has p = 2/252 * 6 = 0.048, against one rule alone."""
    for replicate in range(5):
        values = {"bptt": 0.95 if replicate else 0.48, "b": 0.5 + 0.01 * replicate}
        for rule, value in values.items():
            put(store, run_spec((rule, "lif", "xor"), replicate), measures=results("accuracy", value, 0.5))
    matrix = rule_matrix(Results(store.folder), "quick", "laptop").set_index("rule")
    assert matrix["solved"].to_dict() == {"bptt": 4, "b": 0}
    assert matrix.loc["b", "p"] == pytest.approx(2 * 6 / 252) and matrix.loc["b", "against_bptt"] == "worse"
    table = rule_table(Results(store.folder), "quick", "laptop")
    assert [row[2].text for row in table.rows] == ["4/5", "0/5 ↓"] and "4/5: number of solved runs" in " ".join(
        table.caption
    )
    for rule in "cdefgh":
        for replicate in range(5):
            put(store, run_spec((rule, "lif", "xor"), replicate), measures=results("accuracy", 0.5, 0.5))
    matrix = rule_matrix(Results(store.folder), "quick", "laptop").set_index("rule")
    assert set(matrix["against_bptt"]) == {"", "n decides nothing"}, "7 times 2/252 is above 0.05"
    shown = tables(Results(store.folder))[0]
    assert [entry.best for entry in shown.rows[0][3:]].count(True) == 1
    assert "n decides nothing here" in " ".join(shown.caption)


def test_a_table_shows_the_shares_of_solved_runs_of_bimodal_results(store):
    """One task has shares, the other a mean. One rule has no result on it, so that nothing is compared."""
    for replicate in range(5):
        put(store, run_spec("bptt lif xor", replicate), measures=results("accuracy", 0.95 if replicate else 0.48, 0.5))
        put(
            store,
            run_spec("b lif xor", replicate),
            "diverged" if replicate else "ok",
            measures=results("accuracy", 0.5, 0.5),
        )
        put(store, run_spec("bptt lif digits", replicate), measures=results("accuracy", 0.9 + replicate / 100, 0.1))
    shown = tables(Results(store.folder))[0]
    assert [[entry.text for entry in row[3:]] for row in shown.rows] == [
        ["92.0 [89.8, 93.8] (n=5)", "not run"],
        ["4/5", "0/5, 4/5 diverged"],
    ]
    caption = " ".join(shown.caption)
    assert "4/5: number of solved runs" in caption and "n decides nothing here" not in caption
    assert "4/5" in render(Results(store.folder), form="latex") and "4/5  " in render(Results(store.folder), width=80)


def test_a_diverged_run_has_not_solved_its_task(store):
    for replicate in range(5):
        put(
            store, run_spec("bptt lif xor", replicate), measures=results("accuracy", 0.48 + 0.45 * (replicate > 0), 0.5)
        )
        failed = replicate > 1
        measures = {} if failed else results("accuracy", 0.9, 0.5)
        put(
            store,
            run_spec("b lif xor", replicate),
            "diverged" if failed else "ok",
            measures=measures,
            metric="accuracy",
        )
    matrix = rule_matrix(Results(store.folder), "quick", "laptop").set_index("rule")
    assert matrix["solved"].to_dict() == {"bptt": 4, "b": 2}
    assert result_text(matrix.loc["b"]) == "2/5"
    assert matrix["against_best"].to_dict() == {"bptt": "", "b": "not distinguished"}, "2 of 5, not 2 of 2"


def test_mean_ranks_leave_out_rules_that_lack_a_task(grid):
    """eprop has no result on lstm, tbptt none on adding with lstm; bptt and fptt have one of both without ltc."""
    some = grid.matching(neuron=["lif", "lstm"])
    assert mean_ranks(rule_matrix(some, "quick", "laptop")).to_dict() == {"bptt": 1.0, "fptt": 2.0}
    table = rule_table(some, "quick", "laptop")
    assert [row[1].text for row in table.rows] == ["1.00", "—", "2.00", "—"]
    assert "over the 4 tasks; without tbptt, eprop, which lack some" in " ".join(table.caption)
    assert all(form(table) for form in (text, markdown, latex, csv))
    assert rule_table(grid, "memory", "laptop") is None


def test_a_suite_whose_runs_all_failed_has_no_table_of_rules(store):
    for rule in ("bptt", "b"):
        put(store, run_spec(f"{rule} lif xor"), "diverged", measures=results("accuracy", 0.9, 0.5), metric="accuracy")
    assert rule_table(Results(store.folder), "quick", "laptop") is None


def test_a_wide_table_is_split_and_repeats_its_labels(store):
    for i in range(16):
        put(store, run_spec((f"rule-of-some-length-{i}", "lif", "digits")), measures=results("accuracy", 0.5, 0.1))
    written = latex(tables(Results(store.folder))[0])
    # Labels take 133 of a page's 498 points, a rule of 22 letters takes 107: three rules in each part.
    assert written.count(r"\begin{table*}") == 6 and written.count("{dataset}") == 6
    assert written.count("continued") == 5 and "rule-{}of-{}some-{}length-{}15" in written


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(store, grid, tmp_path):
    inputs = "\n\\clearpage\n".join(latex(table) for table in (hostile_table(store), *tables(grid)))
    packages = r"\usepackage[T1]{fontenc}\usepackage{array, booktabs, siunitx}"
    packages += r"\usepackage[textwidth=6.9in]{geometry}"
    document = rf"\documentclass[twocolumn]{{article}}{packages}\begin{{document}}{inputs}\end{{document}}"
    (tmp_path / "tables.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout, "no table is wider than its column or page"


def test_four_files_a_table(grid, tmp_path):
    paths = write_table(tables(grid)[0], tmp_path / "new")
    assert [path.suffix for path in paths] == [".txt", ".md", ".tex", ".csv"]
    assert all(path.read_text(encoding="utf-8") for path in paths)


def test_one_measure_in_every_form(tmp_path):
    store = grid_store(tmp_path)
    everything = Results.load(store.folder)
    quick, memory = everything.select("quick"), everything.select("memory")
    assert "90.0 (89.0, 90.0, 91.0)" in render(quick)
    assert "| 0.0625 (n=3) |" in render(quick, "firing_rate", "markdown")
    assert render(everything, "metric", "latex").count(r"\caption{metric: ") == 2
    assert len(render(memory, "peak_process_bytes", "csv").splitlines()) == 1 + 6
    rows = json.loads(render(quick, "metric", "json"))
    (alone,) = (row for row in rows if (row["rule"], row["neuron"], row["dataset"]) == ("fptt", "lif", "digits"))
    assert (alone["mean"], alone["low"], alone["n"]) == (pytest.approx(0.83), None, 1)
    with pytest.raises(UsageError, match="no record of a suite"):
        Results.load(store.folder, ["quack"])


def test_an_unknown_measure_is_wrong_use(grid):
    for name in ("acuracy", "label"):
        with pytest.raises(UsageError, match="no measure"):
            summarise(grid.frame, name)


def test_no_records_no_rows(store):
    assert summarise(Results(store.folder).frame).empty


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (0.05, "0.0500"),
        (12.34, "12.3"),
        (1234.6, "1235"),
        (-0.5, "-0.500"),
        (1.2e-5, "1.20e-05"),
        (2e6, "2.00e+06"),
    ],
)
def test_significant_digits(value, shown):
    assert significant(value) == shown


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (2.0**21, "byte", "2.00 MiB (2,097,152 byte)"),
        (0.9321, "fraction", "93.21 %"),
        (0.0042, "second a sequence", "4.20 ms a sequence"),
        (4.2e-5, "second", "42.0 µs"),
        (61.5, "second", "61.5 s"),
        (0.0625, "spikes per neuron and step", "0.06250 spikes per neuron and step"),
        (0.25, "1", "0.2500"),
    ],
)
def test_recorded_values_in_words(value, unit, shown):
    assert shown_in_unit(value, unit) == shown
