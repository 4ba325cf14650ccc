"""Verdicts on the status of a cell's runs, and on the code that made them."""

from __future__ import annotations

from throughtime.comparing.cells import Cell, Pair
from throughtime.comparing.rows import CODE, STATUS, Row, row_of
from throughtime.records.code_digest import changed_parts, names_of
from throughtime.records.record import Record

WHOLE = ("ok", "skipped")


def stale_row(cell: Cell) -> Row | None:
    """Return the row of a cell whose runs other code than today's made; None if today's code made them."""
    names = names_of(cell.spec)
    changed = dict.fromkeys(part for record in cell.records.values() for part in changed_parts(names, record.code))
    if not changed:
        return None
    reason = f"the code of {', '.join(changed)} changed since these runs"
    return row_of(cell, CODE, "stale", n_new=len(cell.records), reason=reason)


def lost_row(cell: Cell) -> Row:
    """Return the row of a cell that the new results do not have."""
    reason = "no such cell in the new results"
    return row_of(cell, STATUS, "lost", severity="fail", n_base=len(cell.records), reason=reason)


def new_row(cell: Cell) -> Row:
    """Return the row of a cell that the base does not have."""
    return row_of(cell, STATUS, "new", n_new=len(cell.records), reason=_failures(cell, list(cell.records)))


def status_row(pair: Pair) -> Row:
    """Return the status row of a cell: *newly failing*, *fixed*, *lost*, *new* if the status differs, or *same*.

    A run that fails although the base's did not, and a run that the new results do not have, fail the comparison with
    any gates, because nothing else about them can be compared.
    """
    base, new = pair
    counts = {"n_base": len(base.records), "n_new": len(new.records)}
    common = sorted(base.records.keys() & new.records.keys())
    failing = [r for r in common if base.records[r].status in WHOLE and new.records[r].status not in WHOLE]
    if failing:
        return row_of(new, STATUS, "newly failing", severity="fail", reason=_failures(new, failing), **counts)
    gone = sorted(base.records.keys() - new.records.keys())
    if gone:
        reason = f"no record of replicate {', '.join(map(str, gone))}"
        return row_of(new, STATUS, "lost", severity="fail", reason=reason, **counts)
    skipped = [r for r in common if base.records[r].status == "ok" and new.records[r].status == "skipped"]
    if skipped:
        reason = f"now skipped: {new.records[skipped[0]].reason}"
        return row_of(new, STATUS, "lost", severity="fail", reason=reason, **counts)
    fixed = [r for r in common if base.records[r].status not in WHOLE and new.records[r].status == "ok"]
    if fixed:
        return row_of(new, STATUS, "fixed", reason=f"before: {_failures(base, fixed)}", **counts)
    begun = [r for r in common if base.records[r].status == "skipped" and new.records[r].status == "ok"]
    if begun:
        return row_of(new, STATUS, "new", reason=f"skipped before: {base.records[begun[0]].reason}", **counts)
    return row_of(new, STATUS, "same", reason=_failures(new, common), **counts)


def _failures(cell: Cell, replicates: list[int]) -> str:
    """Return the kinds of failure of the runs, each once."""
    records = [cell.records[replicate] for replicate in replicates]
    return "; ".join(dict.fromkeys(_how(record) for record in records if record.status not in WHOLE))


def _how(record: Record) -> str:
    return f"{record.status}: {record.reason}" if record.reason else record.status
