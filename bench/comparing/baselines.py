"""Baselines: the records of one suite at one scale in one committed file, one line per run, and a log of renewals.

A second file beside it, `<suite>-<scale>.curves.jsonl`, holds the learning curves, so that figures can be redrawn. Both
are compressed if their names end with `.gz`.
"""

from __future__ import annotations

import getpass
import gzip
import json
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pydantic

from throughtime.comparing.rows import Verdict
from throughtime.errors import UsageError
from throughtime.records.files import CURVE, RECORD
from throughtime.records.provenance import git_state, versions
from throughtime.records.record import SCHEMA, Record, write_record
from throughtime.records.store import Store
from throughtime.spec import Scale
from throughtime.whole_files import write_whole

BASELINES = Path("results/baselines")
LOG, LINES, COMPRESSED = "log.jsonl", ".jsonl", ".gz"
Curve = Sequence[Mapping[str, Any]]
"""Rows of a learning curve, one an epoch."""
MOST_BYTES = 5_000_000
"""Largest size of all baselines of a folder: they are committed, and git stores every renewal."""
VARYING = ("training_time", "energy")
"""Measures of a training pass that differ between any two runs, so that no gate can apply to them."""


def baseline_path(suite: str, scale: Scale, folder: Path = BASELINES) -> Path:
    """Return `<folder>/<suite>-<scale>.jsonl`, of many runs and so compressed (`.gz`) at scales other than tiny."""
    return folder / f"{suite}-{scale}{LINES}{'' if scale == 'tiny' else COMPRESSED}"


def curves_path(path: Path) -> Path:
    """Return the path of the file of curves beside a baseline."""
    name, lines, compressed = path.name.rpartition(LINES)
    return path.with_name(f"{name}.curves{lines}{compressed}")


def is_baseline(path: str) -> bool:
    """Return whether a path has the name of a baseline, or of a file of curves or a log beside it."""
    return path.removesuffix(COMPRESSED).endswith(LINES)


def baselines_in(folder: Path) -> list[Path]:
    """Return the paths of all baselines of a folder, without their files of curves."""
    paths = [path for path in sorted(folder.glob("*")) if is_baseline(path.name) and path.name != LOG]
    return [path for path in paths if path not in {curves_path(other) for other in paths}]


def read_baseline(path: Path) -> list[Record]:
    """Read the records of a baseline.

    Raises:
        UsageError: there is no such file, or a line of it is no record; the message names the line.
    """
    try:
        lines = _lines(path)
    except (OSError, EOFError, zlib.error) as error:  # gzip's own errors have no strerror
        hint = "`throughtime baseline update SUITE --why ...` writes one"
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the baseline cannot be read: {reason}", str(path), hint) from error
    except UnicodeDecodeError as error:
        raise UsageError("the baseline is not UTF-8 text", str(path)) from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(Record.model_validate_json(line))
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            what = f"not a record of schema {SCHEMA}: {'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}"
            raise UsageError(what, f"{path}:{number}") from error
    if not records:
        raise UsageError("the baseline is empty", str(path))
    return records


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
    before = {_line(record): line for record, line in zip(*_present(path), strict=True)}
    unchanged = {record.id for record in ordered if _line(record) in before}
    drawn = {run: line for run, line in _columns_of(path).items() if run in unchanged}
    text = "".join(f"{before.get(line, line)}\n" for line in map(_line, ordered))
    rows = {record.id: curves[record.id] for record in ordered if curves and curves.get(record.id)}
    columns = "".join(f"{drawn.get(run) or _columns(run, curve)}\n" for run, curve in rows.items())
    curves_to = curves_path(path)
    written = {path: _content(path, text)} | ({curves_to: _content(curves_to, columns)} if columns else {})
    present = {file for file in path.parent.glob("*") if is_baseline(file.name)}
    others = sum(file.stat().st_size for file in present - {path, curves_to})
    if (size := others + sum(map(len, written.values()))) > MOST_BYTES:
        hint = f"at most {MOST_BYTES / 1e6:g} MB are committed; take a smaller suite or fewer replicates"
        raise UsageError(f"the baselines of this folder would take {size / 1e6:.1f} MB", str(path.parent), hint)
    for file, content in written.items():
        write_whole(file, content)
    if curves_to not in written:
        curves_to.unlink(missing_ok=True)


def unpack(path: Path, store: Store) -> int:
    """Write the runs of a baseline that a results folder lacks to it, with their curves; return their number.

    Tables, figures, verdicts and `run` read it like any other. Records lack what the baseline does not hold:
    descriptions of measures, logs, commands and times.
    """
    columns = _columns_of(path)
    written = 0
    for record in read_baseline(path):
        folder = store.run_folder(record.spec.suite, record.id)
        if (folder / RECORD).exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        of_run = json.loads(columns.get(record.id, "{}"))
        of_run.pop("id", None)
        rows = (dict(zip(of_run, values, strict=True)) for values in zip(*of_run.values(), strict=True))
        known = ({name: value for name, value in row.items() if value is not None} for row in rows)
        write_whole(folder / CURVE, "".join(f"{json.dumps(row)}\n" for row in known))
        write_record(record, folder)
        written += 1
    return written


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


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == COMPRESSED else content).decode().splitlines()


def _content(path: Path, text: str) -> bytes:
    """Return the content of a file; without the time of its compression, so that equal records have equal files."""
    return gzip.compress(text.encode(), mtime=0) if path.suffix == COMPRESSED else text.encode()


def _line(record: Record) -> str:
    """Return a record on one line, without the fields that a comparison does not read."""
    measures = {
        name: measure.model_copy(update={"method": ""})
        for name, measure in record.measures.items()
        if measure.value is not None and name not in VARYING
    }
    failure = record.failure and record.failure.model_copy(update={"log_tail": []})
    compact = record.model_copy(
        update={"measures": measures, "failure": failure, "phases": {}, "command": "", "seconds": 0.0}
    )
    plain = json.loads(compact.model_dump_json(by_alias=True, exclude_defaults=True))
    plain["spec"] = record.spec.model_dump(mode="json")  # in full: a default may change in the code
    return json.dumps({"schema": SCHEMA, **plain}, ensure_ascii=False, separators=(",", ":"))


def _present(path: Path) -> tuple[list[Record], list[str]]:
    """Return the records of a baseline and its lines; none without a file."""
    return (read_baseline(path), _lines(path)) if path.exists() else ([], [])


def _columns_of(path: Path) -> dict[str, str]:
    """Return the lines of the file of curves beside a baseline, by the id of the run."""
    lines = _lines(curves_path(path)) if curves_path(path).exists() else ()
    return {json.loads(line)["id"]: line for line in lines}


def _columns(run: str, rows: Curve) -> str:
    """Return a curve on one line: the run's id, and a list of values for each name; null where a row has no value."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [_short(row.get(name)) for row in rows] for name in names}
    return json.dumps({"id": run, **columns}, separators=(",", ":"))


def _short(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")


def _user() -> str:
    """Return the name in git's configuration, or the login name."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=10)
        return done.stdout.strip() or getpass.getuser()
    except (OSError, subprocess.SubprocessError):
        return getpass.getuser()
