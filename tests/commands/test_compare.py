"""`throughtime compare` and `throughtime baseline update`: their output and exit codes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.comparing.test_cells import record
from tests.synthetic_records import measure, put, run_spec
from throughtime.commands.main import app, main
from throughtime.comparing import interleaved
from throughtime.comparing.cells import Cell, Pair
from throughtime.comparing.gates import MetricGate
from throughtime.records.baseline_lines import sealed, unsealed
from throughtime.records.baselines import curves_path
from throughtime.records.code_digest import code_of
from throughtime.records.store import Store
from throughtime.running.tuning import after_tuning
from throughtime.suites.strict_yaml import Document
from throughtime.suites.suite import load_suite, suite_document

SUITE = """suite: tried
summary: One run.
rules: [bptt]
neurons: [lif]
networks: [{name: recurrent, hidden: [4]}]
datasets: [{name: digits, steps: 8}]
replicates: 2
passes: [train, bytes]
training: {epochs: 1, batch: 512}
scales: {tiny: {}, laptop: {replicates: 3, passes: [train]}, paper: {}}
"""


MEASURES = {"accuracy": measure(0.5, "fraction"), "loss": measure(1.0, "1"), "peak_live_bytes": measure(8.0, "byte")}


def results(folder, bytes_, **code):
    measures = {"loss": measure(1.0, "1"), "peak_live_bytes": measure(bytes_, "byte")}
    spec = run_spec("bptt lif digits")
    put(Store(folder), spec, measures=measures, code=code_of(spec) | code)
    return str(folder)


@pytest.fixture
def sides(tmp_path):
    """A base, and new results with more bytes."""
    return results(tmp_path / "base", 8.0), results(tmp_path / "new", 9.0)


def test_exit_codes(sides, tmp_path, capsys):
    base, new = sides
    assert main(["compare", base, base]) == 0 and "passed (exit code 0)" in capsys.readouterr().out
    assert main(["compare", base, new]) == 1 and "regressed (exit code 1): 1 worse" in capsys.readouterr().out
    assert main(["compare", base, new, "--scale", "tiny"]) == 2
    gates = tmp_path / "gates.yaml"
    gates.write_text("gates: [{metric: lost, compare: exact, better: lower, fail: true, why: x}]")
    capsys.readouterr()
    assert main(["compare", base, new, "--gates", str(gates)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == [
        f'error: {gates}:1:9: the gate on "lost" matched nothing',
        "  no cell has such a metric, or a gate before this one takes them all",
    ]


@pytest.mark.parametrize("part, name", [("rule", "bptt"), ("neuron", "lif"), ("harness", "harness")])
def test_results_of_other_code_do_not_pass(sides, tmp_path, capsys, part, name):
    base, _ = sides
    old = results(tmp_path / "old", 8.0, **{part: "0" * 12})
    assert main(["compare", base, old]) == 2, "equal numbers, made by other code"
    said = capsys.readouterr().out
    assert "not comparable (exit code 2): 1 stale, 3 same" in said and "Other code than today's made 1 cells" in said
    assert f"the code of {name} changed since these runs" in " ".join(said.split())
    assert main(["compare", base, old, "--stale-ok"]) == 0 and "1 stale" in capsys.readouterr().out
    assert main(["compare", old, base]) == 0, "the base is older than the code by nature"
    worse = results(tmp_path / "worse", 9.0, **{part: "0" * 12})
    assert main(["compare", base, worse]) == 1, "a regression is one, whatever code made it"


def test_code_that_cannot_be_seen_is_not_the_same(tmp_path, capsys):
    spec = run_spec("bptt nowhere digits")
    put(Store(tmp_path), spec, measures={"loss": measure(1.0, "1")})
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "nowhere (not registered" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "words, said",
    [
        (["{0}"], "compare takes two result sets, not 1"),
        (["{0}", "{1}", "{1}"], "compare takes two result sets, not 3"),
        (["{0}", "{1}", "--rounds", "3"], "--rounds: has no effect without --interleaved"),
        (["{0}", "{1}", "--plugin", "x.py"], "no such plugin file"),
        (["quick", "--interleaved", "HEAD", "--stale-ok"], "--stale-ok: has no effect with --interleaved"),
        (["{0}", "{1}", "--interleaved", "HEAD"], "--interleaved: takes exactly one suite"),
        (["quick", "--interleaved", "no-such-revision"], 'git knows no revision "no-such-revision"'),
        (["quik", "--interleaved", "HEAD"], 'no suite "quik"\n  did you mean "quick"?'),
    ],
)
def test_wrong_use(sides, capsys, words, said):
    assert main(["compare", *(word.format(*sides) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_suite_is_refused_before_it_is_timed(tmp_path, capsys):
    (tmp_path / "list.yaml").write_text("[1]\n")
    assert main(["compare", str(tmp_path / "list.yaml"), "--interleaved", "HEAD"]) == 2
    assert "list.yaml:1:1: " in capsys.readouterr().err


def test_the_format_and_the_file_are_chosen(sides, tmp_path, capsys):
    base, new = sides
    assert main(["compare", base, new, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["counts"] == {"worse": 1, "same": 2}
    out = tmp_path / "deep" / "comment.md"
    assert main(["compare", base, new, "--format", "markdown", "--out", str(out)]) == 1
    assert capsys.readouterr().out == f"{out}: regressed (exit code 1): 1 worse, 2 same\n"
    assert out.read_text().startswith("<!-- throughtime compare -->\n")
    assert main(["compare", base, new, "--out", str(tmp_path)]) == 2, "1 would mean a regression"
    assert f"{tmp_path}: the comparison cannot be written" in capsys.readouterr().err
    words = [sys.executable, "-m", "throughtime", "compare", base, base]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert ended.returncode == 2 and ended.stderr.startswith("error: the comparison cannot be written: ")


def test_a_baseline_is_made_compared_and_renewed(tmp_path, capsys):
    suite, folder = tmp_path / "tried.yaml", tmp_path / "baselines"
    suite.write_text(SUITE)
    words = ["baseline", "update", str(suite), "--baselines", str(folder), "--reason"]
    made = CliRunner().invoke(app, [*words, "a first one"])
    assert made.exit_code == 0 and "2 runs, no baseline before" in made.stdout, made.output
    baseline = folder / "tried-tiny.jsonl"
    assert len(baseline.read_text().splitlines()) == 2

    lines = baseline.read_text().splitlines()
    first = json.loads(unsealed(lines[0]))
    first["measures"]["peak_live_bytes"]["value"] -= 4
    baseline.write_text("\n".join([sealed(json.dumps(first)), *lines[1:], ""]))
    kept = tmp_path / "results"
    again = CliRunner().invoke(app, [*words, "bytes moved", "--results", str(kept)])
    assert again.exit_code == 0 and "regressed (exit code 1): 1 worse" in again.stdout, again.output
    assert main(["compare", str(baseline), str(kept)]) == 0, "renewed, and the results were kept"
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["why"] for entry in log] == ["a first one", "bytes moved"] and log[1]["changes"]["worse"] == 1
    capsys.readouterr()
    assert main([*words, " "]) == 2 and "without a reason" in capsys.readouterr().err


def test_an_interrupted_update_leaves_the_baseline_as_it_is(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise typer.Exit(130)

    (tmp_path / "tried.yaml").write_text(SUITE)
    monkeypatch.setattr("throughtime.commands.baseline.run", interrupted)
    folder, results = tmp_path / "baselines", tmp_path / "results"
    words = ["baseline", "update", tmp_path / "tried.yaml", "--why", "x", "--baselines", folder, "--results", results]
    put(Store(results), load_suite(tmp_path / "tried.yaml").expand("tiny")[0])  # done before the interruption
    assert main([*map(str, words)]) == 130 and not folder.exists()


def test_an_interrupted_update_without_a_folder_loses_no_run(tmp_path, monkeypatch, capsys):
    def interrupted(suite, results, **_):
        put(Store(results), load_suite(suite).expand("tiny")[0])
        raise typer.Exit(130)

    (tmp_path / "tried.yaml").write_text(SUITE)
    monkeypatch.setattr("throughtime.commands.baseline.run", interrupted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["baseline", "update", str(tmp_path / "tried.yaml"), "--why", "x"]) == 130
    (results,) = tmp_path.glob("throughtime-*")
    assert f"add --results {results} to continue" in capsys.readouterr().err
    assert len(list(results.glob("*/*/record.json"))) == 1


@pytest.fixture
def pieces(tmp_path):
    """A suite of two runs, each finished on another machine; the words that commit those of a folder."""
    suite, folder = tmp_path / "tried.yaml", tmp_path / "baselines"
    suite.write_text(SUITE)
    for number, spec in enumerate(load_suite(suite).expand("tiny")):
        day = f"2026-01-0{number + 1}T00:00:00+00:00"
        put(Store(tmp_path / f"day {number}"), spec, curve=[0.5], started=day, metric="accuracy", measures=MEASURES)
    words = ["baseline", "update", str(suite), "--baselines", str(folder), "--reason", "x", "--recorded", "--results"]
    return words, tmp_path / "day 0", tmp_path / "day 1", folder / "tried-tiny.jsonl"


def test_a_suite_is_committed_in_pieces(pieces, capsys):
    words, first, second, baseline = pieces
    assert main([*words, str(first)]) == 0
    said = capsys.readouterr().out
    assert f"1 of 2 runs are recorded; `throughtime run {words[2]} --scale tiny --results '{first}'` makes" in said
    before = [file.read_text().splitlines() for file in (baseline, curves_path(baseline))]
    assert main([*words, str(second)]) == 0, "the committed run is not in this folder"
    said = capsys.readouterr().out
    assert "2 of 2 runs are recorded\n" in said and "left out" not in said
    after = [file.read_text().splitlines() for file in (baseline, curves_path(baseline))]
    assert [len(lines) for lines in after] == [2, 2] and [lines[:1] for lines in after] == before


def test_committed_runs_of_tuned_cells_stay_without_their_trials(tmp_path, capsys):
    """Two cells of one trial each; the second day has the trial and the runs of one of them."""
    path, folder = tmp_path / "tuned.yaml", tmp_path / "baselines"
    tuned = SUITE.replace("[bptt]", "[bptt, rolling_tbptt]") + "tune: {options: {training.learning_rate: [1e-2]}}\n"
    path.write_text(tuned.replace("suite: tried", "suite: tuned"))
    suite = load_suite(path)
    words = ["baseline", "update", str(path), "--baselines", str(folder), "--reason", "x", "--recorded", "--results"]
    for day, trials in enumerate((suite.trials["tiny"], suite.trials["tiny"][1:])):
        store = Store(tmp_path / f"day {day}")
        measures = MEASURES | {"accuracy_validation": measure(0.5, "fraction")}
        for trial in (trial for cell in trials for trial in cell):
            (spec,) = suite.runs_of_trial("tiny", trial)
            put(store, spec, metric="accuracy", measures=measures)
        for planned in after_tuning(suite, "tiny", store, suite.trials["tiny"]).planned:
            put(store, planned.spec, metric="accuracy", measures=MEASURES)
        assert main([*words, str(store.folder)]) == 0
        assert len((folder / "tuned-tiny.jsonl").read_text().splitlines()) == 4
    assert "committed runs that stay, since the trials of their cells are not here: 2" in capsys.readouterr().out


def test_further_replicates_are_committed_and_stay(pieces, capsys):
    words, first, second, baseline = pieces
    (spec, _) = load_suite(words[2]).expand("tiny")
    put(Store(first), spec.model_copy(update={"replicate": 7}), metric="accuracy", measures=MEASURES)
    for folder, lines in ((first, 2), (second, 3)):
        assert main([*words, str(folder)]) == 0
        said = capsys.readouterr().out
        assert f"{lines - 1} of 2 runs are recorded" in said and "further replicates of the suite's cells: 1\n" in said
        assert len(baseline.read_text().splitlines()) == lines and "left out" not in said


def test_a_committed_run_is_not_lost_to_newer_code_of_another_replicate(pieces, capsys):
    words, first, second, baseline = pieces
    assert main([*words, str(first)]) == 0
    before, (_, spec) = baseline.read_text(), load_suite(words[2]).expand("tiny")
    newer = {"started": "2027-01-01T00:00:00+00:00", "versions": {"torch": "99"}}
    put(Store(second), spec, id="0" * 12, metric="accuracy", measures=MEASURES, **newer)
    assert main([*words, str(second)]) == 2 and baseline.read_text() == before
    assert "would remove committed runs" in capsys.readouterr().err
    again = load_suite(words[2]).expand("tiny")[0]
    put(Store(second), again, id="1" * 12, metric="accuracy", measures=MEASURES, **newer)
    assert main([*words, str(second)]) == 0 and len(baseline.read_text().splitlines()) == 2


@pytest.mark.parametrize("recorded", [True, False])
def test_a_run_with_other_settings_supersedes_none_of_the_suite(pieces, monkeypatch, recorded):
    words, first, second, baseline = pieces
    assert main([*words, str(first)]) == 0 and main([*words, str(second)]) == 0
    before, (spec, _) = baseline.read_text(), load_suite(words[2]).expand("tiny")
    other = spec.model_copy(update={"training": spec.training.model_copy(update={"learning_rate": 0.1})})
    put(Store(second), other, started="2026-02-01T00:00:00+00:00", metric="accuracy", measures=MEASURES)
    monkeypatch.setattr("throughtime.commands.baseline.run", lambda *_, **__: None)  # the folder has all runs
    words = words if recorded else [word for word in words if word != "--recorded"]
    assert main([*words, str(second)]) == 0 and baseline.read_text() == before


def test_what_is_not_of_the_suite_is_not_committed_and_named(pieces, tmp_path, capsys):
    words, first, _, baseline = pieces
    (spec, _) = load_suite(words[2]).expand("tiny")
    other_rule = spec.model_copy(update={"rule": spec.rule.model_copy(update={"label": "of no suite"})})
    put(Store(first), other_rule, metric="accuracy", measures=MEASURES)
    put(Store(first), spec, id="0" * 12, started="2025-01-01T00:00:00+00:00", versions={"torch": "1.0"})
    assert main([*words, str(first)]) == 0
    said = capsys.readouterr().out
    assert "lacks them, or has them with other settings: 1\n" in said and "other code or library versions: 1\n" in said
    assert len(baseline.read_text().splitlines()) == 1
    other = tmp_path / "other"
    put(Store(other), other_rule)
    baseline.unlink()
    assert main([*words, str(other)]) == 2 and "no run of" in capsys.readouterr().err
    assert main([*words[:-1]]) == 2 and "--recorded: needs the folder of the runs" in capsys.readouterr().err


def test_the_suite_to_time_has_the_timing_pass_alone():
    plain = interleaved.timed_alone(Document("tried.yaml", SUITE))
    assert plain["passes"] == ["time"] and "replicates" not in plain
    assert plain["scales"] == {"tiny": {}, "laptop": {}, "paper": {}} and plain["rules"] == ["bptt"]
    assert interleaved.timed_alone(Document("tried.yaml", SUITE.partition("scales:")[0]))["scales"] == {}


@pytest.mark.parametrize("suite", ["rules", "fptt-detection", "quick"])
def test_a_suite_to_time_can_be_loaded_without_its_tuning(suite, tmp_path):
    """`tune` and `keep_weights` need the pass `train`, which a suite to time lacks."""
    path = tmp_path / "timed.yaml"
    path.write_text(json.dumps(interleaved.timed_alone(suite_document(suite))))
    assert all(list(spec.passes) == ["time"] for spec in load_suite(path, "tiny").expand("tiny"))


def test_without_a_gates_file_five_percent_of_time_count():
    own = MetricGate(metric="wall_time", compare="ratio_to_bptt", better="lower", warn="10 %", why="noise")
    spec = run_spec("bptt lif digits")
    assert interleaved.gate_on_times([], spec) is interleaved.WALL_TIME_GATE
    assert interleaved.gate_on_times([own], spec) is own


@pytest.mark.parametrize(
    "base, new, verdict, severity",
    [
        # Load that triples both versions in the second round leaves their ratio.
        ([1.0, 3.0, 1.0], [1.01, 3.0, 1.0], "same", ""),
        ([1.0, 3.0, 1.0], [1.2, 3.63, 1.21], "worse", "warn"),
        ([1.0, 3.0, 1.0], [0.8, 2.4, 0.81], "better", ""),
        ([1.0, 3.0, 1.0], [0.5, 6.0, 1.4], "unclear", ""),
    ],
)
def test_times_in_turns_are_judged_by_their_ratio(base, new, verdict, severity):
    spec = run_spec("bptt lif digits")
    pair = Pair(Cell(spec, {0: record(spec)}), Cell(spec, {0: record(spec)}))
    row = interleaved.timed_row(pair, interleaved.WALL_TIME_GATE, base, new)
    assert (row.verdict, row.severity) == (verdict, severity)
    mean = math.prod(b / a for a, b in zip(base, new, strict=True)) ** (1 / 3)
    assert row.difference == pytest.approx(mean - 1) and row.low < row.difference < row.high
    assert row.n_new == 3 and row.new / row.base == pytest.approx(mean)


@pytest.mark.slow
def test_a_revision_against_itself_is_the_same(tmp_path):
    suite = tmp_path / "tried.yaml"
    suite.write_text(SUITE)
    comparison = interleaved.compare_interleaved("HEAD", str(suite), "tiny", 4)
    rows = {row.metric: row for row in comparison.rows}
    assert rows["wall_time"].n_base == rows["wall_time"].n_new == 4 and rows["status"].verdict == "same"
    assert abs(rows["wall_time"].difference) < 0.5, "noise of this machine"
    commits = {record.code["commit"] for record in comparison.base.records}
    assert commits == {None}, "the revision ran from a folder of its own, which is no checkout"
