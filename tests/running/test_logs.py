"""Learning curves reach another tool while runs train: a function, an object, TensorBoard, Weights & Biases."""

from __future__ import annotations

import io
import json
import sys

import pytest

import throughtime as tt
from tests.records.test_exports import chunks
from tests.synthetic_records import put
from throughtime.errors import UsageError
from throughtime.records.files import CURVE
from throughtime.records.store import FAILED
from throughtime.running.engine import PassJob
from throughtime.running.logs import LoggedProgress, TensorBoardLog, WandbLog, log_of
from throughtime.running.plan import plan
from throughtime.suites.suite import load_suite

ROWS = [{"epoch": epoch, "iteration": 10 * epoch, "loss": 1 / (1 + epoch), "gradient_norm": None} for epoch in range(4)]


@pytest.fixture
def planned(store):
    return plan(load_suite("quick", "tiny").expand("tiny")[:1], store)[0]


def test_each_row_is_passed_on_once_while_the_run_trains(store, planned, tmp_path):
    seen = []
    progress = LoggedProgress(io.StringIO(), store, lambda step, values: seen.append((step, values)))
    progress.begin([planned.spec])
    jobs = [PassJob(planned, "train", tmp_path), PassJob(planned, "time", tmp_path)]
    progress.running(jobs)
    assert seen == []
    for number, row in enumerate(ROWS[:3], 1):
        with (tmp_path / CURVE).open("a") as file:
            file.write(json.dumps(row) + "\n")
        progress.running(jobs)
        progress.running(jobs)
        assert [step for step, _ in seen] == [0, 10, 20][:number]
    assert seen[1][1] == {"suite": "quick", "run": planned.spec.label, "epoch": 1, "iteration": 10, "loss": 0.5}
    put(store, planned.spec, id=planned.id)
    folder = store.run_folder("quick", planned.id)
    (folder / CURVE).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    progress.finished(store.records("quick")[0].record)
    assert [step for step, _ in seen] == [0, 10, 20, 30], "the last row, which came with the record"


def test_of_a_failed_repetition_its_own_rows_are_passed_on(store, planned, tmp_path):
    """The run's folder keeps the earlier run, which ended ok, and the failed one is below it."""
    seen = []
    progress = LoggedProgress(io.StringIO(), store, lambda step, values: seen.append((step, values["loss"])))
    progress.begin([planned.spec])
    put(store, planned.spec, id=planned.id)
    folder = store.run_folder("quick", planned.id)
    (folder / CURVE).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    record = store.records("quick")[0].record
    progress.finished(record)
    assert seen == [], "a measuring pass alone has no rows"
    failed = [json.dumps(row | {"loss": 9.0}) + "\n" for row in ROWS[1:3]]
    (tmp_path / CURVE).write_text(failed[0])
    progress.running([PassJob(planned, "train", tmp_path)])
    (folder / FAILED).mkdir()
    (folder / FAILED / CURVE).write_text("".join(failed))
    progress.finished(record.model_copy(update={"status": "killed"}))
    assert seen == [(10, 9.0), (20, 9.0)]


class Logger:
    def __init__(self):
        self.steps = []

    def log(self, step, values):
        self.steps.append((values["run"], values["epoch"]))


def test_a_run_logs_to_an_object(tmp_path):
    logger, cell = Logger(), "bptt lif digits #0"
    changes = {"passes": ["train"], "training.epochs": 2}
    tt.run("quick", "tiny", tmp_path, only=cell, set=changes, quiet=True, log=logger)
    assert logger.steps == [(cell, epoch) for epoch in range(3)]


def test_tensorboard_has_the_curve(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TensorBoardLog(tmp_path)
    for row in ROWS:
        log(row["iteration"], {"suite": "quick", "run": "bptt lif digits #0", **row})
    log.close("quick", "bptt lif digits #0")
    written = event_accumulator.EventAccumulator(str(tmp_path / "quick" / "bptt-lif-digits-#0"))
    written.Reload()
    assert [(point.step, point.value) for point in written.Scalars("loss")] == [
        (0, 1.0), (10, 0.5), (20, pytest.approx(1 / 3)), (30, 0.25)
    ]  # fmt: skip


def test_wandb_gets_a_run_for_each_run(tmp_path, monkeypatch):
    class Run:
        def __init__(self, **options):
            self.options, self.rows, self.ended = options, [], False
            runs.append(self)

        def log(self, values, step):
            self.rows.append((step, values))

        def finish(self):
            self.ended = True

    runs: list[Run] = []
    module = type(sys)("wandb")
    module.init, module.__spec__ = Run, sys.__spec__
    monkeypatch.setitem(sys.modules, "wandb", module)
    log = WandbLog()
    for run in ("a lif digits #0", "b lif digits #1"):
        log(0, {"suite": "quick", "run": run, "loss": 1.0})
        log(5, {"suite": "quick", "run": run, "loss": 0.5})
    log.close("quick", "a lif digits #0")
    assert [run.ended for run in runs] == [True, False]
    assert runs[1].options | {"reinit": 0} == {
        "project": "quick", "group": "b lif digits", "name": "b lif digits #1", "reinit": 0
    }  # fmt: skip
    assert runs[1].rows == [(0, {"loss": 1.0}), (5, {"loss": 0.5})]


def test_wandb_has_the_curve_in_a_file_of_its_own_mode_without_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    log = WandbLog()
    for row in ROWS:
        log(row["iteration"], {"suite": "quick", "run": "bptt lif digits #0", **row})
    log.close("quick", "bptt lif digits #0")
    (path,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    records = [Record.FromString(data) for data in chunks(path.read_bytes())]
    (run,) = (record.run for record in records if record.HasField("run"))
    assert (run.project, run.run_group, run.display_name) == ("quick", "bptt lif digits", "bptt lif digits #0")
    rows = [
        {
            item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json)
            for item in record.history.item
        }
        for record in records
        if record.HasField("history")
    ]
    assert [(row["_step"], row["loss"]) for row in rows] == [(row["iteration"], row["loss"]) for row in ROWS]


@pytest.mark.parametrize("name, package", [("tensorboard", "tensorboard"), ("wandb", "wandb")])
def test_a_library_that_is_missing_is_named_in_one_line(name, package, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=f"needs {package}, which is not installed"):
        log_of(name, tmp_path)


@pytest.mark.parametrize("log, hint", [("tensorbord", "tensorboard"), (3, "a function of")])
def test_something_else_is_refused(log, hint, tmp_path):
    with pytest.raises(UsageError, match="is no log") as caught:
        tt.run("quick", "tiny", tmp_path, log=log)
    assert hint in str(caught.value.hint)
