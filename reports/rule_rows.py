"""The comparison of rules in the documentation: a line at the end of each rule's page, from the committed records.

python -m throughtime.reports.rule_rows docs/rules
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from throughtime.markdown import table
from throughtime.records.committed import CommittedStore
from throughtime.records.results import Results
from throughtime.reports.best import REFERENCE
from throughtime.reports.cells import rule_family
from throughtime.reports.relative import Relative, relative_to_bptt
from throughtime.whole_files import write_whole

SUITE, SCALE = "rules", "laptop"
TITLE = "## Beside BPTT"
HEAD = ["rule", "accuracy − BPTT's, points", "exact bytes / BPTT's", "time / BPTT's"]


def committed_comparison() -> Relative:
    """Return the committed comparison of the suite `rules`."""
    return relative_to_bptt(Results(CommittedStore(), [SUITE]), SUITE, SCALE)


def comparison_table(rules: pd.DataFrame) -> str:
    """Return a Markdown table of `Relative.rules`: advantage, bytes and time."""
    return table(HEAD, [[f"`{row['rule']}`", *_numbers(row)] for _, row in rules.iterrows()], HEAD[1:])


def task_table(cells: pd.DataFrame) -> str:
    """Return a Markdown table of `Relative.cells`: points of accuracy by rule and task, bold where distinguished."""
    cells = cells.assign(task=cells["dataset"].str.replace("_", " ") + ", " + cells["neuron"])
    points = cells.pivot(index="rule", columns="task", values="difference")
    verdicts = cells.pivot(index="rule", columns="task", values="verdict")
    tasks = list(dict.fromkeys(cells["task"]))
    rows = []
    for rule in dict.fromkeys(cells["rule"]):
        if rule != REFERENCE:
            shown = (_points(points.loc[rule, task], verdicts.loc[rule, task]) for task in tasks)
            rows.append([f"`{rule}`", *shown])
    return table(["rule", *tasks], rows, tasks)


def _points(difference: float, verdict: str) -> str:
    if pd.isna(difference):
        return "not run"
    text = _signed(100 * difference, 0)
    text = f"+{text}" if round(100 * difference) > 0 else text
    return f"**{text}**" if verdict in ("better", "worse") else text


def _numbers(row: pd.Series) -> Iterator[str]:
    mean, low, high = (_signed(100 * row["advantage" + end], 1) for end in ("", "_low", "_high"))
    yield f"{mean} ({low} to {high})"
    for name in ("bytes_over_bptt", "time_over_bptt"):
        yield f"{row[name]:.{2 if row[name] < 1 else 1 if row[name] < 10 else 0}f}"


def _signed(value: float, digits: int) -> str:
    """Format a number with a minus sign in place of a hyphen, and never as −0.0."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def section(compared: Relative, page: str) -> str:
    """Return the end of a rule's page: title, and a line for the rule and each of its variants.

    Args:
        compared: `committed_comparison`.
        page: registered name of the rule.
    """
    rows = compared.rules[[rule_family(rule) == page for rule in compared.rules["rule"]]]
    tasks, n = len(compared.cells[["dataset", "neuron"]].drop_duplicates()), int(compared.cells["n"].max())
    if page == REFERENCE:
        return f"{TITLE}\n\nBPTT is the reference of [the comparison](README.md).\n"
    if rows.empty:
        return f"{TITLE}\n\nNot run on all tasks of [the comparison](README.md).\n"
    source = f"[{tasks} tasks, n = {n}](../rules-by-task.md), before convergence, where the readout reads membranes:"
    return f"{TITLE}\n\n{source}\n\n" + "".join(f"- {_line(row)}\n" for _, row in rows.iterrows())


def _line(row: pd.Series) -> str:
    advantage, size, time = _numbers(row)
    return f"`{row['rule']}`: {advantage} points of accuracy, exact bytes × {size}, time × {time}"


def write_pages(folder: Path) -> None:
    """Renew the end of each rule's page in a folder."""
    compared = committed_comparison()
    for path in sorted(folder.glob("*.md")):
        if path.stem != "README":
            body = path.read_text(encoding="utf-8").split(TITLE)[0].rstrip()
            write_whole(path, f"{body}\n\n{section(compared, path.stem)}")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
