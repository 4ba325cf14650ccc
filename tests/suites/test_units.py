"""Limits: their notation, and the units of memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.children import child
from throughtime.commands.main import app, main
from throughtime.errors import UsageError
from throughtime.running import limits
from throughtime.suites import units
from throughtime.suites.suite import load_suite

SUITE = """suite: limited
summary: Limits in a suite.
rules: [bptt]
neurons: [lif]
datasets: [{{name: digits, steps: 8}}]
{limits}
scales: {{tiny: {{}}, laptop: {{timeout: 2h}}, paper: {{timeout: null, memory_limit: null}}}}
"""


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2.5h", 9000), ("3d", 259_200), (" 1 H ", 3600)]
)
def test_times(text, seconds):
    assert units.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000B", 1000), ("2GiB", 2**31), ("1.5 gb", 1_500_000_000), ("3 MiB", 3 * 2**20), ("1TB", 10**12)],
)
def test_sizes(text, size):
    assert units.size(text) == size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (312, "312 B"),
        (1023, "1023 B"),
        (4404019, "4.2 MiB"),
        (1000 * 2**20, "1000 MiB"),
        (2**30 - 1, "1024 MiB"),
        (12 * 2**40, "12 TiB"),
    ],
)
def test_bytes_are_written_without_an_exponent(count, text):
    assert units.bytes_as_text(count) == text


@pytest.mark.parametrize("text", ["", "soon", "0", "-3s", "3 weeks", "1e3", "2GiBs"])
def test_neither(text):
    with pytest.raises(ValueError, match="is not a time; for example"):
        units.seconds(text)
    with pytest.raises(ValueError, match="is not a size; for example"):
        units.size(text)


@pytest.mark.parametrize("digits", ["9" * 12, "9" * 400])
def test_what_the_operating_system_cannot_count_is_refused(digits):
    with pytest.raises(ValueError, match="is more than 10 years"):
        units.seconds(digits)
    with pytest.raises(ValueError, match="is 8 EiB or more"):
        units.size(f"{digits}TiB")


@pytest.mark.parametrize("text", ["4", "4.5", "800000000", "0.1B"])
def test_a_size_needs_a_unit(tmp_path, text):
    with pytest.raises(ValueError, match="is not a size; for example 2GiB"):
        units.size(text)
    path = tmp_path / "limited.yaml"
    path.write_text(SUITE.format(limits=f"memory_limit: {text}"))
    with pytest.raises(UsageError, match=rf'"{text}" is not a size; for example 2GiB'):
        load_suite(path)
    result = CliRunner().invoke(app, ["run", "quick", "--memory-limit", text])
    assert result.exit_code == 2 and "is not a size" in result.output


def test_a_memory_limit_below_what_a_child_needs_is_refused_before_anything_runs(tmp_path, capfd):
    words = ["run", "quick", "--scale", "tiny", "--results", str(tmp_path), "--memory-limit", "4MiB"]
    assert main(words) == 2
    told = capfd.readouterr().err
    assert told.startswith("error: memory limit: 4 MiB are too few: a pass holds ") and told.count("\n") == 2
    assert not list(tmp_path.rglob("record.json"))


def test_a_wrong_limit_on_the_command_line_ends_with_2():
    result = CliRunner().invoke(app, ["run", "quick", "--timeout", "soon"])
    assert result.exit_code == 2 and "--timeout" in result.output


def test_a_suite_has_limits_at_each_scale(tmp_path):
    path = tmp_path / "limited.yaml"
    path.write_text(SUITE.format(limits="timeout: 15m\nmemory_limit: 2GiB"))
    settings = load_suite(path).settings
    assert {scale: (s.timeout, s.memory_limit) for scale, s in settings.items()} == {
        "tiny": (900, 2**31),
        "laptop": (7200, 2**31),
        "paper": (None, None),
    }
    path.write_text(SUITE.format(limits="memory_limit: lots"))
    with pytest.raises(UsageError, match='"lots" is not a size') as caught:
        load_suite(path)
    assert caught.value.where == f"{path}:6:15"


def test_limits_are_no_part_of_a_runs_id(tmp_path):
    path = tmp_path / "limited.yaml"
    ids = set()
    for text in ("", "timeout: 5m"):
        path.write_text(SUITE.format(limits=text))
        ids |= {spec.id({}) for spec in load_suite(path).expand("tiny")}
    assert len(ids) == 1


def test_memory_is_that_of_the_process_and_of_all_it_started():
    alone = limits.resident_bytes(os.getpid())
    hold = "held = b'x' * 64 * 2**20; print(flush=True); input()"
    with child([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert limits.resident_bytes(process.pid) > 64 * 2**20
        assert limits.resident_bytes(os.getpid()) - alone > 60 * 2**20
        process.communicate(b"\n")
    assert limits.resident_bytes(process.pid) == 0
