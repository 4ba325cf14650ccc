"""One pass on a machine without files of the sweep: its messages, and a child that ends with its parent."""

from __future__ import annotations

import errno
import json
import sys

import pytest

from tests.children import child
from tests.sweeps import GATED, GATED_RULE, Sweep, alive, wait_for
from throughtime.errors import UsageError
from throughtime.records.provenance import versions
from throughtime.running.assembly import read_result
from throughtime.running.engine import PassJob
from throughtime.running.engines import remote
from throughtime.running.engines.remote import (
    files_left,
    job_of,
    plugin_texts,
    prepare_folder,
    receive_files,
    resume_files,
    run_pass,
    write_failure,
)
from throughtime.running.limits import Limits


@pytest.fixture
def sweep(tmp_path, isolated_registries):
    return Sweep(tmp_path, GATED_RULE)


@pytest.fixture
def job(sweep):
    (planned,) = sweep.planned("results")
    return job_of(PassJob(planned, "train", sweep.folder / "run"), plugin_texts([str(sweep.plugin)]), Limits())


def test_a_job_is_plain_values_and_holds_the_plugin(job):
    assert json.loads(json.dumps(job)) == {**job, "plugins": [list(job["plugins"][0])], "limits": [None, None]}
    assert job["plugins"] == [("gated.py", GATED.read_text())]
    with pytest.raises(UsageError, match="a plugin cannot be sent"):
        plugin_texts(["/nowhere/plugin.py"])


def test_what_a_training_left_takes_the_place_of_what_was_there_and_other_passes_leave_it_alone(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"old")
    (tmp_path / "log").write_bytes(b"-- bytes pass\n")
    receive_files(
        "train", {"curve.jsonl": b"{}\n", "log": b"-- train pass\n", "train.json": b'{"status": "ok"}'}, tmp_path
    )
    assert not (tmp_path / "checkpoint.pt").exists(), "of an attempt that is over"
    assert (tmp_path / "log").read_bytes() == b"-- bytes pass\n-- train pass\n"
    receive_files("bytes", {"log": b"", "bytes.json": b'{"status": "ok"}'}, tmp_path)
    assert (tmp_path / "curve.jsonl").read_bytes() == b"{}\n"
    assert {name: read_result(tmp_path, name).status for name in ("train", "bytes")} == {"train": "ok", "bytes": "ok"}


def test_only_the_end_of_a_long_log_comes_back_and_only_a_training_goes_on_from_a_checkpoint(tmp_path):
    (tmp_path / "log").write_bytes(b"a" * 10 + b"b" * remote.LOG_BYTES)
    (tmp_path / "curve.jsonl").write_bytes(b"{}\n")
    assert files_left("train", tmp_path) == {"log": b"b" * remote.LOG_BYTES, "curve.jsonl": b"{}\n"}
    assert resume_files("train", tmp_path) == {}
    (tmp_path / "checkpoint.pt").write_bytes(b"half way")
    assert resume_files("train", tmp_path) == {"curve.jsonl": b"{}\n", "checkpoint.pt": b"half way"}
    assert resume_files("bytes", tmp_path) == {}


def test_a_worker_without_space_says_so_in_the_record(job, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no-such-folder"))
    files = run_pass(job, {}, lambda: False)
    receive_files("train", files, tmp_path)
    result = read_result(tmp_path, "train")
    assert result.status == "error" and "FileNotFoundError" in result.failure.reason
    assert result.versions == versions() and result.machine["threads"] == 1, "as those of the other replicates"


def test_a_worker_whose_disk_is_full_costs_no_checkpoint_of_the_runner(job, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote, "prepare_folder", full)
    (tmp_path / "checkpoint.pt").write_bytes(b"half way")
    receive_files("train", run_pass(job, resume_files("train", tmp_path), lambda: False), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"half way"
    result = read_result(tmp_path, "train")
    assert result.status == "killed" and "No space left on device" in result.failure.reason, "training resumes"


def test_a_pass_that_an_engine_gives_up_has_the_versions_of_the_sweep(sweep):
    (planned,) = sweep.planned("results")
    write_failure(PassJob(planned, "train", sweep.folder), "killed", "4 workers died in it")
    assert read_result(sweep.folder, "train").versions == versions()


@pytest.mark.slow
def test_a_worker_without_the_dataset_says_so_in_the_record(sweep, monkeypatch, tmp_path):
    monkeypatch.setenv("THROUGHTIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("THROUGHTIME_DATA", "")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    (planned,) = sweep.planned("results")
    job = job_of(PassJob(planned, "train", sweep.folder / "run"), plugin_texts([str(sweep.plugin)]), Limits())
    job["spec"]["dataset"] = {"name": "smnist", "options": {}, "label": "smnist"}
    from throughtime.records.code_digest import code_of
    from throughtime.spec import RunSpec

    job["code"] = code_of(RunSpec.model_validate(job["spec"]))
    receive_files("train", run_pass(job, {}, lambda: False), tmp_path)
    result = read_result(tmp_path, "train")
    assert result.status == "error" and "is not here, and cannot be downloaded" in result.failure.reason


@pytest.mark.slow
def test_a_worker_without_a_package_of_the_plugin_says_so_and_the_run_is_repeated(tmp_path, isolated_registries):
    package = tmp_path / "only_here.py"
    package.touch()
    source = tmp_path / "source" / "imports.py"
    source.parent.mkdir()
    source.write_text(f"import only_here\n{GATED.read_text()}")
    sys.path.append(str(tmp_path))
    try:
        sweep = Sweep(tmp_path, GATED_RULE, plugin=source)
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["only_here"]
    (planned,) = sweep.planned("results")
    request = PassJob(planned, "train", tmp_path / "run")
    job = job_of(request, plugin_texts([str(sweep.plugin)]), Limits())
    for path, status, reason in (
        ("", "error", "the plugin raised ModuleNotFoundError on import: No module named 'only_here'"),
        (str(tmp_path), "ok", ""),
    ):
        job["environment"]["PYTHONPATH"] = path
        receive_files("train", run_pass(job, {}, lambda: False), request.folder)
        result = read_result(request.folder, "train")
        assert result.status == status and reason in (result.failure.reason if result.failure else "")


ATTEND = """
import sys
from pathlib import Path
from throughtime.running.engines.remote import run_supervised
run_supervised(Path(sys.argv[1]), lambda: False)
"""


@pytest.mark.slow
def test_a_child_ends_when_whoever_started_it_is_killed(sweep, job, tmp_path):
    prepare_folder(tmp_path / "run", job, {})
    sweep.gate.touch()
    with child([sys.executable, "-c", ATTEND, str(tmp_path / "run")]) as parent:
        wait_for(sweep.begun)
        parent.kill()
    wait_for(lambda: not alive(sweep.begun()[0]))
    assert sweep.gate.exists(), "nothing else let it go"
