"""Writing of baselines (`records/baselines.py` reads them), and a log of renewals."""

from __future__ import annotations

import getpass
import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from throughtime.comparing.rows import Verdict
from throughtime.errors import UsageError
from throughtime.records.baseline_lines import line_of
from throughtime.records.baselines import (
    LOG,
    content_of,
    curve_lines,
    curves_path,
    is_baseline,
    lines_of,
    read_baseline,
    rounded,
)
from throughtime.records.provenance import git_state, versions
from throughtime.records.record import Record
from throughtime.whole_files import write_whole

Curve = Sequence[Mapping[str, Any]]
"""Rows of a learning curve, one an epoch."""
MOST_BYTES = 6_000_000
"""Largest size of all baselines of a folder: they are committed, and git stores every renewal."""


def write_baseline(path: Path, records: Sequence[Record], curves: Mapping[str, Curve] | None = None) -> None:
    """Write the records of one suite at one scale, compact, sorted by cell and replicate, whole or not at all.

    The file has the spec, the status, digests, versions, machine, and the measures that have a value, without the
    descriptions of how they were measured. With `curves`, by the id of the run, the file of curves is written too,
    in 6 significant digits. The lines of a run whose record is unchanged stay as they are: a default that was added to
    the spec since, or a value that `unpack` leaves out, does not change them.

    Raises:
        UsageError: all baselines of the folder together would take more than `MOST_BYTES`, or the present file is
            no baseline.
    """
    ordered = sorted(records, key=lambda record: (record.spec.cell, record.spec.replicate))
    before = {line_of(record): line for record, line in zip(*_present(path), strict=True)}
    unchanged = {record.id for record in ordered if line_of(record) in before}
    drawn = {run: line for run, line in curve_lines(path).items() if run in unchanged}
    text = "".join(f"{before.get(line, line)}\n" for line in map(line_of, ordered))
    rows = {record.id: curves[record.id] for record in ordered if curves and curves.get(record.id)}
    columns = "".join(f"{drawn.get(run) or _columns(run, curve)}\n" for run, curve in rows.items())
    curves_to = curves_path(path)
    written = {path: content_of(path, text)} | ({curves_to: content_of(curves_to, columns)} if columns else {})
    present = {file for file in path.parent.glob("*") if is_baseline(file.name)}
    others = sum(file.stat().st_size for file in present - {path, curves_to})
    if (size := others + sum(map(len, written.values()))) > MOST_BYTES:
        hint = f"at most {MOST_BYTES / 1e6:g} MB are committed; take a smaller suite or fewer replicates"
        raise UsageError(f"the baselines of this folder would take {size / 1e6:.1f} MB", str(path.parent), hint)
    for file, content in written.items():
        write_whole(file, content)
    if curves_to not in written:
        curves_to.unlink(missing_ok=True)


def log_renewal(path: Path, why: str, changes: Mapping[Verdict, int]) -> None:
    """Append an entry to the log beside a baseline: author, date, versions and reason of the renewal.

    Args:
        path: path of the baseline.
        why: the author's reason.
        changes: number of rows by verdict in the comparison with the previous baseline.
    """
    entry = {
        "baseline": path.name,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "who": _user(),
        "why": why,
        "changes": changes,
        "commit": git_state()["commit"],
        "versions": versions(),
    }
    log = path.parent / LOG
    before = log.read_text(encoding="utf-8") if log.exists() else ""
    write_whole(log, before + json.dumps(entry, ensure_ascii=False) + "\n")


def _present(path: Path) -> tuple[list[Record], list[str]]:
    """Return the records of a baseline and its lines; none without a file."""
    return (read_baseline(path), lines_of(path)) if path.exists() else ([], [])


def _columns(run: str, rows: Curve) -> str:
    """Return a curve on one line: the run's id, and a list of values for each name; null where a row has no value."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [rounded(row.get(name)) for row in rows] for name in names}
    return json.dumps({"id": run, **columns}, separators=(",", ":"))


def _user() -> str:
    """Return the name in git's configuration, or the login name."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=10)
        return done.stdout.strip() or getpass.getuser()
    except (OSError, subprocess.SubprocessError):
        return getpass.getuser()
