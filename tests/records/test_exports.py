"""Exports hold every run, its curve, its options and its measures, read back by the libraries that own the formats."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import pandas as pd
import pytest

from tests.synthetic_records import DIVERGED, put, results, run_spec
from throughtime.commands.main import main
from throughtime.records.exports import file_name
from throughtime.records.record import Failure
from throughtime.records.results import Results
from throughtime.records.store import Store

CURVE = [0.25, 0.5, 0.75]


@pytest.fixture
def folder(store):
    """Two runs that ended ok, and one that diverged in its second epoch."""
    for replicate in range(2):
        spec = run_spec("bptt lif digits", replicate)
        put(store, spec, measures=results("accuracy", 0.7 + 0.1 * replicate, 0.1), metric="accuracy", curve=CURVE)
    put(store, run_spec("fptt lif digits"), "diverged", failure=Failure(reason=DIVERGED), curve=CURVE[:1])
    return store.folder


def exported(kind, folder, out, capsys) -> str:
    assert main(["export", kind, "--results", str(folder), "--out", str(out)]) == 0
    return capsys.readouterr().out


def test_parquet_gives_back_runs_and_curves(folder, tmp_path, capsys):
    said = exported("parquet", folder, tmp_path / "out", capsys)
    assert said.split() == [str(tmp_path / "out" / name) for name in ("runs.parquet", "curves.parquet")]
    runs, curves = (pd.read_parquet(path) for path in said.split())
    frame = Results(folder).frame
    assert list(runs["id"]) == list(frame["id"]) and list(runs["status"]) == list(frame["status"])
    assert list(runs["accuracy"][:2]) == pytest.approx([0.7, 0.8]) and math.isnan(runs["accuracy"][2])
    assert set(runs.columns) == set(frame.columns)
    first_curve = curves[curves["id"] == runs["id"][0]]
    assert list(first_curve["validation"]) == CURVE and list(first_curve["epoch"]) == [1, 2, 3]
    assert len(curves) == 7


def test_parquet_without_curves_has_the_column_of_ids(tmp_path, capsys):
    put(Store(tmp_path / "runs"), run_spec("bptt lif digits"))
    said = exported("parquet", tmp_path / "runs", tmp_path / "out", capsys)
    assert list(pd.read_parquet(said.split()[1]).columns) == ["id"]


def test_tensorboard_has_a_log_for_each_run(folder, tmp_path, capsys):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    said = exported("tensorboard", folder, tmp_path / "out", capsys)
    assert said.startswith("3 runs; next: `tensorboard --logdir ")
    log = event_accumulator.EventAccumulator(str(tmp_path / "out" / "quick" / "laptop" / "bptt-lif-digits-#1"))
    log.Reload()
    points = log.Scalars("validation")
    assert [(point.step, point.value) for point in points] == [(10, 0.25), (20, 0.5), (30, 0.75)]
    assert log.Scalars("accuracy")[0].value == pytest.approx(0.8)
    assert b"throughtime run" in log.Tensors("command/text_summary")[0].tensor_proto.string_val[0]
    assert log.PluginTagToContent("hparams")


def test_labels_that_differ_in_a_sign_have_logs_of_their_own():
    assert file_name("bptt lif digits #1") == "bptt-lif-digits-#1"
    assert len({file_name(label) for label in ("a+b lif", "a*b lif", "a-b lif")}) == 3


def test_a_measure_of_0_is_a_measure(store, tmp_path, capsys):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    put(store, run_spec("bptt lif digits"), measures=results("accuracy", 0.0, 0.1), metric="accuracy", curve=[0.0])
    exported("tensorboard", store.folder, tmp_path / "out", capsys)
    log = event_accumulator.EventAccumulator(str(tmp_path / "out" / "quick" / "laptop" / "bptt-lif-digits-#0"))
    log.Reload()
    assert [point.value for point in log.Scalars("validation")] == [0.0]
    assert log.Scalars("accuracy")[0].value == 0.0


def chunks(data: bytes) -> Iterator[bytes]:
    """Yield the records of a .wandb file, which has the format of LevelDB's log after a header of 7 bytes."""
    block, position, parts = 32768, 7, b""
    while position + 7 <= len(data):
        if block - position % block < 7:  # a block ends with zeros where no header fits
            position += block - position % block
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # complete, or its last part
            yield parts
            parts = b""


def test_wandb_has_an_offline_run_for_each_run(folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # a server that does not answer
    said = exported("wandb", folder, tmp_path / "out", capsys)
    assert said.startswith("3 runs; next: `wandb sync ")
    result = {}
    for path in sorted((tmp_path / "out" / "wandb").glob("offline-run-*/run-*.wandb")):
        records = [Record.FromString(data) for data in chunks(path.read_bytes())]
        (run,) = (record.run for record in records if record.HasField("run"))
        result[run.display_name] = run, [record.history for record in records if record.HasField("history")]
    assert set(result) == {"bptt lif digits #0", "bptt lif digits #1", "fptt lif digits #0"}
    run, history = result["bptt lif digits #1"]
    assert (run.project, run.run_group, len(history)) == ("quick", "bptt lif digits", 3)
    items = {item.nested_key[0] or item.key: item.value_json for item in history[-1].item}
    assert (items["validation"], items["_step"]) == ("0.75", "30")
    config = {item.key: item.value_json for item in run.config.update}
    assert '"epochs":4' in config["training"].replace(" ", "") and config["status"] == '"ok"'


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_library_that_is_not_installed_is_named(kind, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["export", kind, "--results", str(folder), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said == f"error: this format needs {kind}, which is not installed\n  pip install {kind}\n"
    assert not (tmp_path / "out").exists()
