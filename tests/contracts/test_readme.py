"""The README: its verdicts are those of the committed records, and it is short; the docs have the table of `quick`."""

from __future__ import annotations

import re
from pathlib import Path

from throughtime.paper_folders import paper_folders
from throughtime.records.baselines import BASELINES, baseline_path, unpack
from throughtime.records.committed import CommittedStore
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.reports.papers.court import court_markdown
from throughtime.reports.papers.paper import judge, load_paper
from throughtime.reports.tables import render

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def rows(markdown: str) -> list[str]:
    """The rows of the results of a table in Markdown, without emphasis and marks of footnotes."""
    # Only a journal, which a baseline lacks, says that the suite excludes a cell.
    plain = markdown.replace("**", "").replace(" <sup>a</sup>", "").replace("| not run |", "| — |")
    return [line for line in plain.splitlines() if line.startswith(("| adding |", "| digits |"))]


def test_the_table_is_that_of_the_baseline(tmp_path):
    unpack(baseline_path("quick", "laptop", ROOT / BASELINES), Store(tmp_path))
    table = rows(render(Results.load(tmp_path, ["quick"]), form="markdown"))
    assert len(table) == 6
    assert rows((ROOT / "docs" / "get-started.md").read_text("utf-8")) == table


def test_the_verdicts_are_those_of_the_committed_records():
    """`throughtime verdicts --format markdown` prints the table, without links."""
    papers = map(load_paper, paper_folders())
    judged = {paper.name: judge(paper, Results(CommittedStore(), paper.evidence)) for paper in papers}
    table = court_markdown(judged).partition("\n\n")[0]
    assert table in re.sub(r"\[(\w+)\]\(docs/papers/\1\.md\)", r"\1", README)


def test_it_begins_with_the_two_commands_and_has_at_most_110_lines():
    lines = README.splitlines()
    assert lines[2].split()[:1] + lines[3].split()[:2] == ["make", "make", "test"]
    assert len(lines) <= 110


def test_links_to_files_exist():
    links = re.findall(r"\]\((?!https?:|\.\./)([^)#]+)", README)
    assert len(links) > 20 and [link for link in links if not (ROOT / link).exists()] == []
