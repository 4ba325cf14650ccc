"""The court has a row a paper, fits 80 columns, and counts each verdict once."""

from __future__ import annotations

import subprocess
import sys

from throughtime.reports.papers.court import COLUMNS, counts, court_markdown, court_text
from throughtime.reports.papers.verdicts import VerdictRow

NAMES = ("influence_balancing", "fptt")


def row(verdict: str, primary: bool = False, n: int | None = 3) -> VerdictRow:
    text = "FPTT with LTC is at most 3 points less accurate than BPTT with LTC on sequential images of 784 steps"
    return VerdictRow(text, "claim", "", "", n, "", "laptop", verdict, "", "")._replace(primary=primary)


JUDGED = {
    name: [*(row(word) for word in COLUMNS for _ in range(120)), row("unclear", primary=True)._replace(lean="for")]
    for name in NAMES
}


def test_every_verdict_is_counted_once():
    for result in counts(JUDGED):
        assert sum(result[word] for word in COLUMNS) == len(JUDGED[result["paper"]])
        assert result["unclear"] == 121 and result["supported"] == 120


def test_the_court_fits_80_columns():
    lines = court_text(JUDGED).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[3].split() == ["influence_balancing", *["120"] * 6, "121", "120"]
    assert sum(line.startswith("- ") for line in lines) == 2


def test_markdown_has_the_same_numbers():
    assert "| fptt | 120 | 120 | 120 | 120 | 120 | 120 | 121 | 120 |" in court_markdown(JUDGED)
    assert "unclear, leans for (n = 3)" in court_markdown(JUDGED)


def test_judging_committed_records_imports_neither_torch_nor_scikit_learn():
    """Each takes a second to import; stored values stand for what needs them."""
    code = (
        "import sys\n"
        "from throughtime.paper_folders import paper_folders\n"
        "from throughtime.records.committed import CommittedStore\n"
        "from throughtime.records.results import Results\n"
        "from throughtime.reports.papers.paper import judge, load_paper\n"
        "for paper in map(load_paper, paper_folders()):\n"
        "    judge(paper, Results(CommittedStore(), paper.evidence))\n"
        "print({'torch', 'sklearn'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
