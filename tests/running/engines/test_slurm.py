"""Passes as jobs of Slurm: with processes of this machine in its place, and with its commands replaced by scripts
whose answers a test sets. `tests/slurm/run.sh` runs a suite through a real one."""

from __future__ import annotations

import functools
import os
import time

import pytest

from tests.sweeps import GATED_RULE, Sweep, alive, counting, made_here, meanwhile, wait_for
from throughtime.errors import UsageError
from throughtime.running.assembly import read_result
from throughtime.running.engine import PassJob
from throughtime.running.engines import slurm_file
from throughtime.running.limits import Limits
from throughtime.whole_files import write_whole

submitit = pytest.importorskip("submitit", reason="the extra [cluster] is not installed")

NO_LIMITS = Limits()
COMMANDS = {
    "srun": "",
    "sbatch": 'n=$(ls "$HERE" | grep -c script); cp "$1" "$HERE/script-$n"; echo "Submitted batch job $((n + 1))"',
    "sacct": 'cat "$HERE/states"',
    "scancel": 'echo "$@" >> "$HERE/cancelled"',
}


@pytest.fixture
def sweep_of(tmp_path, isolated_registries):
    return functools.partial(Sweep, tmp_path)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder of commands that do nothing; `states` in it is the output of sacct."""
    from throughtime.running.engines import remote_engine, slurm

    commands = tmp_path / "commands"
    commands.mkdir()
    for name, script in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/sh\nHERE={commands}\n{script}\n")
        (commands / name).chmod(0o755)
    (commands / "states").write_text("JobID|State|NodeList\n")
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.setattr(slurm, "QUERY_SECONDS", 0.0)
    monkeypatch.setattr(remote_engine, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.01)
    submitit.SlurmJob.watcher.clear()
    return commands


def engine_for(sweep: Sweep, settings: str, limits: Limits = NO_LIMITS):
    from throughtime.running.engines.slurm import SlurmEngine

    config = sweep.folder / "slurm.yaml"
    config.write_text(settings)
    return SlurmEngine(config, [str(sweep.plugin)], limits, sweep.said.append)


@pytest.mark.slow
def test_jobs_of_this_machine_give_the_numbers_of_a_local_sweep_and_leave_nothing(sweep_of, tmp_path_factory):
    local_runs = made_here(tmp_path_factory.getbasetemp())
    sweep = sweep_of(GATED_RULE, replicates=2)
    there = sweep.run(engine_for(sweep, "{cluster: local, time: 10m}"))
    assert [s.record.status for s in there] == ["ok", "ok"]
    assert counting(local_runs, there) == []
    assert sorted(path.name for path in there[0].folder.iterdir()) == ["curve.jsonl", "log", "record.json"]
    assert not list((sweep.folder / "results" / "far" / ".work").iterdir())


@pytest.mark.slow
def test_an_interrupted_sweep_keeps_its_checkpoints_and_leaves_no_job(sweep_of):
    sweep = sweep_of(GATED_RULE)
    sweep.gate.touch()
    engine = engine_for(sweep, "{cluster: local, time: 10m}")
    wait = engine.wait

    def interrupted(seconds):
        if sweep.begun():
            (place,) = (sweep.folder / "results" / "far" / ".work" / ".slurm").glob("*/*-train")
            meanwhile(lambda: (wait_for((place / "stop").exists) and time.sleep(1.5)) or sweep.gate.unlink())
            raise KeyboardInterrupt
        return wait(seconds)

    engine.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        sweep.run(engine)
    assert not alive(sweep.begun()[-1])
    (folder,) = (sweep.folder / "results" / "far" / ".work").iterdir()
    assert {"checkpoint.pt", "curve.jsonl", "log"} <= {path.name for path in folder.iterdir()}


def test_a_pass_that_takes_too_long_has_that_status(sweep_of):
    sweep = sweep_of("bptt")
    (stored,) = sweep.run(engine_for(sweep, "{cluster: local, time: 10m}", Limits(timeout=0.5)))
    assert (stored.record.status, stored.record.reason) == ("timeout", "not done after the 0.5 s it was given")


def started(sweep: Sweep, engine) -> PassJob:
    (planned,) = sweep.planned("results")
    work = PassJob(planned, "train", sweep.folder / "results" / "far" / ".work" / planned.id)
    work.folder.mkdir(parents=True)
    engine.start(work)
    assert engine.wait(0) == []
    return work


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        ("FAILED", "error", "its job ended as FAILED and left no result: out of ink"),
        ("TIMEOUT", "timeout", "its job ended as TIMEOUT and left no result: out of ink"),
        ("OUT_OF_MEMORY", "oom", "its job ended as OUT_OF_MEMORY and left no result: out of ink"),
        ("CANCELLED by 1000", "killed", "its job ended as CANCELLED and left no result: out of ink"),
        ("COMPLETED", "error", "its job ended as COMPLETED and left no result: out of ink"),
    ],
)
def test_a_job_that_leaves_nothing_has_the_status_that_slurm_gives_it(slurm, sweep_of, state, status, reason):
    sweep = sweep_of("bptt")
    engine = engine_for(sweep, "time: 10m")
    work = started(sweep, engine)
    (engine._folder / "submitit" / "1_0_log.err").write_text("a\nout of ink\n")
    (slurm / "states").write_text("JobID|State|NodeList\n1|RUNNING|n1\n")
    assert engine.wait(0.05) == []
    (slurm / "states").write_text(f"JobID|State|NodeList\n1|{state}|n1\n")
    assert engine.wait(5) == [work] and engine.at_work == []
    result = read_result(work.folder, "train")
    assert (result.status, result.failure.reason) == (status, reason)


def test_a_pass_that_loses_its_node_is_submitted_again_from_its_checkpoint_but_not_for_ever(slurm, sweep_of):
    sweep = sweep_of("bptt")
    engine = engine_for(sweep, "time: 10m")
    work = started(sweep, engine)
    (engine._folder / f"{work.planned.id}-train" / "checkpoint.pt").write_bytes(b"half way")
    lines = ["JobID|State|NodeList"]
    for job, state in enumerate(("NODE_FAIL", "PREEMPTED"), 1):
        lines.append(f"{job}|{state}|n1")
        (slurm / "states").write_text("\n".join(lines) + "\n")
        wait_for(lambda: engine.wait(0.05) == [] and len(list(slurm.glob("script-*"))) == job + 1)  # noqa: B023
        (folder,) = engine._folder.glob("*-train-*")
        assert (folder / "checkpoint.pt").read_bytes() == b"half way"
    assert len(sweep.said) == 2 and "lost its node (NODE_FAIL), submitted again" in sweep.said[0]
    lines.append("3|NODE_FAIL|n1")
    (slurm / "states").write_text("\n".join(lines) + "\n")
    wait_for(lambda: engine.wait(0.05))
    result = read_result(work.folder, "train")
    assert result.status == "killed"
    assert result.failure.reason == "3 jobs lost their node in it (NODE_FAIL, PREEMPTED, NODE_FAIL)"
    assert (work.folder / "checkpoint.pt").read_bytes() == b"half way"


def test_time_that_is_up_is_a_timeout_and_keeps_what_was_reached(slurm, sweep_of):
    sweep = sweep_of("bptt")
    engine = engine_for(sweep, "time: 10m")
    work = started(sweep, engine)
    (place,) = engine._folder.glob("*-train")
    (place / "checkpoint.pt").write_bytes(b"half way")
    write_whole(place / "over", '{"cut": "time"}')
    assert engine.wait(0) == [work]
    result = read_result(work.folder, "train")
    assert (result.status, result.failure.reason) == ("timeout", "not done in the 600 s that Slurm gives a job")
    assert (work.folder / "checkpoint.pt").exists()


def test_what_slurm_is_asked_for_is_what_the_file_says(slurm, sweep_of):
    sweep = sweep_of("bptt", "train, memory", replicates=3)
    settings = """
partition: long
account: us
time: 90m
cpus: 4
gpus: 1
memory: 3GiB
array_parallelism: 2
exclusive: true
setup: [module load python]
extra: {licenses: "fast:1"}
"""
    engine = engine_for(sweep, settings)
    assert engine.width(True) == engine.width(False) == 2
    for planned in sweep.planned("results"):
        folder = sweep.folder / "results" / "far" / ".work" / planned.id
        for name in planned.passes:
            engine.start(PassJob(planned, name, folder))
    assert engine.wait(0) == [] and len(engine.at_work) == 4
    measuring, training = (path.read_text() for path in sorted(slurm.glob("script-*")))
    for line in (
        "--partition=long",
        "--account=us",
        "--time=90",
        "--cpus-per-task=4",
        "--gpus-per-node=1",
        "--mem=3GB",
        "--licenses=fast:1",
        "--no-requeue",
        "--job-name=throughtime-far",
    ):
        assert f"#SBATCH {line}\n" in measuring and f"#SBATCH {line}\n" in training
    assert "#SBATCH --exclusive\n" in measuring and "--exclusive" not in training
    assert "#SBATCH --array=0-2%2\n" in training and "--array" not in measuring
    assert "\nmodule load python\n" in training
    engine.stop()
    assert sorted((slurm / "cancelled").read_text().split()) == ["1", "2_0", "2_1", "2_2"] and engine.at_work == []
    engine.close()
    assert not (sweep.folder / "results" / "far" / ".work" / ".slurm").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("time: 10m\npartitoin: x", r'slurm.yaml:2:1: unknown key "partitoin"\n  did you mean "partition"'),
        ("partition: x", r'slurm.yaml:1:1: "time" is missing'),
        ("time: 90s", 'slurm.yaml:1:7: "time" should be greater than or equal to 300'),
        ("time: soon", 'slurm.yaml:1:7: "time": "soon" is not a time'),
        ("time: 10m\ncpus: 0", 'slurm.yaml:2:7: "cpus" should be greater than 0'),
    ],
)
def test_a_wrong_file_is_told_with_its_place(sweep_of, settings, said):
    with pytest.raises(UsageError) as caught:
        engine_for(sweep_of("bptt"), settings)
    assert said.replace(r"\n", "\n") in str(caught.value)


def test_without_slurm_or_its_accounting_it_says_so(slurm, sweep_of, monkeypatch):
    sweep = sweep_of("bptt")
    (slurm / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    with pytest.raises(UsageError, match=r"sacct, .* does not work here: Slurm accounting storage is disabled"):
        engine_for(sweep, "time: 10m")
    (slurm / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2; exit 1\n")
    (slurm / "sacct").write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match="Slurm does not take a job: sbatch: error: invalid partition"):
        started(sweep, engine_for(sweep, "time: 10m"))
    (slurm / "srun").unlink()
    with pytest.raises(UsageError, match="there is no Slurm here: no srun"):
        engine_for(sweep, "time: 10m")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="there is no Slurm here"):
        engine_for(sweep, "time: 10m")


def test_a_tool_that_does_not_answer_is_named_after_its_time_limit(slurm, sweep_of, monkeypatch):
    sweep = sweep_of("bptt")
    monkeypatch.setattr(slurm_file, "TOOL_SECONDS", 0.3)
    engine, working = engine_for(sweep, "time: 10m"), {}
    for tool in COMMANDS:
        working[tool] = (slurm / tool).read_text()
        (slurm / tool).write_text("#!/bin/sh\nexec sleep 5\n")
    with pytest.raises(UsageError, match=r"--cluster slurm: sacct has not answered for 0\.3 s"):
        engine_for(sweep, "time: 10m")
    with pytest.raises(UsageError, match=r"sbatch has not answered for 0\.3 s"):
        started(sweep, engine)
    (slurm / "sbatch").write_text(working["sbatch"])
    assert engine.wait(0) == [] and len(engine.at_work) == 1, "the sweep continues"
    engine.stop()
    assert sweep.said == [
        "sacct has not answered for 0.3 s; the sweep continues",
        "job 1 may still run: scancel has not answered for 0.3 s",
    ]
