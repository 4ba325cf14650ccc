"""Values that take long are stored with their commit, read by verdicts, and compared when they are computed again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from throughtime.errors import UsageError
from throughtime.reports.papers import stored as module
from throughtime.reports.papers.stored import FILE, computing, read_commits, reading, store, stored


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A function `area(width, height=2)` whose file of stored values lies in a folder of the test; yields its calls."""
    made = []
    monkeypatch.setattr(module.inspect, "getfile", lambda function: str(tmp_path / "exact.py"))
    monkeypatch.setattr(module, "git_state", lambda: {"commit": "0123456789", "changed": False})

    @stored
    def area(width: float, height: float = 2.0) -> tuple[float, float]:
        made.append((width, height))
        return width * height, 0.0

    made.append(area)
    return made


def test_a_stored_value_is_read_and_not_computed(calls, tmp_path):
    area = calls.pop()
    with computing() as comparisons:
        assert area(3.0) == (6.0, 0.0)
    store(comparisons)
    assert json.loads((tmp_path / FILE).read_text()) == {"area(3.0, 2.0)": {"value": [6.0, 0.0], "commit": "0123456"}}
    with reading():
        assert area(3.0, height=2.0) == (6.0, 0.0)
        assert calls == [(3.0, 2.0)] and (read_commits(), read_commits()) == (["0123456"], [])
        assert area(4.0) == (8.0, 0.0), "not stored, so computed"
    assert area(3.0) == (6.0, 0.0)
    assert calls == [(3.0, 2.0), (4.0, 2.0), (3.0, 2.0)], "outside of `reading` values are computed"


def test_a_value_that_differs_is_named_with_both_numbers(calls, tmp_path):
    area = calls.pop()
    (tmp_path / FILE).write_text('{"area(3.0, 2.0)": {"value": [6.01, 0.0], "commit": "abcdefg"}}')
    with computing() as comparisons:
        area(3.0)
    assert comparisons[0].differs
    assert str(comparisons[0]) == "area(3.0, 2.0): (6.0, 0.0), stored (6.01, 0.0) at abcdefg"
    (tmp_path / FILE).write_text('{"area(3.0, 2.0)": {"value": [6.0000001, 0.0], "commit": "abcdefg"}}')
    with computing() as comparisons:
        area(3.0)
    assert not comparisons[0].differs, "by rounding"
    store(comparisons)
    assert "abcdefg" in (tmp_path / FILE).read_text(), "an equal value keeps its commit"
    (tmp_path / FILE).write_text('{"area(3.0, 2.0)": {"value": 6.0, "commit": "abcdefg"}}')
    with computing() as comparisons:
        area(3.0)
    assert comparisons[0].differs, "another number of values"


def test_values_are_not_stored_with_a_commit_that_did_not_give_them(calls, monkeypatch):
    area = calls.pop()
    with computing() as comparisons:
        area(3.0)
    monkeypatch.setattr(module, "git_state", lambda: {"commit": "0123456789", "changed": True})
    with pytest.raises(UsageError, match="commit all changes first"):
        store(comparisons)


def test_papers_whose_values_are_stored_are_judged_without_torch(tmp_path):
    """Two seconds. Judging `marschall` or `influence_balancing`, which compute their numbers, imports it."""
    script = """
import sys
from throughtime.records.results import Results
from throughtime.reports.papers.paper import judge, load_paper

for name in ("ecg", "eprop", "fptt", "ostl", "rflo"):
    print(name, len(judge(load_paper(name), Results(sys.argv[1]))), "torch" in sys.modules)
"""
    shown = subprocess.run([sys.executable, "-c", script, str(tmp_path / "none")], capture_output=True, text=True)
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert [line[2] for line in lines] == ["False"] * 5, f"{shown.stdout}{shown.stderr[-2000:]}"
    assert all(int(line[1]) > 0 for line in lines)
