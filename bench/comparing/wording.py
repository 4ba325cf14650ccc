"""Texts and numbers of a comparison, shared by all formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from throughtime.comparing.compare import NOT_COMPARABLE, PASSED, REGRESSED, Comparison
from throughtime.comparing.gates import MACHINE
from throughtime.comparing.rows import Row, Verdict, shown
from throughtime.comparing.sides import Side

OUTCOME = {PASSED: "passed", REGRESSED: "regressed", NOT_COMPARABLE: "not comparable"}
SECTIONS: dict[str, tuple[Verdict, ...]] = {
    "Regressions": ("newly failing", "lost", "worse"),
    "Stale": ("stale",),
    "Not comparable": ("not comparable",),
    "Unclear": ("unclear",),
    "Improvements": ("better", "fixed"),
    "New": ("new",),
}
"""Verdicts that are shown row by row, in this order; *same* is only counted. Metrics without a gate are listed by name
alone."""


class Line(NamedTuple):
    """One row of a report, as text."""

    verdict: str
    cell: str
    metric: str
    base: str
    new: str
    difference: str
    n: str
    reason: str


NUMBERS = ("base", "new", "difference", "n")
"""Columns that are aligned to the right."""


def headline(comparison: Comparison) -> str:
    """Return the headline: `regressed (exit code 1): 2 worse, 1 lost, 57 same`."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in comparison.counts.items())
    return f"{OUTCOME[comparison.exit_code]} (exit code {comparison.exit_code}): {counts or 'nothing to compare'}"


def sections(comparison: Comparison) -> dict[str, list[Row]]:
    """Return the rows to show, by title; sections without rows are left out."""
    rows = [row for row in comparison.rows if row.judged]
    by_title = {title: [row for row in rows if row.verdict in verdicts] for title, verdicts in SECTIONS.items()}
    return {title: among for title, among in by_title.items() if among}


def line_of(row: Row) -> Line:
    """Return a row as text; `—` stands for a missing number."""
    verdict = f"{row.verdict} (warning)" if row.severity == "warn" else row.verdict
    cell = f"{row.suite}, {row.scale}: {row.label}"
    base, new = ("—" if value is None else shown(value) for value in (row.base, row.new))
    n = f"{row.n_base}" if row.n_base == row.n_new else f"{row.n_base}, {row.n_new}"
    reason = "; ".join(filter(None, (row.reason, "" if row.p is None else f"p = {row.p:.2g}")))
    unit = "" if row.unit in ("", "1") else f" ({row.unit})"
    return Line(verdict, cell, row.metric + unit, base, new, _difference(row), n, reason)


def _difference(row: Row) -> str:
    if row.difference is None:
        return "—"
    relative = row.compare in ("ratio_to_bptt", "interleaved")

    def signed(value: float) -> str:
        if relative:
            return f"{100 * value:+.1f} %"
        return f"+{shown(value)}" if value > 0 else shown(value)

    if row.low is None or row.high is None or row.low == row.high:
        return signed(row.difference)
    ends = (signed(end) if relative else f"{end:+.3g}" for end in (row.low, row.high))
    return f"{signed(row.difference)} [{', '.join(ends)}]"


def unchanged(comparison: Comparison) -> list[Row]:
    """Return the judged rows whose verdict is *same*."""
    return [row for row in comparison.rows if row.verdict == "same" and row.judged]


def by_metric(rows: Iterable[Row]) -> str:
    """Return the number of rows by metric: `loss 12, peak_live_bytes 12`."""
    return ", ".join(f"{metric} {count}" for metric, count in Counter(row.metric for row in rows).items())


def remarks(comparison: Comparison) -> Iterator[str]:
    """Yield remarks: different code and libraries, metrics without a gate, broken files, rerun commands."""
    shown_rows = (row for rows in sections(comparison).values() for row in rows if row.gate)
    for gate, compare, why in dict.fromkeys((row.gate, row.compare, row.why) for row in shown_rows):
        yield f"Gate on {gate} ({compare}): {why}."
    if comparison.changed:
        changes = (f"{name} {before} → {after}" for name, (before, after) in sorted(comparison.changed.items()))
        yield f"Other versions: {', '.join(changes)}."
    if stale := [row for row in comparison.rows if row.verdict == "stale"]:
        yield f"Other code than today's made {len(stale)} cells: `run --rerun stale` repeats, --stale-ok accepts them."
    if comparison.ungated:
        yield f"No gate: {', '.join(comparison.ungated)}."
    for side in (comparison.base, comparison.new):
        for broken in side.broken:
            yield f"Not a record: {broken}."


def provenance(side: Side) -> str:
    """Return the provenance of a side's records: name, dates, commits, machines, main versions."""

    def distinct(values: Iterable[object]) -> str:
        return ", ".join(sorted({str(value) for value in values if value is not None})) or "unknown"

    records = side.records
    days = sorted({record.started[:10] for record in records if record.started})
    machines = distinct(
        ", ".join(str(r.machine.get(name)) for name in MACHINE[:2]) + " cores" for r in records if r.machine
    )
    commits = distinct(
        f"{str(record.code.get('commit'))[:12]}{' with changes' if record.code.get('changed') else ''}"
        for record in records
        if record.code.get("commit")
    )
    versions = ", ".join(
        f"{name} {distinct(r.versions.get(name) for r in records)}" for name in ("python", "torch", "throughtime")
    )
    when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "no date"
    return f"{side.name}: {len(records)} runs, {when}; commit {commits}; {machines}; {versions}"
