"""Repetitions of committed runs: today's code trains a run again to an early evaluation, and the numbers are compared.

`repeated.jsonl.gz` beside the baselines has a line for each repeated run. `throughtime baseline repeat` writes it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic
from filelock import FileLock

from throughtime.errors import UsageError, first_fault
from throughtime.records.baselines import REPEATED, content_of, lines_of
from throughtime.records.committed import committed_folder
from throughtime.records.results import KEYS
from throughtime.spec import Scale
from throughtime.whole_files import write_whole

if TYPE_CHECKING:
    import pandas as pd

LIST = "throughtime baseline repeat --list"
"""The command that names the repetitions with other numbers."""
LOCK = ".repeated.lock"
Verdict = Literal["other", "not decided", "not run here", "same"]


OUTCOMES = {
    "record": "the recorded numbers",
    "own code": "the numbers that the code of the record gives on the same processor",
    "float64": "other roundings alone: in float64 the losses of 20 updates are those of the code of the record",
    "other": "other numbers",
    "not decided": "not decided",
    "not run here": "not run here",
}
"""Outcomes of a repetition, in words."""


class Repetition(pydantic.BaseModel):
    """The repetition of one committed run up to one row of its learning curve."""

    model_config = pydantic.ConfigDict(extra="forbid")

    id: str
    """Id of the committed run."""
    suite: str
    scale: Scale
    label: str
    epoch: int
    """Epoch of the compared row: the first with 20 updates, or the last one of a shorter curve."""
    updates: int
    verdict: Verdict
    against: Literal["record", "own code", "float64"] = "record"
    """The numbers that were compared: the recorded ones or, where another processor made these, those that the code of
    the record gives on this processor; `float64`: where these differ, losses of both codes, which agree to 1e-10."""
    difference: float | None = None
    """Largest relative difference of a column after rounding to 6 digits; None: no two numbers were compared."""
    column: str = ""
    """Its name; empty if all columns are equal."""
    reason: str = ""
    """Why the run could not be repeated or compared, or the failure of the repetition."""
    recorded_on: str
    """Processor of the record."""
    processor: str
    versions: dict[str, str]
    """Versions of the libraries of the repetition."""
    code: dict[str, Any]
    """Digests and commit of the code of the repetition, as in a record."""
    when: str
    """UTC, ISO 8601."""

    @property
    def outcome(self) -> str:
        """A key of `OUTCOMES`."""
        return self.against if self.verdict == "same" else self.verdict

    @property
    def commit(self) -> str:
        """The short name of the commit that repeated the run."""
        return f"{str(self.code.get('commit'))[:8]}{' with changes' if self.code.get('changed') else ''}"

    def __str__(self) -> str:
        numbers = OUTCOMES[self.outcome]
        if self.verdict == "other" and self.against == "own code":
            numbers += " than the code of the record gives on the same processor"
        if self.column:
            numbers += f", {self.column} by {self.difference:.1e}"
        text = f"after {self.updates} updates (epoch {self.epoch}) {numbers}"
        return f"{text}: {self.reason}" if self.reason else text


def read_repetitions(folder: Path) -> dict[str, Repetition]:
    """Read the repetitions of the runs of a folder of baselines, by the id of the run; none without a file.

    Raises:
        UsageError: a line is not a repetition; the message names it.
    """
    path = folder / REPEATED
    lines = lines_of(path) if path.exists() else []
    repetitions = {}
    for number, line in enumerate(lines, start=1):
        try:
            repetition = Repetition.model_validate_json(line)
        except pydantic.ValidationError as error:
            place, fault = first_fault(error)
            raise UsageError(f"not a repetition: {place or 'line'}: {fault}", f"{path}:{number}") from error
        repetitions[repetition.id] = repetition
    return repetitions


@functools.cache
def committed_repetitions() -> Mapping[str, Repetition]:
    """Read the repetitions of the committed runs, once."""
    return read_repetitions(committed_folder())


def write_repetition(folder: Path, repetition: Repetition) -> None:
    """Add a repetition to the file of a folder, in the place of an earlier one of the same run."""
    _rewrite(folder, lambda repetitions: repetitions | {repetition.id: repetition})


def keep_repetitions(folder: Path, suite: str, scale: str, runs: Container[str]) -> None:
    """Remove the repetitions of runs that a baseline no longer has.

    Args:
        folder: the folder.
        suite: the suite of the baseline.
        scale: its scale.
        runs: the ids of its runs.
    """

    def remaining(repetitions: dict[str, Repetition]) -> dict[str, Repetition]:
        return {i: r for i, r in repetitions.items() if i in runs or (r.suite, r.scale) != (suite, scale)}

    _rewrite(folder, remaining)


def _rewrite(folder: Path, change: Callable[[dict[str, Repetition]], dict[str, Repetition]]) -> None:
    path = folder / REPEATED
    with FileLock(folder / LOCK):  # several commands may repeat different suites
        before = read_repetitions(folder)
        if (after := change(before)) != before:
            lines = sorted(after.values(), key=lambda line: (line.suite, line.scale, line.label))
            text = "".join(f"{line.model_dump_json(exclude_defaults=True)}\n" for line in lines)
            write_whole(path, content_of(path, text))


def repeated_cells(stale: Sequence[pd.DataFrame], repetitions: Mapping[str, Repetition]) -> str:
    """Return what repetitions say of the cells of runs of other code, in one sentence; empty if they say nothing.

    Args:
        stale: rows of the frames of `Results`; a run that is in several counts once.
        repetitions: repetitions by the id of the run.
    """
    cells: dict[tuple[str, ...], dict[str, Repetition]] = {}
    for run, *key in (row for rows in stale for row in rows[["id", *KEYS]].itertuples(index=False)):
        runs = cells.setdefault(tuple(key), {})
        if (repetition := repetitions.get(run)) and repetition.outcome != "not run here":
            runs[run] = repetition
    repeated = [list(runs.values()) for runs in cells.values() if runs]
    if not repeated:
        return ""
    counts = Counter(map(_outcome, repeated))
    commits = ", ".join(dict.fromkeys(run.commit for runs in repeated for run in runs))
    outcomes = counted(counts)
    listed = "" if counts.keys() <= {"record", "own code", "float64"} else f"; `{LIST}` names these"
    which = f"{len(repeated)} of their {len(cells)} cells"
    return f"the code of {commits} repeated a run of {which} to its first evaluation: {outcomes}{listed}"


def counted(counts: Mapping[str, int]) -> str:
    """Return the numbers of outcomes, in words."""
    return ", ".join(f"{counts[outcome]} {words}" for outcome, words in OUTCOMES.items() if counts.get(outcome))


def _outcome(runs: Iterable[Repetition]) -> str:
    """Return the outcome of a cell: a difference in one of its runs counts."""
    outcomes = {run.outcome for run in runs}
    return next(outcome for outcome in ("other", "not decided", "float64", "own code", "record") if outcome in outcomes)
