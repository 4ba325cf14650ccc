"""Audit of a committed baseline: one of its runs is repeated by the code that made it, and compared value by value."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.comparing.compare import compare_sides, gates_beside
from throughtime.comparing.interleaved import last_line
from throughtime.comparing.own_code import OwnCode, ended, rerun_command
from throughtime.comparing.rows import Row
from throughtime.comparing.sides import Side
from throughtime.errors import UsageError
from throughtime.records.baseline_lines import parsed, unsealed
from throughtime.records.baselines import lines_from, lines_of
from throughtime.records.provenance import processor
from throughtime.records.record import Record
from throughtime.spec import NOISY_MEASURES

SECONDS = 1800.0
"""Default time limit of a repeated run."""


class Audit(NamedTuple):
    """The outcome of the audit of one baseline."""

    path: Path
    lines: int
    """Number of lines from which the run was drawn."""
    label: str = ""
    """Label of the run that was repeated."""
    edited: tuple[str, ...] = ()
    """Values that the repeated run does not have: `loss: 2.07 → 2.13`."""
    unclear: tuple[str, ...] = ()
    """Values that differ on another processor, and that no gate decides from one run."""
    undecided: str = ""
    """The reason why the run could not be repeated; empty if it was."""
    within: str = "bit for bit"
    """How values were compared."""

    def __str__(self) -> str:
        if not self.lines:
            return f"{self.path}: no line changed"
        drawn = f"{self.path}: 1 of {self.lines} lines repeated, {self.label}"
        if self.undecided:
            return f"{drawn}: not decided: {self.undecided}"
        said = f"{drawn}, {self.within}; values edited by hand: {len(self.edited)}"
        said += f", not decided by one run: {len(self.unclear)}" if self.unclear else ""
        return said + "".join(f"\n  {value}" for value in (*self.edited, *self.unclear))


def audit(path: Path, since: str | None, seed: int, seconds: float, plugins: Sequence[Path] = ()) -> Audit:
    """Repeat a random run of a baseline.

    The code that made the run repeats it: that of now, or the commit of the record. On the same kind of processor, with
    the same library versions, each value must be equal to the last bit; elsewhere it must pass the gates beside the
    baseline, and what these do not decide from one run is listed. Times, process peaks and energy are not compared.

    Args:
        path: the baseline.
        since: a revision of git; the run is drawn from the lines that the file does not have there. None: from all.
        seed: decides which run is drawn.
        seconds: time limit of the run.
        plugins: files of components that the run needs.

    Raises:
        UsageError: the baseline is refused, or git knows no such revision.
    """
    before = set(_lines_at(path, since)) if since else set()
    lines = sorted(line for line in lines_of(path) if line not in before)
    if not lines:
        return Audit(path, 0)
    line = random.Random(seed).choice(lines)
    record = parsed(line, str(path))
    with tempfile.TemporaryDirectory(prefix="throughtime-") as place:
        drawn = Audit(path, len(lines), record.label)
        try:
            differences = _repeated(record, line, Path(place), seconds, plugins)
        except UsageError as error:
            return drawn._replace(undecided=str(error))
    values = [d for d in differences if d["what"] in record.measures and not d["what"].startswith(NOISY_MEASURES)]
    edited, unclear = [d for d in differences if d["what"] in ("status", "data")], list[dict[str, Any]]()
    if record.machine.get("processor") == processor() and not any(d["what"] in record.versions for d in differences):
        edited += values
    else:
        rows = _against(path, record, values)
        judged = [(d, rows[d["what"]]) for d in values if d["what"] in rows]
        edited += [d for d, row in judged if row.severity == "fail"]
        unclear += [d for d, row in judged if row.verdict == "unclear"]
        drawn = drawn._replace(within="within the gates: another processor or other versions")
    return drawn._replace(edited=_shown(edited), unclear=_shown(unclear))


def _shown(differences: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(f"{d['what']}: {d['before']} → {d['now']}" for d in differences)


def _repeated(record: Record, line: str, place: Path, seconds: float, plugins: Sequence[Path]) -> list[dict[str, Any]]:
    """Run `throughtime rerun` on the record of a line, in the version of its code; return the differences.

    Raises:
        UsageError: that version is not in git, or the run does not end in time; the message is one line.
    """
    environment = OwnCode(place).environment(record)
    command = rerun_command(unsealed(line), place, plugins)
    pipe = subprocess.PIPE
    started = subprocess.Popen(command, env=environment, cwd=place, stdout=pipe, stderr=pipe, text=True)
    with started as process, ended(process):
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise UsageError(f"it did not end within {seconds:g} s") from error
    if process.returncode not in (0, 1) or not output.strip():
        raise UsageError(f"it cannot be repeated: {last_line(errors)}")
    rows: list[dict[str, Any]] = json.loads(last_line(output))
    return rows


def _against(path: Path, record: Record, values: Sequence[dict[str, Any]]) -> dict[str, Row]:
    """Compare a record with the values of its repeated run by the gates beside a baseline; return rows by metric."""
    measures = dict(record.measures)
    for value in values:
        try:
            measures[value["what"]] = measures[value["what"]].model_copy(update={"value": float(value["now"])})
        except ValueError:  # it has no value now
            del measures[value["what"]]
    new = record.model_copy(update={"measures": measures})
    comparison = compare_sides(Side(str(path), [record], []), Side("repeated", [new], []), gates_beside(path))
    return {row.metric: row for row in comparison.rows}


def _lines_at(path: Path, revision: str) -> list[str]:
    """Return the lines of a baseline at a revision of git; none if it is not there.

    Raises:
        UsageError: git knows no such revision.
    """
    git = ["git", "-C", str(path.parent)]
    if subprocess.run(
        [*git, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"], capture_output=True
    ).returncode:
        raise UsageError(f'git knows no revision "{revision}"', "--since")
    done = subprocess.run([*git, "show", f"{revision}:./{path.name}"], capture_output=True)
    return lines_from(path, done.stdout) if done.returncode == 0 else []
