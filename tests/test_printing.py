"""Text from files, labels, plugins and schedulers controls no terminal, no comment and no spreadsheet."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from tests.synthetic_records import put, run_spec
from throughtime.commands.main import main
from throughtime.markdown import code_block, escaped
from throughtime.printing import print_text, printable
from throughtime.records.store import Store
from throughtime.reports.formats import csv_of
from throughtime.running.progress import TerminalProgress

BENCH = Path(__file__).parents[1] / "bench"
CLEAR, BELL, REVERSED = "\x1b[2J", "\a", "\u202egnp.exe"


@pytest.mark.parametrize(
    "text, shown",
    [
        (CLEAR, "\\x1b[2J"),
        (f"a{BELL}b\r", "a\\x07b\\r"),
        ("\x9b2J", "\\x9b2J"),
        (REVERSED, "\\u202egnp.exe"),
        ("τ\tμ\n", "τ\tμ\n"),
    ],
)
def test_unprintable_characters_are_shown_as_escape_sequences(text, shown, capsys):
    assert printable(text) == shown
    print_text("a", text, end="", sep="|")
    assert capsys.readouterr().out == f"a|{shown}"


def test_commands_print_by_no_other_function():
    sources = [*(BENCH / "commands").glob("*.py"), BENCH / "running" / "progress.py"]
    calls = [node for path in sources for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    assert [node.lineno for node in calls if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"] == []


@pytest.mark.parametrize("words", [["table"], ["table", "--format", "markdown"], ["table", "--format", "csv"]])
def test_a_label_of_a_record_does_not_reach_the_terminal_raw(words, tmp_path, capsys):
    spec = run_spec("bptt lif digits")
    label = f"a{CLEAR}{BELL}{REVERSED}"
    put(Store(tmp_path), spec.model_copy(update={"rule": spec.rule.model_copy(update={"label": label})}))
    assert main([*words, "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert not {"\x1b", BELL, "\u202e"} & set(printed)


def test_the_live_display_shows_no_control_characters():
    out = io.StringIO()
    TerminalProgress(Console(file=out, force_terminal=False)).show(f"a{CLEAR}{REVERSED}")
    assert out.getvalue() == "a\\x1b[2J\\u202egnp.exe\n"


def test_no_line_leaves_a_block_of_code():
    block = code_block(["throughtime run 'a\n```\n<b>@all'", "````"])
    first, *inside, last = block.splitlines()
    assert first == "`````sh" and last == "`````" and "```" in inside
    assert not [line for line in inside if line.startswith("`````")]


def test_a_mention_notifies_nobody():
    assert escaped("@all a@b") == "@&#8203;all a@&#8203;b"
    assert escaped(f"a{CLEAR}\n`b`") == "a\\\\x1b\\[2J \\`b\\`"


def test_a_text_in_csv_is_no_formula():
    data = pd.DataFrame({"rule": ["=1+1", "@sum", "-x", "+y", "-1.5", "lif"], "value": [-1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})
    lines = csv_of(data.rename(columns={"value": "=value"})).splitlines()
    assert lines == ["rule,'=value", "'=1+1,-1.0", "'@sum,2.0", "'-x,3.0", "'+y,4.0", "-1.5,5.0", "lif,6.0"]
