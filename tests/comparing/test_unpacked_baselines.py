"""Baselines become results folders again: the same table, curves in six digits, the same figures."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from tests.synthetic_records import grid_store
from throughtime.commands.main import main
from throughtime.comparing.baselines import write_baseline
from throughtime.records.baseline_lines import sealed, unsealed
from throughtime.records.baselines import baseline_path, curves_path, read_baseline, unpack
from throughtime.records.record import write_record
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.figures import learning_curves
from throughtime.reports.summaries import summarise

LATER = '"keep_weights":false,'
"""A field of the spec that lines of an older version lack."""


def text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


@pytest.fixture
def quick(tmp_path):
    return Results(grid_store(tmp_path / "runs").folder).select("quick", "laptop")


@pytest.fixture
def path(quick, tmp_path):
    path = baseline_path("quick", "laptop", tmp_path / "baselines")
    path.parent.mkdir()
    runs = quick.frame["id"]
    write_baseline(path, [quick.record(run) for run in runs], {run: quick.curve(run) for run in runs})
    return path


def test_an_unpacked_baseline_has_the_same_table_and_figure(quick, path, tmp_path):
    assert unpack(path, Store(tmp_path / "unpacked")) == len(quick.frame)
    again = Results(tmp_path / "unpacked")
    pd.testing.assert_frame_equal(summarise(again.frame), summarise(quick.frame))
    before, after = (learning_curves(results, "quick", "laptop").data for results in (quick, again))
    pd.testing.assert_frame_equal(after, before)


def test_curves_have_six_digits_and_gaps_stay_gaps(quick, path, tmp_path):
    (run, other), curve = quick.frame["id"][:2], {"epoch": 1, "iteration": 10, "validation": 0.123456789}
    rows = [{**curve, "train_loss": None}, {**curve, "epoch": 2, "cosine": 1e-12 / 3}]
    path.unlink()
    write_baseline(path, [quick.record(run), quick.record(other)], {run: rows, other: []})
    unpack(path, Store(tmp_path / "unpacked"))
    again = Results(tmp_path / "unpacked")
    first, second = again.curve(run)
    assert first == {"epoch": 1, "iteration": 10, "validation": 0.123457}
    assert second == {"epoch": 2, "iteration": 10, "validation": 0.123457, "cosine": 3.33333e-13}
    assert again.curve(other) == [] and again.broken == []


def test_lines_of_unchanged_runs_stay_as_they_are(quick, path, tmp_path):
    """Also where a field that has a default was added to the spec since, or a curve has gaps."""
    run, other = quick.frame["id"][:2]
    curve = [{"epoch": 0, "iteration": 0, "train_loss": None, "validation": 1.0}]
    path.unlink()
    write_baseline(path, [quick.record(run), quick.record(other)], {run: curve, other: curve})
    older = "".join(f"{sealed(unsealed(line).replace(LATER, ''))}\n" for line in text(path).splitlines())
    path.write_bytes(gzip.compress(older.encode()))
    drawn = text(curves_path(path))
    assert '"train_loss":[null]' in drawn
    unpack(path, Store(tmp_path / "unpacked"))
    again = Results(tmp_path / "unpacked")
    write_baseline(path, [again.record(run), again.record(other)], {run: again.curve(run), other: again.curve(other)})
    assert text(path) == older and text(curves_path(path)) == drawn
    changed = again.record(run).model_copy(update={"started": "2027-01-01T00:00:00+00:00"})
    write_baseline(path, [changed, again.record(other)], {run: again.curve(run), other: again.curve(other)})
    lines = zip(older.splitlines(), text(path).splitlines(), strict=True)
    assert [before == now for before, now in lines] == [False, True]
    assert "train_loss" not in text(curves_path(path)).splitlines()[0], "a curve of another run"


def test_a_run_that_the_folder_has_is_not_written_again(quick, path):
    record = quick.run_folder(quick.frame["id"][0]) / "record.json"
    whole = record.read_text()
    assert unpack(path, Store(quick.folder)) == 0 and record.read_text() == whole
    record.unlink()
    assert unpack(path, Store(quick.folder)) == 1 and len(record.read_text()) < len(whole)
    record.write_text(whole[:400])
    assert unpack(path, Store(quick.folder)) == 1 and Results(quick.folder).broken == []


def test_a_committed_run_takes_the_place_of_a_failed_one_and_none_of_a_finished_one(quick, path, tmp_path):
    store = Store(tmp_path / "own")
    record = next(record for record in map(quick.record, quick.runs) if record.status == "ok")
    for status, measures in (("timeout", record.measures), ("ok", {})):
        own = record.model_copy(update={"status": status, "measures": measures})
        write_record(own, store.run_folder("quick", record.id))
        unpack(path, store)
        unpacked = Results(store.folder).record(record.id)
        assert unpacked.status == "ok" and bool(unpacked.measures) == bool(measures)


def test_exports_and_comparisons_of_rules_name_a_record_that_cannot_be_read(quick, tmp_path, capsys):
    record = quick.run_folder(quick.frame["id"][0]) / "record.json"
    record.write_text(record.read_text()[:400])
    for words in (["export", "parquet", "--out", str(tmp_path / "out")], ["compare-rules", "bptt", "fptt"]):
        assert main([*words, "--results", str(quick.folder)]) == 0
        assert f"broken: {record}" in capsys.readouterr().err


def test_a_baseline_without_curves_has_no_file_of_curves(quick, path):
    assert curves_path(path).exists()
    write_baseline(path, [quick.record(run) for run in quick.frame["id"]])
    assert not curves_path(path).exists()


def test_the_command_unpacks_all_baselines_of_a_folder(path, tmp_path, capsys):
    (path.parent / "log.jsonl").write_text("{}\n")
    words = ["baseline", "unpack", str(tmp_path / "unpacked"), "--baselines", str(path.parent)]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("quick-laptop.jsonl.gz: ")
    assert len(Results(tmp_path / "unpacked").frame)
    assert main(["baseline", "unpack", str(tmp_path), "--baselines", str(tmp_path / "nowhere")]) == 2
    assert "no baseline" in capsys.readouterr().err


def test_equal_records_have_equal_files_and_text_at_scale_tiny(quick, path, tmp_path):
    records = [quick.record(run) for run in quick.frame["id"]]
    again = baseline_path("quick", "laptop", tmp_path / "again")
    write_baseline(again, records)
    assert again.read_bytes() == path.read_bytes()
    tiny = baseline_path("quick", "tiny", tmp_path)
    write_baseline(tiny, records)
    assert (
        tiny.name == "quick-tiny.jsonl"
        and tiny.read_text() == text(again)
        and read_baseline(tiny) == read_baseline(path)
    )


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: content[:200], lambda _: b"text\n"])
def test_a_damaged_compressed_baseline_is_refused(path, damage, capsys):
    path.write_bytes(damage(path.read_bytes()))
    assert main(["compare", str(path), str(path)]) == 2
    assert "quick-laptop.jsonl.gz: the baseline cannot be read: " in capsys.readouterr().err


LINES = [b'{"no": "curve"}\n', b'{"id": "a", "epoch": [1, 2], "loss": [1]}\n', b'{"id": "a", "epoch": 0.5}\n', b"[1]\n"]


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-9], *(lambda _, line=line: gzip.compress(line) for line in LINES)]
)
def test_a_damaged_file_of_curves_is_named(path, damage, tmp_path, capsys):
    curves_path(path).write_bytes(damage(curves_path(path).read_bytes()))
    assert main(["baseline", "unpack", str(tmp_path / "unpacked"), "--baselines", str(path.parent)]) == 2
    error = capsys.readouterr().err
    assert "quick-laptop.curves.jsonl.gz" in error and len(error.splitlines()) <= 2
