"""The verdicts on papers at the top of the page."""

from __future__ import annotations

from typing import NamedTuple

from throughtime.paper_folders import paper_folders
from throughtime.records.results import Results
from throughtime.reports.papers.paper import judge, load_paper
from throughtime.reports.papers.verdicts import VerdictRow


class Judged(NamedTuple):
    """A paper and the verdicts on what its runs decide."""

    title: str
    link: str
    rows: list[VerdictRow]


def judged_papers(results: Results) -> list[Judged]:
    """Return the verdicts on the papers of which a suite is in the results. Targets that no run decides are left out:
    `throughtime verdicts` computes them."""
    judged = []
    for name, folder in paper_folders().items():
        if folder.suites().keys() & set(results.frame["suite"]):
            paper = load_paper(name)
            targets = [target for target in paper.file.targets if target.exact is None]
            trained = paper._replace(file=paper.file.model_copy(update={"targets": targets}))
            judged.append(Judged(paper.file.title, paper.link, judge(trained, results)))
    return judged
