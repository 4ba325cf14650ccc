"""Submissions: one file that CI can check, refused where it contradicts itself, shown with its author."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic_records import measure, put, run_spec
from throughtime.commands.main import main
from throughtime.comparing.own_code import ended
from throughtime.comparing.submissions import read_submission, unpack_submissions, write_submission
from throughtime.errors import UsageError
from throughtime.records.baseline_lines import sealed, unsealed
from throughtime.records.code_digest import code_of
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.registry import ALGORITHMS, isolated
from throughtime.suites.suite import load_suite

STEPS = load_suite("quick").cells["tiny"][0].dataset.options["steps"]
PLUGIN = Path(__file__).parents[2] / "docs" / "examples" / "summed_tbptt.py"


@pytest.fixture
def submission(tmp_path):
    """The path of a submission of two runs of `quick`, one of which diverged."""
    store = Store(tmp_path / "made")
    for replicate, status in enumerate(("ok", "diverged")):
        spec = run_spec("bptt lif digits", replicate, suite="quick", scale="tiny", passes=["train"], steps=STEPS)
        value = {"accuracy": measure(0.5, "fraction"), "loss": measure(1.0, "1")}
        code = code_of(spec)
        fields = {"measures": value, "metric": "accuracy"} if status == "ok" else {}
        put(store, spec, status, id=spec.id(code), code=code, **fields)
    records = [stored.record for stored in store.records("quick")]
    return write_submission(records, " Ada Lovelace ", folder=tmp_path / "submissions")


def test_it_is_one_file_that_is_read_back(submission):
    assert submission.name == "quick-tiny-Ada-Lovelace.jsonl"
    read = read_submission(submission)
    assert (read.header.author, read.header.suite, read.header.scale) == ("Ada Lovelace", "quick", "tiny")
    assert [record.status for record in read.records] == ["ok", "diverged"]
    assert read.records[0].measures["accuracy"].value == 0.5


def edit(path, number, change, seal=True):
    """Change the JSON of a line; with `seal` it gets the digest of its new text."""
    lines = path.read_text().splitlines()
    plain = json.loads(unsealed(lines[number]))
    change(plain)
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    lines[number] = sealed(text) if seal else f'{text[:-1]},"digest":"{"0" * 16}"}}'
    path.write_text("\n".join(lines) + "\n")


WRONG = {
    "a value": (1, lambda p: p["measures"]["accuracy"].update(value=0.9), False, "the line was edited"),
    "a seed": (1, lambda p: p["spec"].update(seed=5), True, "does not follow from spec and code"),
    "the author": (0, lambda p: p.update(author="Eve"), False, "the header was edited"),
    "no author": (0, lambda p: p.update(author=" "), True, "not the header of a submission: author"),
    "another suite": (
        0,
        lambda p: p.update(suite="memory"),
        True,
        "a record of quick at scale tiny in a",
    ),
    "no suite": (0, lambda p: p.update(suite="quik"), True, 'no suite "quik"'),
    "a key": (0, lambda p: p.update(more=1), True, "not the header of a submission: more"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_edited_file_is_refused(case, submission):
    number, change, seal, what = WRONG[case]
    edit(submission, number, change, seal)
    with pytest.raises(UsageError, match=what) as caught:
        read_submission(submission)
    assert str(submission) in str(caught.value)


def test_a_run_twice_and_an_empty_file_are_refused(submission):
    lines = submission.read_text().splitlines()
    submission.write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(UsageError, match="is on line 1 already"):
        read_submission(submission)
    submission.write_text(lines[0] + "\n")
    with pytest.raises(UsageError, match="has no record"):
        read_submission(submission)
    submission.write_text("")
    with pytest.raises(UsageError, match="not the header"):
        read_submission(submission)


def test_a_separator_of_unicode_ends_no_line(submission):
    _, diverged = read_submission(submission).records
    failed = diverged.model_copy(update={"failure": Failure(reason="a\u2028b")})
    path = write_submission([failed], "Bob", folder=submission.parent)
    assert [record.failure.reason for record in read_submission(path).records] == ["a\u2028b"]


def test_data_with_other_options_are_refused(tmp_path):
    store = Store(tmp_path / "made")
    spec = run_spec("bptt lif digits", 0, suite="quick", scale="tiny", passes=["train"])
    dataset = spec.dataset.model_copy(update={"options": {"steps": 4}})
    spec = spec.model_copy(update={"dataset": dataset})
    put(store, spec, "diverged", id=spec.id({}), code={})
    path = write_submission([store.records("quick")[0].record], "Ada", folder=tmp_path)
    with pytest.raises(UsageError, match="quick has no dataset digits with these options"):
        read_submission(path)


def test_tables_show_it_with_its_author(submission, tmp_path):
    store = Store(tmp_path / "shown")
    assert unpack_submissions(submission.parent, store) == 2 and unpack_submissions(submission.parent, store) == 0
    frame = Results.load(store.folder).frame
    assert set(frame["rule"]) == {"bptt@Ada-Lovelace"} and set(frame["status"]) == {"ok", "diverged"}
    assert set(frame["remark"]) == {"submitted by Ada Lovelace"}
    with pytest.raises(UsageError, match="there is no such folder"):
        unpack_submissions(tmp_path / "nowhere", store)


def test_a_second_submission_adds_to_the_author_s_file(submission):
    first, second = read_submission(submission).records
    other = second.model_copy(update={"measures": {"accuracy": measure(0.75, "fraction")}})
    write_submission([other], "Ada Lovelace", folder=submission.parent)
    read = read_submission(submission).records
    assert [record.measures["accuracy"].value for record in read] == [0.5, 0.75] and read[0] == first
    with pytest.raises(UsageError, match="this file is of Ada Lovelace"):
        write_submission([first], "Ada-Lovelace", folder=submission.parent)


@pytest.mark.parametrize("author", ["two\nlines", "x" * 100])
def test_an_author_is_a_name_on_one_line(author, submission, tmp_path):
    with pytest.raises(UsageError, match="an author is a name"):
        write_submission(read_submission(submission).records, author, folder=tmp_path)


def test_an_empty_plugin_is_named_and_one_in_another_encoding_is_read(submission, tmp_path):
    records, plugin = read_submission(submission).records, tmp_path / "mine.py"
    plugin.write_text("")
    with pytest.raises(UsageError, match=r"the plugin mine\.py is empty"):
        write_submission(records, "Ada", [plugin], folder=tmp_path)
    plugin.write_bytes("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"))
    path = write_submission(records, "名" * 80, [plugin], folder=tmp_path)
    assert "'é'" in read_submission(path).header.plugins["mine.py"] and len(path.name.encode()) < 255


def test_a_suite_of_the_users_own_is_refused(submission, tmp_path):
    record = read_submission(submission).records[0]
    mine = record.model_copy(update={"spec": record.spec.model_copy(update={"suite": "mine"})})
    with pytest.raises(UsageError, match='"mine" is no suite of the package'):
        write_submission([mine], "Ada", folder=tmp_path)


def test_the_check_repeats_a_run_with_the_code_of_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["run", "quick", "--scale", "tiny", "--set", "rules=[eprop, tbptt, fptt, summed_tbptt]", "--set"]
    words += ["passes=[train]", "--only", "summed_tbptt lif digits #0", "--plugin", str(PLUGIN), "--results", "runs"]
    submit = ["submit", "quick", "--scale", "tiny", "--results", "runs", "--author", "Ada", "--plugin", str(PLUGIN)]
    with isolated():
        assert main(words) == main(submit) == 0
    path = Path("results/submissions/quick-tiny-Ada.jsonl")
    assert f"next: `throughtime submit --check {path}`" in capsys.readouterr().out

    def check():
        with isolated():
            return main(["submit", "--check", str(path), "--seed", "1"]), *capsys.readouterr()

    code, out, err = check()
    assert code == 0 and "values edited by hand: 0" in out, out + err

    edit(path, 1, lambda p: p["measures"]["accuracy"].update(value=0.99))
    code, out, _ = check()
    assert code == 1 and "accuracy: 0.99 → " in out

    edit(path, 0, lambda p: p["plugins"].update({PLUGIN.name: PLUGIN.read_text() + "\nMORE = 1\n"}))
    code, _, err = check()
    assert code == 2 and "the source of summed_tbptt is not that of the record" in err


@pytest.mark.parametrize(
    "words, what",
    [
        ([], "give a suite to submit, or a file to check"),
        (["quick", "--check", "x.jsonl"], "give a suite to submit, or a file to check"),
        (["quick"], "--author"),
        (["--check", "none.jsonl", "--author", "Ada"], "--author: has no effect with --check"),
        (["--check", "none.jsonl", "--rule", "bptt"], "--rule: has no effect with --check"),
        (["--check", "none.jsonl", "--scale", "tiny"], "--scale: has no effect with --check"),
        (["quick", "--author", "Ada", "--seed", "3"], "--seed: has an effect with --check alone"),
        (["--check", "none.jsonl"], "no submission can be read here"),
    ],
)
def test_wrong_use_is_refused_in_two_lines(words, what, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["submit", *words]) == 2
    error = capsys.readouterr().err
    assert what in error and len(error.splitlines()) <= 2


def test_a_signal_ends_the_repeated_run(tmp_path):
    code = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with pytest.raises(KeyboardInterrupt), process, ended(process):
        assert process.stdout.readline()
        raise KeyboardInterrupt
    assert process.returncode == -signal.SIGTERM


def test_two_plugins_of_one_file_name_are_refused(submission, tmp_path):
    plugins = [tmp_path / folder / "rule.py" for folder in ("one", "two")]
    with pytest.raises(UsageError, match="two plugins have the same file name"):
        write_submission(read_submission(submission).records, "Ada", plugins, folder=tmp_path / "submissions")


def test_a_rule_without_its_plugin_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    spec = run_spec("bptt lif digits", 0, suite="quick", scale="tiny")
    rule = spec.rule.model_copy(update={"name": "mine", "label": "mine"})
    put(Store(tmp_path / "runs"), spec.model_copy(update={"rule": rule}))
    assert "mine" not in ALGORITHMS.names()
    assert main(["submit", "quick", "--scale", "tiny", "--results", "runs", "--author", "Ada"]) == 2
    error = capsys.readouterr().err
    assert "the rule mine is not of the package" in error and "--plugin" in error
