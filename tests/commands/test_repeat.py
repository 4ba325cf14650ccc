"""`baseline repeat` trains committed runs again to an early evaluation, and says whether the numbers are equal."""

from __future__ import annotations

import gzip
import json
import os
import signal

import pytest

from throughtime.commands.main import main
from throughtime.comparing.baselines import write_baseline
from throughtime.comparing.own_code import OwnCode
from throughtime.records import repetitions
from throughtime.records.baselines import curve_lines, curve_rows, read_baseline
from throughtime.records.repetitions import read_repetitions
from throughtime.registry import isolated
from throughtime.running.signals import AskedToStop

RULE = """
import os
import torch
from throughtime import algorithm
from throughtime.algorithms.bptt import BPTT

@algorithm("planted")
class Planted(BPTT):
    def start(self, network, task, steps):
        super().start(network, task, steps)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_({factor} * float(os.environ.get("PLANTED_FACTOR", 1)))
                shift = float(os.environ.get("PLANTED_SHIFT", 0))
                parameter.add_(shift).sub_(shift)
"""
SUITE = """suite: tried
summary: Two runs, whose second epoch is the first with 20 updates.
rules: [planted]
neurons: [lif]
networks: [{name: recurrent, hidden: [16]}]
datasets: [{name: digits, steps: 8}]
replicates: 2
passes: [train]
training: {epochs: 4, batch: 128, schedule: cosine}
scales: {tiny: {}, laptop: {}, paper: {}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A baseline of two runs of a rule, with the files of the rule and of another one of the same name."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "tried.yaml").write_text(SUITE)
    (folder / "rule.py").write_text(RULE.format(factor=1))
    (folder / "changed.py").write_text(RULE.format(factor=1.001))
    words = ["baseline", "update", folder / "tried.yaml", "--baselines", folder, "--reason", "first"]
    assert run(folder / "rule.py", *words) == 0
    return folder


def run(rule, *words):
    with isolated():
        return main([*map(str, words), "--plugin", str(rule)])


def altered(made, folder, column="train_loss", factor=1.0, **fields):
    """Write the baseline to a folder with other fields of the records, and a column of the curves multiplied."""
    path = made / "tried-tiny.jsonl"
    curves = {run: curve_rows(line) for run, line in curve_lines(path).items()}
    for row in (row for curve in curves.values() for row in curve):
        row[column] *= factor
    write_baseline(folder / path.name, [r.model_copy(update=fields) for r in read_baseline(path)], curves)
    return folder


def repeat(made, folder, *words, rule="rule.py"):
    return run(made / rule, "baseline", "repeat", "tried", "--baselines", folder, *words)


def test_the_same_code_gives_the_recorded_numbers_and_runs_them_once(made, tmp_path, capsys):
    folder = altered(made, tmp_path)
    assert repeat(made, folder, "--seed", "1") == 0
    (line,) = read_repetitions(folder).values()
    assert (line.verdict, line.against, line.difference, line.column) == ("same", "record", 0.0, "")
    assert (line.epoch, line.updates, line.suite, line.scale) == (2, 20, "tried", "tiny")
    assert line.id in {record.id for record in read_baseline(folder / "tried-tiny.jsonl")}
    capsys.readouterr()
    assert repeat(made, folder, "--seed", "1") == 0
    assert capsys.readouterr().out == "1 runs repeated: 1 the recorded numbers\n", "nothing is trained again"


def test_a_change_of_the_rule_gives_other_numbers(made, tmp_path, capsys):
    folder = altered(made, tmp_path)
    assert repeat(made, folder, rule="changed.py") == 1
    (line,) = read_repetitions(folder).values()
    assert line.verdict == "other" and 1e-6 < line.difference < 1 and line.column
    assert capsys.readouterr().out.endswith("1 runs repeated: 1 other numbers\n")
    assert repeat(made, folder, "--list", rule="changed.py") == 1
    assert (
        f"planted lif digits #{line.label[-1]}: after 20 updates (epoch 2) other numbers, {line.column} by"
        in capsys.readouterr().out
    )
    assert repeat(made, folder) == 0, "the rule as it was replaces the line"
    assert [line.verdict for line in read_repetitions(folder).values()] == ["same"]


def test_a_number_that_differs_in_the_sixth_digit_is_another(made, tmp_path):
    folder = altered(made, tmp_path, "test.accuracy", 1 + 2e-6)
    assert repeat(made, folder) == 1
    (line,) = read_repetitions(folder).values()
    assert line.column == "test.accuracy" and line.difference == pytest.approx(2e-6, rel=0.5)


def test_an_interruption_loses_nothing(made, tmp_path, capsys, monkeypatch):
    folder, write = altered(made, tmp_path), repetitions.write_repetition

    def interrupted(*arguments):
        write(*arguments)
        raise AskedToStop(signal.SIGINT)

    monkeypatch.setattr(repetitions, "write_repetition", interrupted)
    assert repeat(made, folder, "--every-run") == 130
    assert "interrupted" in capsys.readouterr().err
    (first,) = read_repetitions(folder).values()
    monkeypatch.setattr(repetitions, "write_repetition", write)
    assert repeat(made, folder, "--every-run") == 0
    said = capsys.readouterr().out
    assert first.label not in said and said.endswith("2 runs repeated: 2 the recorded numbers\n")
    assert read_repetitions(folder)[first.id] == first


def test_numbers_of_another_processor_are_compared_with_those_of_the_own_code_here(made, tmp_path):
    folder = altered(made, tmp_path, factor=1.01, machine={"processor": "another", "device": "cpu"})
    assert repeat(made, folder) == 0
    (line,) = read_repetitions(folder).values()
    assert (line.verdict, line.against, line.recorded_on) == ("same", "own code", "another")


def test_numbers_of_another_processor_and_of_lost_code_decide_nothing(made, tmp_path, capsys):
    code = {**read_baseline(made / "tried-tiny.jsonl")[0].code, "changed": True}
    folder = altered(made, tmp_path, factor=1.01, machine={"processor": "another"}, code=code)
    assert repeat(made, folder, rule="changed.py") == 0
    (line,) = read_repetitions(folder).values()
    assert line.verdict == "not decided" and line.difference > 0.009
    assert line.reason == "recorded on another; other code than today's made it, which was not committed"


def test_other_numbers_by_rounding_alone_are_equal_in_float64(made, tmp_path, capsys, monkeypatch):
    """The code of the record has weights (w + 100) − 100 in one run: it loses 5 of 8 digits in float32, 2 of 16 in
    float64; and 1.000001 w in the other run."""
    planted = [{"PLANTED_SHIFT": "100"}, {"PLANTED_FACTOR": "1.000001"}]
    folder = altered(made, tmp_path, factor=1.01)
    monkeypatch.setattr(OwnCode, "is_of_today", lambda *_: False)
    monkeypatch.setattr(OwnCode, "environment", lambda _, run: {**os.environ, **planted[run.spec.replicate]})
    assert repeat(made, folder, "--every-run") == 1
    rounding, equation = sorted(read_repetitions(folder).values(), key=lambda line: line.label)
    assert (rounding.verdict, rounding.against) == ("same", "float64")
    assert (equation.verdict, equation.against) == ("other", "record")
    assert rounding.column and rounding.difference > 0.009
    assert capsys.readouterr().out.endswith(
        "2 runs repeated: 1 other roundings alone: in float64 the losses of 20 updates are those of the code of the "
        "record, 1 other numbers\n"
    )


def test_a_run_of_another_device_is_not_run_here(made, tmp_path, capsys):
    folder = altered(made, tmp_path, machine={"device": "NVIDIA H100"})
    assert repeat(made, folder) == 0
    assert "after 20 updates (epoch 2) not run here: it ran on NVIDIA H100\n" in capsys.readouterr().out


def test_a_run_that_ends_before_its_row_has_a_reason(made, tmp_path):
    (made / "broken.py").write_text(RULE.format(factor='float("nan")'))
    folder = altered(made, tmp_path)
    assert repeat(made, folder, rule="broken.py") == 1
    (line,) = read_repetitions(folder).values()
    assert line.verdict == "other" and line.reason.startswith("diverged: ") and line.difference is None


def test_an_unknown_suite_and_a_damaged_line_are_refused(made, tmp_path, capsys):
    assert run(made / "rule.py", "baseline", "repeat", "tired", "--baselines", made) == 2
    assert 'no baseline of a suite "tired"' in capsys.readouterr().err
    assert repeat(made, made, "--scale", "paper") == 2
    assert "no baseline of tried at scale paper" in capsys.readouterr().err
    assert repeat(made, made, "--list", "--every-run") == 2
    assert "--every-run: has no effect with --list" in capsys.readouterr().err
    folder = altered(made, tmp_path)
    (folder / "repeated.jsonl.gz").write_bytes(gzip.compress(json.dumps({"id": "x"}).encode()))
    assert repeat(made, folder, "--list") == 2
    assert "repeated.jsonl.gz:1: not a repetition: suite: Field required" in capsys.readouterr().err
