"""One reading of a results folder: which runs are current, and the data of each."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from tests.synthetic_records import grid_store, measure, put, run_spec
from throughtime.commands.terminal import print_stale
from throughtime.errors import UsageError
from throughtime.records.code_digest import code_of
from throughtime.records.record import read_record
from throughtime.records.results import COLUMNS, Results
from throughtime.spec import ComponentSpec


def accuracy(value: float):
    return {"accuracy": measure(value, "fraction")}


def test_a_row_holds_labels_names_sizes_and_measures_with_units_and_reasons(store):
    measures = {"accuracy": measure(0.5, "fraction"), "wall_time": measure(None, "second", "not on this replicate")}
    folder = put(store, run_spec("bptt lif digits-long", 2, steps=7, layers=2), measures=measures)
    results = Results.load(store.folder)
    (row,) = results.frame.to_dict("records")
    assert list(row)[: len(COLUMNS)] == COLUMNS
    assert (row["dataset"], row["dataset_name"], row["steps"], row["hidden"]) == ("digits-long", "digits", 7, (64, 64))
    assert (row["accuracy"], row["unit.accuracy"], row["replicate"]) == (0.5, "fraction", 2)
    assert math.isnan(row["wall_time"]) and row["missing.wall_time"] == "not on this replicate"
    assert Path(row["folder"]) == folder and row["superseded"] == 0
    for name in (row["id"], "bptt lif digits-long #2"):
        assert results.record(name) == read_record(folder / "record.json")


def test_the_newest_configuration_and_the_newest_of_each_replicate_are_current(store):
    """Replicates 0 and 1 of old code, 1 again; then 0 of new code: that alone is current, three are superseded."""
    old = {"code": {"rule": "old"}}
    put(store, run_spec("bptt lif digits", 0), id="a", measures=accuracy(0.1), **old)
    put(store, run_spec("bptt lif digits", 1), id="b", measures=accuracy(0.2), **old)
    put(store, run_spec("bptt lif digits", 1), id="c", measures=accuracy(0.3), started="2026-01-03", **old)
    put(store, run_spec("fptt lif digits", 0), id="other", measures=accuracy(0.9), **old)
    before = Results.load(store.folder).frame
    assert before[["id", "superseded"]].values.tolist() == [["a", 1], ["c", 1], ["other", 0]]
    put(store, run_spec("bptt lif digits", 0), id="d", started="2026-01-04", code={"rule": "new"})
    after = Results.load(store.folder).frame
    assert after[["id", "superseded"]].values.tolist() == [["d", 3], ["other", 0]]


def test_the_order_of_options_is_no_other_configuration(store):
    options = {"tau": 20.0, "threshold": 0.3}
    for replicate, items in enumerate((options.items(), reversed(options.items()))):
        neuron = ComponentSpec(name="lif", label="lif", options=dict(items))
        put(store, run_spec("bptt lif digits", replicate).model_copy(update={"neuron": neuron}), id=f"run {replicate}")
    frame = Results.load(store.folder).frame
    assert len(frame) == 2 and frame["configuration"].nunique() == 1


def test_each_file_is_read_once_and_another_suite_not_at_all(tmp_path, monkeypatch):
    store = grid_store(tmp_path)
    reads: Counter[str] = Counter()
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.update([path.parts[-3]]) or original(path))
    results = Results.load(store.folder, ["memory"])
    for run in results.frame["id"]:
        assert results.record(run).spec.suite == "memory"
    assert reads == {"memory": 6}


def test_a_suite_that_is_named_twice_is_read_once(tmp_path):
    store = grid_store(tmp_path)
    once, twice = Results.load(store.folder, ["memory"]), Results.load(store.folder, ["memory", "memory"])
    assert twice.frame.equals(once.frame), "no run counts as an older one of itself"


def test_a_selection_shares_what_was_read(tmp_path):
    results = Results.load(grid_store(tmp_path).folder)
    chosen = results.select("memory", "laptop")
    assert len(chosen.frame) == 6 and set(chosen.frame["suite"]) == {"memory"}
    assert chosen.frame.index.tolist() == list(range(6)) and len(results.frame) > 6
    assert results.select(scale="paper").frame.empty


def test_a_name_stands_for_a_list_of_one(tmp_path):
    folder = grid_store(tmp_path).folder
    results = Results.load(folder, "memory")
    assert set(results.frame["suite"]) == {"memory"}
    assert results.matching(rule="bptt").frame.equals(results.matching(rule=["bptt"]).frame)


def test_a_scale_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UsageError, match='no choice "tniy"'):
        Results.load(grid_store(tmp_path).folder).select(scale="tniy")


def test_curves_are_found_by_id_and_by_label(store):
    put(store, run_spec("bptt lif digits"), id="x", curve=[0.25, 0.5])
    results = Results.load(store.folder)
    assert [row["validation"] for row in results.curve("x")] == [0.25, 0.5]
    assert results.curve("bptt lif digits #0") is results.curve("x")


def test_an_unknown_or_ambiguous_run_is_wrong_use(store):
    for suite in ("quick", "slow"):
        put(store, run_spec("bptt lif digits", suite=suite))
    results = Results.load(store.folder)
    with pytest.raises(UsageError, match=r'2 runs have the label "bptt lif digits #0"'):
        results.record("bptt lif digits #0")
    with pytest.raises(UsageError, match=r'no run "bptt lif digit #0" in .*\n.*did you mean "bptt lif digits #0"'):
        results.curve("bptt lif digit #0")


def test_a_label_comes_before_a_pattern_and_other_columns_are_refused(store):
    for rule in ("b[x]", "bx"):
        put(store, run_spec(f"{rule} lif digits"))
    results = Results(store.folder)
    assert [set(results.matching(rule=label).frame["rule"]) for label in ("b[x]", "b*")] == [{"b[x]"}, {"b[x]", "bx"}]
    with pytest.raises(UsageError, match='no labels "rules"\n  did you mean "rule"'):
        results.matching(rules="bx")


def test_a_folder_without_runs_is_empty_and_cannot_be_loaded(store):
    empty = Results(store.folder)
    assert empty.frame.empty and list(empty.frame.columns) == COLUMNS and empty.broken == []
    with pytest.raises(UsageError, match="nothing was run in"):
        Results.load(store.folder)
    put(store, run_spec("bptt lif digits"))
    (store.run_folder("quick", "broken")).mkdir()
    (store.run_folder("quick", "broken") / "record.json").write_text("[]")
    assert len(Results.load(store.folder).broken) == 1
    with pytest.raises(UsageError, match=r'no record of a suite "quack" in .*\n.*did you mean "quick"'):
        Results.load(store.folder, ["quack"])


def test_a_damaged_curve_is_among_the_broken_files_once_it_is_read(store):
    put(store, run_spec("bptt lif digits"), id="x")
    results = Results(store.folder)
    run = "x"
    (results.run_folder(run) / "curve.jsonl").write_text('{"epoch": 1}\n{"epoch": 2, "validation": "much"}\n{}\n')
    assert results.curve(run) == [{"epoch": 1}]
    (told,) = results.broken
    assert told.endswith('curve.jsonl:2: "validation" is "much", not a number')


def test_runs_of_other_code_are_named_and_counted(store, capsys):
    spec, other = run_spec("bptt lif digits"), run_spec("fptt lif digits", suite="other")
    put(store, spec, code=code_of(spec) | {"commit": "another", "changed": True})
    assert Results(store.folder).stale().empty
    print_stale(Results(store.folder))
    assert capsys.readouterr().err == ""
    put(store, other, code=code_of(other) | {"neuron": "0" * 12})
    assert list(Results(store.folder).stale()["suite"]) == ["other"]
    print_stale(Results(store.folder))
    assert capsys.readouterr().err == "other code than today's made 1 of 2 runs: other 1\n"
    assert Results(store.folder / "nowhere").stale().empty
