"""The court: the verdicts of all papers on one screen, a row a paper, and their primary claims."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from throughtime.markdown import escaped, table
from throughtime.reports.papers.claims import Word
from throughtime.reports.papers.verdicts import Match, VerdictRow

COLUMNS: dict[Word | Match, tuple[str, str, str]] = {
    "reproduced": ("re-", "pro-", "duced"),
    "within interval": ("within", "inter-", "val"),
    "both at the trivial level": ("triv-", "ial", "level"),
    "not reproduced": ("not re-", "pro-", "duced"),
    "supported": ("", "sup-", "ported"),
    "not supported": ("not", "sup-", "ported"),
    "unclear": ("", "", "unclear"),
    "not run here": ("not", "run", "here"),
}
"""Words of verdicts in the order of the columns, each with the three lines of its heading on the terminal."""
WIDTH = 80


def counts(judged: Mapping[str, Sequence[VerdictRow]]) -> list[dict[str, str | int]]:
    """Return a row for each paper with the number of its verdicts of each word."""
    rows: list[dict[str, str | int]] = []
    for paper, verdicts in judged.items():
        numbers = Counter(row.verdict for row in verdicts)
        rows.append({"paper": paper, **{str(word): numbers[word] for word in COLUMNS}})
    return rows


def primary_claims(judged: Mapping[str, Sequence[VerdictRow]]) -> list[tuple[str, VerdictRow]]:
    """Return the primary claims of all papers, each with its paper."""
    return [(paper, row) for paper, verdicts in judged.items() for row in verdicts if row.primary]


def verdict_with_lean(row: VerdictRow) -> str:
    """Return the word of a verdict, with the lean of an undecided claim and the number of replicates."""
    lean = f", leans {row.lean}" if row.lean else ""
    return f"{row.verdict}{lean}" + (f" (n = {row.n})" if row.n else "")


def court_text(judged: Mapping[str, Sequence[VerdictRow]]) -> str:
    """Return the court for a terminal of 80 columns; a dot stands for 0."""
    longest = max([len("paper"), *map(len, judged)])
    widths = [max(map(len, heading)) for heading in COLUMNS.values()]
    lines = [
        _line("paper" if line == 2 else "", longest, [heading[line] for heading in COLUMNS.values()], widths)
        for line in range(3)
    ]
    for row in counts(judged):
        numbers = [str(row[word] or "·") for word in COLUMNS]
        lines.append(_line(str(row["paper"]), longest, numbers, widths))
    lines += ["", "Primary claims"]
    for paper, claim in primary_claims(judged):
        text = f"{paper}: {claim.item}: {verdict_with_lean(claim)}"
        lines += textwrap.wrap(text, WIDTH, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(lines)


def court_markdown(judged: Mapping[str, Sequence[VerdictRow]]) -> str:
    """Return the court as tables in Markdown."""
    rows = [[str(row["paper"]), *(str(row[word] or "") for word in COLUMNS)] for row in counts(judged)]
    claims = [[paper, escaped(row.item), escaped(verdict_with_lean(row))] for paper, row in primary_claims(judged)]
    return (
        table(["paper", *COLUMNS], rows, numbers=[*COLUMNS])
        + "\n\n"
        + table(["paper", "primary claim", "verdict"], claims)
    )


def _line(first: str, longest: int, cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)]
    return " ".join([f"{first:<{longest}}", *padded]).rstrip()
