"""Passes on Dask's workers: the same numbers as here, whatever dies, and nothing left behind."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.children import child
from tests.sweeps import GATED_RULE, Sweep, alive, counting, made_here, meanwhile, wait_for
from throughtime.errors import UsageError
from throughtime.records.store import Store
from throughtime.running.engines.local import LocalEngine
from throughtime.running.limits import Limits

distributed = pytest.importorskip("distributed", reason="the extra [cluster] is not installed")

NO_LIMITS = Limits()


@contextmanager
def cluster_of(workers: int):
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def engines():
    """Engines of `local:2`, of which the last one is in use."""
    made = []
    yield made
    for engine in made:
        engine.close()


@pytest.fixture
def engine_of_this_machine(engines):
    """The engine of `local:2`: a scheduler in this process, and two worker processes.

    A new one takes its place if a worker is missing: a test before may have ended one, and in a new process on a busy
    machine one may lose its connection as it starts; Dask does not replace that.
    """
    from throughtime.running.engines.dask import DaskEngine

    for _ in range(4):
        if not engines:
            engines.append(DaskEngine("local:2", [], NO_LIMITS, print))
        with suppress(asyncio.TimeoutError):
            engines[-1]._client.wait_for_workers(2, timeout=10)
            return engines[-1]
        engines.pop().close()
    raise TimeoutError("two workers never were there at once")


@pytest.fixture
def cluster(engine_of_this_machine):
    """Its cluster, for engines that know the address, and the certificate by Dask's configuration."""
    import dask

    cluster = engine_of_this_machine._cluster
    names = {"ca-file": "ca_file", "client.cert": "client_cert", "client.key": "client_key"}
    texts = {f"distributed.comm.tls.{k}": getattr(cluster.security, f"tls_{name}") for k, name in names.items()}
    with dask.config.set(texts):
        yield cluster


@pytest.fixture(scope="module")
def local_runs(tmp_path_factory):
    """Records of the same sweep with `--jobs 1`."""
    return made_here(tmp_path_factory.getbasetemp())


@pytest.fixture
def sweep_of(tmp_path, isolated_registries):
    return functools.partial(Sweep, tmp_path)


def engine_for(address: str, sweep: Sweep, limits: Limits = NO_LIMITS):
    from throughtime.running.engines.dask import DaskEngine

    return DaskEngine(address, [str(sweep.plugin)], limits, sweep.said.append)


def test_an_interrupted_sweep_brings_its_checkpoints_home_and_goes_on_from_them(cluster, sweep_of, local_runs):
    sweep = sweep_of(GATED_RULE)
    sweep.gate.touch()
    engine = engine_for(cluster.scheduler_address, sweep)
    wait = engine.wait

    def interrupted(seconds):
        if sweep.begun() and list(sweep.folder.glob("results/far/.work/*/position.json")):  # it told where it is
            meanwhile(lambda: time.sleep(2) or sweep.gate.unlink())  # it is asked to stop while it waits there
            raise KeyboardInterrupt
        return wait(seconds)

    engine.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        sweep.run(engine)
    assert not alive(sweep.begun()[-1])
    (folder,) = (sweep.folder / "results" / "far" / ".work").iterdir()
    assert {"checkpoint.pt", "curve.jsonl", "log"} <= {path.name for path in folder.iterdir()}
    there = sweep.run(engine_for(cluster.scheduler_address, sweep))
    assert there[0].record.continued == 1
    assert counting(local_runs[:1], there) == []


def test_a_pass_that_takes_too_long_there_has_that_status(cluster, sweep_of):
    sweep = sweep_of("bptt")
    (stored,) = sweep.run(engine_for(cluster.scheduler_address, sweep, Limits(timeout=0.5)))
    assert stored.record.status == "timeout"
    assert stored.record.reason == "not done after the 0.5 s it was given"


def test_other_code_on_a_worker_ends_the_sweep_and_names_it(cluster, sweep_of):
    sweep = sweep_of("bptt")
    planned = [p._replace(code={**p.code, "rule": "000000000000"}) for p in sweep.planned("results")]
    said = f"the worker on {socket.gethostname()} has another state of the code"
    with pytest.raises(UsageError, match=said):
        sweep.run(engine_for(cluster.scheduler_address, sweep), planned=planned)


def test_without_workers_it_says_so_and_waits_and_without_a_scheduler_it_ends(sweep_of, monkeypatch):
    monkeypatch.setattr("throughtime.running.engines.dask.NO_WORKER_SECONDS", 0.2)
    monkeypatch.setattr("throughtime.running.engines.dask.WORKERS_SECONDS", 0.1)
    sweep = sweep_of("bptt")
    with cluster_of(0) as cluster:
        engine = engine_for(cluster.scheduler_address, sweep)
        assert engine.width(True) == engine.width(False) == 0
        wait_for(lambda: engine.wait(0.1) == [] and sweep.said)
        assert engine.wait(0.3) == []
        assert len(sweep.said) == 1 and f"the scheduler {cluster.scheduler_address} has no workers" in sweep.said[0]
        cluster.scale(1)
        wait_for(lambda: engine.width(False))
        assert (engine.width(True), engine.width(False)) == (1, 2)
    monkeypatch.setattr("throughtime.running.engines.dask.CONNECT_SECONDS", 0.2)
    with pytest.raises(UsageError, match="no Dask scheduler answers"):
        engine_for(cluster.scheduler_address, sweep)
    engine.close()


@pytest.mark.parametrize("cluster", ["slrum", "local:0", "local:x:1"])
def test_what_is_no_address_is_refused(cluster, sweep_of):
    with pytest.raises(UsageError, match=f'"{cluster}" is no cluster'):
        engine_for(cluster, sweep_of("bptt"))


FATAL = """
import os, signal
from throughtime import algorithm
from throughtime.algorithms.bptt import BPTT


@algorithm("fatal")
class Fatal(BPTT):
    def start(self, network, task, steps):
        os.kill(os.getppid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_pass_in_which_workers_die_again_and_again_is_given_up(sweep_of, tmp_path):
    import dask

    source = tmp_path / "source" / "fatal.py"
    source.parent.mkdir()
    source.write_text(FATAL)
    sweep = sweep_of("fatal", plugin=source)
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), cluster_of(2) as cluster:
        (stored,) = sweep.run(engine_for(cluster.scheduler_address, sweep))
    assert stored.record.status == "killed"
    assert stored.record.reason == "2 workers died in it, the last on 127.0.0.1"


@contextmanager
def ended(words: list[str]):
    """A process that ends with the block."""
    with child(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cluster", "local:2", "--jobs", "2"], "--jobs: has no effect on a cluster"),
        (["--cluster-config", "slurm.yaml"], "--cluster-config: only Slurm has a configuration"),
        (["--cluster", "slurm"], "--cluster slurm: needs a configuration with the time limit of a job"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, said, capsys):
    from throughtime.commands.main import main

    assert main(["run", "quick", "--scale", "tiny", *words]) == 2
    assert said in capsys.readouterr().err


def throughtime_run(sweep: Sweep, *more: object) -> list[str]:
    words = ["-m", "throughtime", "run", sweep.suite, "--scale", "tiny", "--results", sweep.folder / "results"]
    return [sys.executable, *map(str, [*words, "--plugin", sweep.plugin, *more])]


@pytest.mark.slow
def test_ctrl_c_ends_what_is_at_work_on_workers_of_this_machine(sweep_of):
    sweep = sweep_of(GATED_RULE, replicates=3)
    sweep.gate.touch()
    words = throughtime_run(sweep, "--cluster", "local:2")
    with child(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(lambda: len(sweep.begun()) == 2)
        meanwhile(lambda: time.sleep(2) or sweep.gate.unlink())
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        printed = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted: finished runs are recorded" in printed and "Traceback" not in printed
    assert not any(map(alive, sweep.begun()))
    kept = list((sweep.folder / "results" / "far" / ".work").glob("*/checkpoint.pt"))
    assert len(kept) == 2
    ended = subprocess.run(throughtime_run(sweep, "--cluster", "local:1"), timeout=120)
    assert ended.returncode == 0
    continued = [stored.record.continued for stored in Store(sweep.folder / "results").records()]
    assert sorted(continued) == [0, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["scheduler", "runner"])
def test_when_the_scheduler_or_the_runner_is_killed_no_pass_goes_on_and_nothing_is_lost(sweep_of, local_runs, killed):
    sweep = sweep_of(GATED_RULE, replicates=2)
    sweep.gate.touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    store = Store(sweep.folder / "results")
    with (
        ended([sys.executable, "-m", "dask", "scheduler", "--host", address, "--no-dashboard"]) as scheduler,
        ended([sys.executable, "-m", "dask", "worker", address, "--nthreads", "1", "--no-dashboard"]),
        ended(throughtime_run(sweep, "--cluster", address)) as runner,
    ):
        wait_for(sweep.begun)
        sweep.gate.unlink()
        wait_for(store.records)
        sweep.gate.touch()  # while the child of the second run still imports torch
        wait_for(lambda: len(sweep.begun()) == 2)
        {"scheduler": scheduler, "runner": runner}[killed].kill()
        if killed == "scheduler":
            printed = runner.communicate(timeout=60)[1]
            assert runner.returncode == 2
            assert "the Dask scheduler is gone" in printed and "Traceback" not in printed
        wait_for(lambda: not alive(sweep.begun()[1]))
    sweep.gate.unlink()
    assert counting(local_runs[:1], store.records()) == []
    assert counting(local_runs, sweep.run(LocalEngine([str(sweep.plugin)], NO_LIMITS, 1, sweep.said.append))) == []
    assert len(sweep.begun()) == 3, "the finished run was not repeated"


def answer(address: str, context: ssl.SSLContext | None) -> bytes:
    """Return the first byte of the answer to a connection with TLS or without; nothing if it is refused."""
    host, port = address.rpartition("://")[2].split(":")
    try:
        plain = socket.create_connection((host, int(port)), timeout=10)
        with plain, context.wrap_socket(plain) if context else plain as stream:
            stream.sendall(bytes(64))
            return stream.recv(1)
    except (ssl.SSLError, ConnectionError):
        return b""


def test_workers_of_this_machine_refuse_whoever_lacks_their_certificate(engine_of_this_machine, sweep_of, monkeypatch):
    engine = engine_of_this_machine
    monkeypatch.setattr(engine, "close", lambda: None)  # at the end of the sweep: other tests use its workers
    workers = engine._client.nthreads()
    assert len(workers) == 2
    without = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    without.check_hostname, without.verify_mode = False, ssl.CERT_NONE
    forged = distributed.Security.temporary().get_connection_args("client")["ssl_context"]
    own = engine._cluster.security.get_connection_args("client")["ssl_context"]
    for address in (engine._address, *workers):
        assert address.startswith("tls://127.0.0.1:")
        assert [answer(address, context) for context in (None, without, forged)] == [b"", b"", b""]
        assert answer(address, own) != b""
    (record,) = sweep_of("bptt").run(engine)
    assert record.record.status == "ok"


def test_another_version_on_a_worker_ends_the_sweep_and_loses_nothing(cluster, sweep_of, monkeypatch):
    from throughtime.running.engines import remote

    sweep = sweep_of(GATED_RULE)
    monkeypatch.setattr(remote, "__version__", "9.9")
    with pytest.raises(
        UsageError, match=rf"the worker on {socket.gethostname()} has throughtime .*, the sweep is of 9\.9"
    ):
        sweep.run(engine_for(cluster.scheduler_address, sweep))
    monkeypatch.undo()
    (record,) = sweep.run(engine_for(cluster.scheduler_address, sweep))
    assert record.record.status == "ok"


def test_a_worker_that_is_killed_in_a_pass_has_it_done_elsewhere_with_the_numbers_of_here(
    cluster, sweep_of, local_runs
):
    """The last test, since another process takes the place of the worker, which has to import what passes need."""
    sweep = sweep_of(GATED_RULE)
    planned = sweep.planned("results")
    engine = engine_for(cluster.scheduler_address, sweep)
    sweep.plugin.unlink()  # only this process has it
    sweep.gate.touch()

    def kill_a_worker():
        wait_for(sweep.begun)
        child = psutil.Process(sweep.begun()[0])
        child.parent().kill()
        wait_for(lambda: not alive(child.pid))  # nothing goes on whose result nobody would fetch
        sweep.gate.unlink()

    killing = meanwhile(kill_a_worker)
    there = sweep.run(engine, planned=planned)
    killing.join(1)
    assert [s.record.status for s in there] == ["ok"]
    assert counting(local_runs[:1], there) == []
    assert len(sweep.begun()) == 2, "one training, twice"
