"""The same comparison as text, Markdown, JSON and HTML."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.comparing.test_cells import record
from tests.synthetic_records import HOSTILE, measure, run_spec
from throughtime.comparing.compare import Comparison, compare_sides
from throughtime.comparing.formats import FORMS, as_json, html
from throughtime.comparing.gates import Gates
from throughtime.comparing.markdown import MOST_CHARACTERS, TAG, markdown
from throughtime.comparing.sides import Side

GATES = """gates:
  - {metric: peak_live_bytes, compare: exact, better: lower, fail: true, why: counted}
  - {metric: loss, compare: tolerance, better: neither, warn: 1 %, why: same seeds}
"""


def compared(folder, rules: list[str], hostile: str = "") -> Comparison:
    """The first rule fails, the second is gone, the third has more bytes and another loss; others are as they were."""
    path = folder / "gates.yaml"
    path.write_text(GATES)
    base, new = [], []
    for i, rule in enumerate(rules):
        spec = run_spec((rule, "lif", "digits"))
        measures = {
            "peak_live_bytes": measure(1000.0, "byte"),
            "loss": measure(0.5, "1"),
            "firing_rate": measure(0.1, "1"),
        }
        made_by = {"code": {"rule": "aaa", "commit": "abc", "changed": True}, "versions": {"torch": "2.4"}}
        base.append(record(spec, measures=measures, **made_by))
        if i == 0:
            new.append(record(spec, "error", f"ValueError: {hostile}", measures={}, **made_by))
        elif i % 3 == 2:
            more = {**measures, "peak_live_bytes": measure(2000.0, "byte"), "loss": measure(0.6, "1")}
            new.append(record(spec, measures=more, **{**made_by, "versions": {"torch": "2.5"}}))
        elif i != 1:
            new.append(record(spec, measures=measures, **made_by))
    return compare_sides(
        Side("before.jsonl", base, []), Side(str(folder), new, ["x/record.json: cut short"]), Gates.load(path)
    )


@pytest.fixture
def comparison(tmp_path):
    return compared(tmp_path, ["bptt", "tbptt", "fptt", "eprop"], HOSTILE)


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_all_that_a_reader_needs_is_there(comparison, form):
    text = FORMS[form](comparison).replace("\\", "")
    for part in (
        *("regressed (exit code 1)", "1 newly failing", "1 lost", "2 worse", "4 same"),
        *("bptt lif digits", "1,000", "2,000", "+1,000", "0.5", "0.6", "not exactly equal", "worse (warning)"),
        *("counted", "same seeds", "torch 2.4 → 2.5", "No gate: firing_rate", "abc with changes", "cut short"),
        f"throughtime run quick --scale laptop --results {comparison.new.name} --only 'bptt lif digits'",
    ):
        assert part.replace("'", "&#39;" if form == "html" else "'") in text, part


def test_markdown_escapes_what_records_say(comparison):
    (line,) = [line for line in markdown(comparison).splitlines() if "newly failing | " in line]
    assert "\\<script\\>" in line and "<" not in line.replace("\\<", "")
    assert line.replace("\\|", "").count("|") == 9, "eight columns"


def test_html_is_well_formed_and_escaped(comparison):
    class Parser(HTMLParser):
        void = ("meta", "br")

        def __init__(self):
            super().__init__()
            self.open, self.seen = [], []

        def handle_starttag(self, tag, attrs):
            self.seen.append(tag)
            if tag not in self.void:
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Parser()
    parser.feed(html(comparison))
    assert not parser.open and "script" not in parser.seen and parser.seen.count("tr") == 1 + 4


def test_a_command_names_the_file_of_the_suite_and_the_plugins(comparison):
    made_by = "throughtime run my.yaml --results there --plugin mine.py --only 'eprop lif digits #0' --rerun all"
    new = [r.model_copy(update={"command": made_by}) for r in comparison.new.records]
    (command,) = replace(comparison, new=comparison.new._replace(records=new)).rerun()
    here = comparison.new.name  # the results may have been copied from the folder of the record
    begins = f"throughtime run my.yaml --results {here} --plugin mine.py --only 'bptt lif digits' --only"
    assert command.startswith(begins)
    assert replace(comparison, new=comparison.new._replace(name="the code of now")).rerun() == []


@pytest.mark.parametrize(
    "made_by, begins",
    [
        ("throughtime run 'my.yaml", "throughtime run mine --scale laptop"),
        ("rm -r ~ --only 'eprop lif digits #0' --rerun all", "throughtime run mine --scale laptop"),
        (
            "throughtime run 'a --only b/my.yaml' --scale tiny --only 'eprop lif digits #0' --rerun all",
            "throughtime run 'a --only b/my.yaml' --scale tiny --only",
        ),
    ],
)
def test_a_command_of_any_record_is_read_or_replaced(comparison, made_by, begins):
    new = [r.model_copy(update={"command": made_by}) for r in comparison.new.records]
    commands = replace(comparison, new=comparison.new._replace(records=new)).rerun()
    assert [command.startswith(begins.replace("mine", new[0].spec.suite)) for command in commands] == [True]


def test_json_has_every_row(comparison):
    result = json.loads(as_json(comparison))
    assert result["exit_code"] == 1 and result["counts"] == comparison.counts
    assert len(result["rows"]) == len(comparison.rows) and {"verdict", "base", "low", "why"} <= set(result["rows"][0])
    assert result["rerun"] == comparison.rerun() and result["ungated"] == ["firing_rate"]


@pytest.mark.parametrize(
    "rules, most", [(60, MOST_CHARACTERS), (600, MOST_CHARACTERS), (2000, MOST_CHARACTERS), (600, 2000)]
)
def test_markdown_is_cut_and_verdicts_are_not(tmp_path, rules, most):
    comparison = compared(tmp_path, [f"rule{i}" for i in range(rules)])
    text = markdown(comparison, most)
    assert len(text) <= most
    assert text.startswith(TAG + "\n\n### throughtime: regressed (exit code 1): 1 newly failing, 1 lost,")
    worse = [row for row in comparison.rows if row.verdict == "worse"]
    if most == MOST_CHARACTERS:
        assert all(f"rule{i} " in text for i in range(2, rules, 3)), "each regression is named"
    else:
        assert f"**worse**, peak\\_live\\_bytes: {len(worse) // 2} cells" in text
    assert ("Shortened" in text) == (rules > 60)


def test_a_comparison_without_changes_is_short(tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text(GATES)
    spec = run_spec("bptt lif digits")
    side = Side(
        "runs", [record(spec, measures={"peak_live_bytes": measure(1.0, "byte"), "loss": measure(1.0, "1")})], []
    )
    text = markdown(compare_sides(side, side, Gates.load(path)))
    assert "### throughtime: passed (exit code 0): 3 same" in text and "####" not in text
