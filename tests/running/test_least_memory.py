"""The least memory of a run: by hand, in the plan, and compared with limits before anything is allocated."""

from __future__ import annotations

import time

import pytest
from torch import Tensor

import throughtime as tt
from throughtime.commands.main import main
from throughtime.errors import UsageError
from throughtime.records.store import Store
from throughtime.running import least_memory
from throughtime.running.plan import plan
from throughtime.suites.suite import load_suite

SUITE = """
suite: sizes
rules: [bptt]
neurons: [lif]
networks: [{{name: recurrent, hidden: [{hidden}]}}]
datasets: [{{name: adding, steps: {steps}, sequences: 64, held_out: 64}}]
passes: [train]
training: {{epochs: 1, batch: {batch}, optimiser: {optimiser}}}
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(hidden: int = 10, steps: int = 12, batch: int = 64, optimiser: str = "sgd") -> str:
        (tmp_path / "s.yaml").write_text(SUITE.format(hidden=hidden, steps=steps, batch=batch, optimiser=optimiser))
        return str(tmp_path / "s.yaml")

    return write


@pytest.mark.parametrize("optimiser, values", [("sgd", 2), ("adam", 4)])
def test_it_is_that_of_weights_gradients_moments_and_a_batch(suite, tmp_path, optimiser, values):
    (planned,) = plan(load_suite(suite(optimiser=optimiser)).expand("tiny"), Store(tmp_path))
    weights = sum(p.numel() for p in _network(planned.spec).parameters())
    assert planned.least_bytes == 4 * (values * weights + 12 * 64 * 2)


def _network(spec):
    from throughtime.harness.build import build

    return build(spec).network


def test_the_plan_says_it_in_a_line_and_a_limit_refuses_it(suite, capsys):
    assert main(["plan", suite(steps=2000, batch=1000)]) == 0
    line = capsys.readouterr().out.splitlines()[-2]
    assert line.startswith(
        "memory of the largest run: at least 15.3 MiB for weights, gradients, optimiser and a batch ("
    )
    assert main(["plan", suite(steps=2000, batch=1000), "--memory-limit", "15MiB"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "error: memory limit: bptt lif adding #0 needs at least 15.3 MiB of memory, more than 15 MiB"
    )
    assert said.count("\n") == 2


def test_a_network_beyond_the_limit_is_planned_without_its_memory(suite, monkeypatch, capsys):
    """The weights would take 1.5 GiB, and seconds to draw."""
    monkeypatch.setattr(
        Tensor, "uniform_", lambda self, *_, **__: pytest.fail("drawn") if self.device.type == "cpu" else self
    )
    assert main(["plan", suite(hidden=20_000), "--memory-limit", "1GiB"]) == 2
    assert "bptt lif adding #0 needs at least 2.98 GiB of memory, more than 1 GiB" in capsys.readouterr().err


@pytest.mark.parametrize(
    "sizes, said",
    [
        ({"hidden": 10**7}, "cannot be built: its weights need 364 TiB of memory, but this machine has "),
        ({"hidden": 10**12}, "cannot be built: its weights need more bytes than 64 bits can count"),
        (
            {"steps": 10**9, "batch": 10**5},
            "memory of this machine: bptt lif adding #0 needs at least 728 TiB of memory",
        ),
    ],
)
def test_what_no_machine_holds_is_refused_before_it_is_built(suite, capsys, sizes, said):
    path, start = suite(**sizes), time.monotonic()
    assert main(["run", path, "--jobs", "1"]) == 2
    assert said in capsys.readouterr().err and time.monotonic() - start < 30, "nothing of that size was touched"


def test_python_refuses_it_as_the_command_does(suite, tmp_path, capsys):
    with pytest.raises(UsageError, match="memory of this machine: bptt lif adding #0 needs at least 728 TiB"):
        tt.run(suite(steps=10**9, batch=10**5), "tiny", tmp_path / "runs", quiet=True)


def test_a_run_that_is_skipped_refuses_nothing(suite, tmp_path):
    planned = plan(load_suite(suite(steps=10**9, batch=10**5)).expand("tiny"), Store(tmp_path))
    assert least_memory.largest(planned) == planned[0]
    assert least_memory.largest([planned[0]._replace(unsupported="no reason")]) is None


@pytest.mark.parametrize("own, limited", [("/", ""), ("/user.slice/run-1.scope", "user.slice/run-1.scope")])
def test_the_limit_of_a_control_group_counts(own, limited, tmp_path, monkeypatch):
    monkeypatch.setattr(least_memory, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(least_memory, "OWN_GROUP", tmp_path / "own")
    (tmp_path / "own").write_text(f"1:cpu:/elsewhere\n0::{own}\n")
    whole = least_memory.machine_bytes()
    (tmp_path / "groups" / limited).mkdir(parents=True)
    for text, limit in (("max\n", whole), ("1048576\n", 2**20), ("999999999999999\n", whole)):
        (tmp_path / "groups" / limited / "memory.max").write_text(text)
        assert least_memory.machine_bytes() == limit
    (tmp_path / "groups" / "memory.max").write_text("4096\n")
    assert least_memory.machine_bytes() == 4096, "that of a group around it, too"
