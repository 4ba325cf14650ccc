"""The command `throughtime baseline repeat`."""

from __future__ import annotations

import math
import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from throughtime.commands.terminal import (
    NONE,
    BaselinesOption,
    PaperOption,
    PluginOption,
    RepetitionTimeOption,
    SourceOption,
    load_plugins,
    refuse_unused,
    stoppable,
)
from throughtime.errors import UsageError, suggestion
from throughtime.printing import print_text
from throughtime.spec import Scale

if TYPE_CHECKING:
    from throughtime.records.record import Record
    from throughtime.records.repetitions import Repetition

ROUNDING = 1e-10
"""Largest relative difference of a loss in float64 that rounding explains."""


class RecordedRun(NamedTuple):
    """A run of a baseline."""

    record: Record
    line: str
    """Its line in the baseline."""
    curve: list[dict[str, Any]]


def repeat(
    suites: Annotated[
        list[str] | None, typer.Argument(help="Suites; default: all of the baselines.", metavar="SUITE")
    ] = None,
    scale: Annotated[Scale | None, typer.Option(help="Only this scale.")] = None,
    seed: Annotated[int | None, typer.Option(help="Which replicate of a cell is repeated; default: 0.")] = None,
    every_run: Annotated[bool, typer.Option("--every-run", help="Repeat all runs of each cell.")] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Run nothing: print the repeated runs without equal numbers.")
    ] = False,
    baselines: BaselinesOption = None,
    timeout: RepetitionTimeOption = None,
    plugin: PluginOption = NONE,
    paper: PaperOption = NONE,
    source: SourceOption = NONE,
) -> None:
    """Train one committed run of each cell again with today's code, to its first evaluation after 20 updates, and
    compare the numbers; exits with 1 if one differs. Runs that this code has repeated are skipped."""
    from throughtime.comparing.audit import SECONDS
    from throughtime.datasets.files.fetch import add_source
    from throughtime.records import baselines as files
    from throughtime.records.repetitions import keep_repetitions, read_repetitions, write_repetition

    if listed:
        refuse_unused("with --list", seed=seed, every_run=every_run, timeout=timeout)
    load_plugins(plugin, paper)
    add_source(*source)
    folder = baselines or files.BASELINES
    paths = files.baselines_to_read(folder)
    for suite in suites or ():
        if suite not in (known := {files.suite_of(path) for path in paths}):
            raise UsageError(f'no baseline of a suite "{suite}" in {folder}', hint=suggestion(suite, known))
    paths = [path for path in paths if not suites or files.suite_of(path) in suites]
    if not (paths := [path for path in paths if scale in (None, files.scale_of(path))]):
        raise UsageError(f"no baseline of {', '.join(suites or ['any suite'])} at scale {scale}", str(folder))
    if not listed:
        with (
            stoppable(f"interrupted: {folder / files.REPEATED} has the repeated runs; repeat the command to continue"),
            tempfile.TemporaryDirectory(prefix="throughtime-", ignore_cleanup_errors=True) as place,
        ):
            repeater = Repeater(Path(place), timeout or SECONDS, plugin)
            for path in paths:
                runs = _runs(path)
                keep_repetitions(folder, files.suite_of(path), files.scale_of(path), {run.record.id for run in runs})
                repeated = read_repetitions(folder)
                for run in runs if every_run else _one_of_each_cell(runs, seed or 0):
                    if not _is_repeated(run.record, repeated.get(run.record.id)):
                        repetition = repeater.repeat(run)
                        write_repetition(folder, repetition)
                        print_text(f"{path.name}: {repetition.label}: {repetition}", flush=True)
    wanted = {(files.suite_of(path), files.scale_of(path)) for path in paths}
    lines = [line for line in read_repetitions(folder).values() if (line.suite, line.scale) in wanted]
    _print_outcomes(lines, listed)
    if any(line.verdict == "other" for line in lines):
        raise typer.Exit(1)


class Repeater:
    """Repeats runs, one at a time.

    Args:
        place: an empty folder, in which the code of other commits is installed once.
        seconds: time limit of a training.
        plugins: files of components that the runs need.
    """

    def __init__(self, place: Path, seconds: float, plugins: Sequence[Path]) -> None:
        from throughtime.comparing.own_code import OwnCode

        self._place, self._seconds, self._plugins = place, seconds, plugins
        self._own_code = OwnCode(place)

    def repeat(self, run: RecordedRun) -> Repetition:
        """Repeat a run with today's code, and compare the row of its curve.

        Where another processor or other libraries made the record and the numbers differ, the code that made it is run
        here, too, and today's numbers are compared with these. If they still differ, training may have amplified
        another order of rounding: the losses of both codes in float64 decide.
        """
        from throughtime.records.provenance import git_state, processor, versions
        from throughtime.records.repetitions import Repetition
        from throughtime.running.engines.local import LocalEngine
        from throughtime.running.limits import Limits
        from throughtime.running.repeat import NotHereError, compared_row, largest_difference, repeated_row

        record, rows = run.record, compared_row(run.curve)
        before = run.curve[rows - 1]
        try:
            engine = LocalEngine([str(path.resolve()) for path in self._plugins], Limits(self._seconds), 1, print_text)
            with tempfile.TemporaryDirectory(dir=self._place) as folder, closing(engine):
                now = repeated_row(record, rows, engine, Path(folder))
            outcome = _compared(*largest_difference(before, now))
            if outcome["verdict"] == "other" and _is_elsewhere(record):
                outcome = self._compared_with_own_code(run, rows, now, outcome)
            if outcome["verdict"] == "other" and not self._own_code.is_of_today(record):
                outcome = self._compared_in_float64(run, outcome)
        except NotHereError as error:
            outcome = {"verdict": "not run here", "reason": error.what}
        except UsageError as error:
            outcome = {"verdict": "other", "reason": error.what}
        return Repetition(
            id=record.id,
            suite=record.spec.suite,
            scale=record.spec.scale,
            label=record.label,
            epoch=before["epoch"],
            updates=before.get("updates", 0),
            recorded_on=record.machine.get("processor", "unknown"),
            processor=processor(),
            versions=versions(),
            code=_digests(record) | git_state(),
            when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **outcome,
        )

    def _compared_with_own_code(
        self, run: RecordedRun, rows: int, now: dict[str, Any], outcome: dict[str, Any]
    ) -> dict[str, Any]:
        from throughtime.comparing.own_code import curve_row
        from throughtime.running.repeat import largest_difference

        try:
            environment = self._own_code.environment(run.record)
            with tempfile.TemporaryDirectory(dir=self._place) as place:
                row = curve_row(run.line, rows, environment, Path(place), self._seconds, self._plugins)
        except UsageError as error:
            reason = f"recorded on {run.record.machine.get('processor')}; {error.what}"
            return {**outcome, "verdict": "not decided", "reason": reason}
        return {**_compared(*largest_difference(row, now)), "against": "own code"}

    def _compared_in_float64(self, run: RecordedRun, outcome: dict[str, Any]) -> dict[str, Any]:
        from throughtime.comparing.own_code import losses_in_float64

        codes = []
        try:
            for environment in (self._own_code.environment(run.record), dict(os.environ)):
                with tempfile.TemporaryDirectory(dir=self._place) as place:
                    codes.append(losses_in_float64(run.line, environment, Path(place), self._seconds, self._plugins))
        except UsageError as error:
            return {**outcome, "reason": error.what}
        own, now = codes
        is_equal = len(own) == len(now) and all(
            math.isclose(a, b, rel_tol=ROUNDING) for a, b in zip(own, now, strict=True)
        )
        return {**outcome, "verdict": "same", "against": "float64"} if is_equal else outcome


def _compared(difference: float, column: str) -> dict[str, Any]:
    return {"verdict": "other" if column else "same", "difference": difference, "column": column}


def _runs(path: Path) -> list[RecordedRun]:
    """Return the runs of a baseline that have a learning curve."""
    from throughtime.records.baseline_lines import parsed
    from throughtime.records.baselines import curve_lines, curve_rows, lines_of

    curves = curve_lines(path)
    runs = [(parsed(line, str(path)), line) for line in lines_of(path)]
    return [
        RecordedRun(record, line, curve)
        for record, line in runs
        if record.id in curves and (curve := curve_rows(curves[record.id]))
    ]


def _one_of_each_cell(runs: Sequence[RecordedRun], seed: int) -> Iterator[RecordedRun]:
    """Yield a random run of each cell, of this processor and these versions or, without any, of committed code: other
    numbers of other runs say nothing about the code."""
    cells: dict[tuple[str, ...], list[RecordedRun]] = {}
    for run in runs:
        cells.setdefault(run.record.spec.cell, []).append(run)
    for cell, cell_records in cells.items():
        near = [run for run in cell_records if not _is_elsewhere(run.record)]
        committed = [run for run in cell_records if not run.record.code.get("changed")]
        yield random.Random(f"{seed} {cell}").choice(near or committed or cell_records)


def _is_elsewhere(record: Record) -> bool:
    """Return whether another processor or other library versions made a record."""
    from throughtime.records.provenance import processor, versions

    return record.machine.get("processor") != processor() or record.versions != versions()


def _is_repeated(record: Record, before: Repetition | None) -> bool:
    """Return whether this code has repeated a run: with equal numbers anywhere, or with other ones here."""
    from throughtime.records.baseline_lines import GIT
    from throughtime.records.provenance import processor, versions

    if before is None or {name: d for name, d in before.code.items() if name not in GIT} != _digests(record):
        return False
    is_same_machine = (before.processor, before.versions) == (processor(), versions())
    return before.verdict == "same" or (is_same_machine and before.verdict != "not run here")


def _digests(record: Record) -> dict[str, str]:
    """Return the digests of the code of a run; none if one of its components is no longer registered."""
    from throughtime.records.code_digest import code_of

    try:
        return code_of(record.spec)
    except UsageError:
        return {}


def _print_outcomes(lines: Sequence[Repetition], with_reasons: bool) -> None:
    """Print the repetitions without equal numbers, and the number of each outcome."""
    from throughtime.records.repetitions import counted

    for line in lines:
        if line.verdict == "other" or (with_reasons and line.verdict != "same"):
            print_text(f"{line.suite}, {line.scale}: {line.label}: {line}; code of {line.commit}")
    outcomes = counted(Counter(line.outcome for line in lines))
    print_text(f"{len(lines)} runs repeated: {outcomes}" if lines else "no run was repeated")
