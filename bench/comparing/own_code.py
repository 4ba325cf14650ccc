"""Repetition of a committed run by the code that made it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from throughtime.comparing.interleaved import installed, last_line
from throughtime.errors import UsageError
from throughtime.records.baseline_lines import unsealed
from throughtime.records.code_digest import changed_parts, names_of
from throughtime.records.files import CURVE, RECORD
from throughtime.records.record import Record
from throughtime.records.store import read_curve
from throughtime.registry import KINDS

POLL_SECONDS = 0.02
"""Time between two looks at a curve: the process removes it when it ends."""
END_SECONDS = 30.0
"""Time for a process to end after the signal."""


class OwnCode:
    """The code of records, as environments of processes; a commit is installed once.

    Args:
        place: a folder for the installations.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._installed: dict[str, dict[str, str]] = {}

    @staticmethod
    def is_of_today(record: Record) -> bool:
        """Return whether the code of a record is that of now."""
        return not any(changed_parts(names_of(record.spec), record.code))

    def environment(self, record: Record) -> dict[str, str]:
        """Return the environment of a process with the code of a record: that of now, or its commit, installed.

        Raises:
            UsageError: its code was never committed, or cannot be installed.
        """
        if self.is_of_today(record):
            return dict(os.environ)
        commit = record.code.get("commit")
        if record.code.get("changed") or not commit:
            raise UsageError("other code than today's made it, which was not committed")
        if plugins := _changed_plugins(record):
            raise UsageError(f"other code of {', '.join(plugins)} made it, which no commit of this package has")
        if commit not in self._installed:
            self._installed[commit] = installed(commit, Path(tempfile.mkdtemp(dir=self._place)))
        return self._installed[commit]


def _changed_plugins(record: Record) -> list[str]:
    """Return the components of a run that come from elsewhere than this package and have other code than the record."""
    names = names_of(record.spec)
    changed = set(changed_parts(names, record.code))  # a name that is not registered is no element of it
    return [name for kind, name in names.items() if name in changed and KINDS[kind][name].origin != "throughtime"]


def losses_in_float64(
    line: str, environment: dict[str, str], place: Path, seconds: float, plugins: Sequence[Path] = ()
) -> list[float]:
    """Return `first_losses` of the run on a line of a baseline, by the code of an environment.

    Args:
        line: the line of the record.
        environment: that of the code.
        place: an empty folder.
        seconds: time limit.
        plugins: files of components that the run needs.

    Raises:
        UsageError: this code cannot compute them, or not within the limit.
    """
    recorded = place / RECORD
    recorded.write_text(unsealed(line), encoding="utf-8")
    paths = [str(path.resolve()) for path in (recorded, *plugins)]
    program = files("throughtime.running").joinpath("first_losses.py").read_text(encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, *paths],
            env=environment,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"its losses in float64 took more than {seconds:g} s") from error
    if done.returncode:
        raise UsageError(f"the code that made it gives no losses in float64: {last_line(done.stderr)}")
    losses: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return losses


def rerun_command(text: str, place: Path, plugins: Sequence[Path]) -> list[str]:
    """Write a record into a folder; return the command that repeats its run, to be called in this folder.

    Args:
        text: the JSON text of the record, as its version wrote it.
        place: the folder.
        plugins: files of components that the run needs.
    """
    run = place / "recorded"
    run.mkdir()
    (run / RECORD).write_text(text, encoding="utf-8")
    words = ["rerun", run.name, "--json", *(word for p in plugins for word in ("--plugin", str(p.resolve())))]
    return [sys.executable, "-m", "throughtime", *words]


def curve_row(
    line: str, row: int, environment: dict[str, str], place: Path, seconds: float, plugins: Sequence[Path] = ()
) -> dict[str, Any]:
    """Return a row of the learning curve that the code of a record gives on this machine; training then stops.

    Args:
        line: the line of the record in the baseline.
        row: number of the row, from 1.
        environment: that of its code.
        place: an empty folder.
        seconds: time limit.
        plugins: files of components that the run needs.

    Raises:
        UsageError: the process ended before this row, or exceeded the limit.
    """
    plain = json.loads(unsealed(line))
    plain["spec"]["passes"] = ["train"]
    command = rerun_command(json.dumps(plain), place, plugins)
    scratch, errors = place / "t", place / "stderr"
    scratch.mkdir()
    end = time.monotonic() + seconds
    with errors.open("wb") as said:
        process = subprocess.Popen(
            command, env={**environment, "TMPDIR": str(scratch)}, cwd=place, stdout=subprocess.DEVNULL, stderr=said
        )
    with ended(process):
        while True:
            over = process.poll() is not None or time.monotonic() > end
            with suppress(FileNotFoundError):  # the process has removed its folders since
                for path in scratch.rglob(CURVE):
                    if len(curve := read_curve(path.parent)) >= row:
                        return curve[row - 1]
            if over:
                last = last_line(errors.read_text(errors="replace"))
                raise UsageError(f"the code that made it did not come to row {row} of its curve here: {last}")
            time.sleep(POLL_SECONDS)


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Context manager at whose end a process is terminated, so that it ends the processes that it started."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
