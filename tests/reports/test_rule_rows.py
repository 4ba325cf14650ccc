"""The lines at the end of the rules' pages are those of the committed records."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from throughtime.reports.relative import Relative
from throughtime.reports.rule_rows import TITLE, committed_comparison, comparison_table, section, task_table

PAGES = Path(__file__).parents[2] / "docs/rules"


@pytest.fixture(scope="module")
def compared():
    return committed_comparison()


def test_each_page_ends_with_its_lines(compared):
    pages = {path.stem: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md") if path.stem != "README"}
    wrong = [name for name, text in pages.items() if not text.endswith(f"\n\n{section(compared, name)}")]
    assert not wrong, "make figures renews them"
    assert all(text.count(TITLE) == 1 for text in pages.values())


def test_the_tables_of_all_rules_are_in_the_comparison(compared):
    text = (PAGES.parent / "rules-by-task.md").read_text(encoding="utf-8")
    assert comparison_table(compared.rules) in text
    assert task_table(compared.cells) in text


def test_a_task_by_hand():
    rows = [("bptt", "digits", 0.0, "reference"), ("eprop", "digits", -0.126, "worse")]
    rows += [("bptt", "delayed_xor", 0.0, "reference"), ("eprop", "delayed_xor", 0.004, "not distinguished")]
    rows += [("ottt", "digits", -0.02, "not distinguished")]
    cells = pd.DataFrame(rows, columns=["rule", "dataset", "difference", "verdict"]).assign(neuron="lif")
    assert task_table(cells).splitlines() == [
        "| rule | digits, lif | delayed xor, lif |",
        "| --- | ---: | ---: |",
        "| `eprop` | **−13** | 0 |",
        "| `ottt` | −2 | not run |",
    ]


def test_a_row_by_hand():
    row = {"advantage": -0.042, "advantage_low": -0.066, "advantage_high": 0.0, "bytes_over_bptt": 1.988}
    rules = pd.DataFrame([{"rule": "eprop-random", **row, "time_over_bptt": 20.4}])
    line = "| `eprop-random` | −4.2 (−6.6 to 0.0) | 2.0 | 20 |"
    assert comparison_table(rules).splitlines()[-1] == line
    cells = pd.DataFrame([{"dataset": "digits", "neuron": "lif", "n": 5}])
    text = section(Relative(cells, rules), "eprop")
    assert text.startswith(TITLE) and "1 tasks, n = 5" in text
    comparison = "−4.2 (−6.6 to 0.0) points of accuracy, exact bytes × 2.0, time × 20"
    assert f"- `eprop-random`: {comparison}\n" in text
    assert "Not run on all tasks" in section(Relative(cells, rules), "rtrl")
