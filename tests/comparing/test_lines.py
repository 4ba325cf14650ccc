"""A line of a baseline that was edited, forged or doubled is refused."""

from __future__ import annotations

import json
import sys

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime.commands.main import main
from throughtime.comparing.baselines import write_baseline
from throughtime.errors import UsageError
from throughtime.records.baseline_lines import sealed, unsealed
from throughtime.records.baselines import read_baseline
from throughtime.records.code_digest import code_of
from throughtime.records.record import read_record

CODE = {"rule": "a" * 12, "harness": "b" * 12}
MEASURES = {"accuracy": measure(0.5, "fraction"), "loss": measure(0.123456789, "1")}


@pytest.fixture
def records(store):
    specs = [run_spec("fptt lif digits", replicate, passes=["train", "bytes"]) for replicate in range(2)]
    first = {**MEASURES, "peak_live_bytes": measure(1000.0, "byte")}
    return [
        read_record(
            put(store, spec, id=spec.id(CODE), code={**CODE, "commit": "c"}, metric="accuracy", measures=measures)
            / "record.json"
        )
        for spec, measures in zip(specs, (first, MEASURES), strict=True)
    ]


@pytest.fixture
def path(records, tmp_path):
    path = tmp_path / "quick-laptop.jsonl"
    write_baseline(path, records)
    return path


def replace(path, number, line):
    lines = path.read_text().splitlines()
    lines[number] = line
    path.write_text("".join(f"{line}\n" for line in lines))


def changed(path, number, change):
    """The line with its JSON changed, and with the digest of the new text: what a careful forger writes."""
    plain = json.loads(unsealed(path.read_text().splitlines()[number]))
    change(plain)
    return sealed(json.dumps(plain, separators=(",", ":")))


def test_a_line_without_change_is_read(path, records):
    assert [record.id for record in read_baseline(path)] == [record.id for record in records]
    assert all(json.loads(line)["digest"] for line in path.read_text().splitlines())


def test_a_value_edited_by_hand_is_refused(path, capsys):
    replace(path, 1, path.read_text().splitlines()[1].replace("0.123456789", "0.12345678"))
    assert main(["compare", str(path), str(path)]) == 2
    said = capsys.readouterr().err
    assert f"{path}:2: the line was edited: its digest is" in said and "baseline update" in said


def test_a_line_without_a_digest_is_refused(path):
    replace(path, 0, unsealed(path.read_text().splitlines()[0]))
    with pytest.raises(UsageError, match="has no digest"):
        read_baseline(path)


@pytest.mark.parametrize(
    "change, what",
    [
        (lambda line: line["spec"]["training"].update(learning_rate=0.5), "does not follow from spec and code"),
        (lambda line: line["spec"].update(seed=8), "does not follow from spec and code"),
        (lambda line: line["code"].update(rule="c" * 12), "does not follow from spec and code"),
        (lambda line: line.update(id="c" * 12), "the id cccccccccccc does not follow"),
        (lambda line: line["measures"].pop("loss"), "fptt lif digits #0 lacks loss, which its spec demands"),
        (lambda line: line["measures"].pop("accuracy"), "lacks accuracy"),
        (lambda line: line["measures"].pop("peak_live_bytes"), "lacks peak_live_bytes"),
        (lambda line: line.update(metric=None), "lacks a metric"),
    ],
)
def test_a_forged_line_with_a_digest_of_its_own_is_refused(path, change, what):
    replace(path, 0, changed(path, 0, change))
    with pytest.raises(UsageError, match=what) as caught:
        read_baseline(path)
    assert caught.value.where == f"{path}:1"


def test_the_commit_is_no_part_of_the_id_and_a_later_field_of_the_spec_none_either(path):
    def older(line):
        line["code"]["commit"] = "another"
        line["spec"].pop("keep_weights")

    replace(path, 0, changed(path, 0, older))
    assert len(read_baseline(path)) == 2


def test_a_line_twice_and_a_replicate_twice_are_refused(path, records, tmp_path):
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{second}\n{first}\n")
    with pytest.raises(UsageError, match=f"the id {records[0].id} is on line 1 already") as caught:
        read_baseline(path)
    assert caught.value.where == f"{path}:3"
    spec = records[0].spec
    other = records[0].model_copy(update={"id": spec.id({"rule": "c"}), "code": {"rule": "c"}})
    write_baseline(tmp_path / "other.jsonl", [other])
    path.write_text(f"{first}\n{second}\n{(tmp_path / 'other.jsonl').read_text()}")
    with pytest.raises(UsageError, match="fptt lif digits #0 is on line 1 already"):
        read_baseline(path)


def test_a_demanded_measure_without_a_value_keeps_its_reason(path, records):
    measures = {**records[0].measures, "peak_live_bytes": measure(None, "byte", "the rule draws random numbers")}
    write_baseline(path, [records[0].model_copy(update={"measures": measures}), records[1]])
    first, _ = read_baseline(path)
    assert first.measures["peak_live_bytes"].missing == "the rule draws random numbers"


SUITE = """suite: tried
summary: One run.
rules: [bptt]
neurons: [lif]
networks: [{name: recurrent, hidden: [4]}]
datasets: [{name: digits, steps: 8}]
passes: [train, bytes]
training: {epochs: 1, batch: 512}
scales: {tiny: {}, laptop: {}, paper: {}}
"""


def test_a_value_with_a_digest_of_its_own_is_found_by_repeating_the_run(tmp_path, capsys):
    """All other values of the line are those of the repeated run, to the last bit."""
    suite, folder = tmp_path / "tried.yaml", tmp_path / "baselines"
    suite.write_text(SUITE)
    assert main(["baseline", "update", str(suite), "--baselines", str(folder), "--reason", "first"]) == 0
    path = folder / "tried-tiny.jsonl"
    loss = read_baseline(path)[0].measures["loss"].value
    forged = loss * (1 + 1e-15)
    replace(path, 0, changed(path, 0, lambda line: line["measures"]["loss"].update(value=forged)))
    capsys.readouterr()
    assert main(["baseline", "verify", str(path), "--seed", "1"]) == 1
    assert capsys.readouterr().out == (
        f"{path}: 1 of 1 lines repeated, bptt lif digits #0, bit for bit; values edited by hand: 1\n"
        f"  loss: {forged!r} → {loss!r}\nvalues edited by hand: 1 (--seed 1)\n"
    )


@pytest.mark.parametrize("loss, edited", [(0.1234568, 0), (0.13, 1)])
def test_on_another_processor_the_gates_decide(store, tmp_path, capsys, monkeypatch, loss, edited):
    """The loss may differ by rounding, and not by more than the gate beside the baseline allows."""
    spec = run_spec("fptt lif digits", passes=["train"])
    fields = {"code": code_of(spec), "machine": {"processor": "another"}, "metric": "accuracy", "measures": MEASURES}
    path = tmp_path / "quick-laptop.jsonl"
    write_baseline(path, [read_record(put(store, spec, id=spec.id(code_of(spec)), **fields) / "record.json")])
    gate = "{metric: loss, compare: tolerance, better: neither, fail: 0.01 %, why: rounding}"
    (tmp_path / "gates.yaml").write_text(f"gates: [{gate}]")
    answer = [{"what": "loss", "before": "0.123456789", "now": repr(loss), "counts": True}]
    prints = [sys.executable, "-c", f"print({json.dumps(answer)!r}); raise SystemExit(1)"]
    monkeypatch.setattr("throughtime.comparing.audit.rerun_command", lambda *_: prints)
    assert main(["baseline", "verify", str(path)]) == bool(edited)
    said = capsys.readouterr().out
    assert "within the gates: another processor or other versions" in said
    assert f"values edited by hand: {edited} (" in said


@pytest.mark.parametrize("accuracy", [0.1, 0.9])
def test_on_another_processor_a_value_under_a_test_is_listed_and_not_decided(
    store, tmp_path, capsys, monkeypatch, accuracy
):
    """One run against one has no significance: the shipped gates on accuracies decide nothing."""
    spec = run_spec("fptt lif digits", passes=["train"])
    fields = {"code": code_of(spec), "machine": {"processor": "another"}, "metric": "accuracy", "measures": MEASURES}
    path = tmp_path / "quick-laptop.jsonl"
    write_baseline(path, [read_record(put(store, spec, id=spec.id(code_of(spec)), **fields) / "record.json")])
    recorded = MEASURES["accuracy"].value
    answer = [{"what": "accuracy", "before": repr(recorded), "now": repr(accuracy), "counts": True}]
    prints = [sys.executable, "-c", f"print({json.dumps(answer)!r}); raise SystemExit(1)"]
    monkeypatch.setattr("throughtime.comparing.audit.rerun_command", lambda *_: prints)
    assert main(["baseline", "verify", str(path)]) == 0
    said = capsys.readouterr().out
    assert f"not decided by one run: 1\n  accuracy: {recorded!r} → {accuracy!r}\n" in said
    assert "values edited by hand: 0, not decided by one run: 1 (" in said


def test_a_run_of_code_that_was_not_committed_is_not_decided(path, capsys):
    assert main(["baseline", "verify", str(path), "--seed", "0"]) == 0
    said = capsys.readouterr().out
    assert "not decided: " in said and "git knows no revision" in said


@pytest.mark.parametrize("words", [["verify", "--since", "HEAD"], ["repeat"], ["repeat", "--list"]])
def test_a_folder_without_baselines_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["baseline", *words]) == 2 and "there is no baseline in this folder" in capsys.readouterr().err
