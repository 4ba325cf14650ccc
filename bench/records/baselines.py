"""Baselines: the committed records of one suite at one scale in one file, one line per run.

A second file beside it, `<suite>-<scale>.curves.jsonl`, holds the learning curves, so that figures can be redrawn. Both
are compressed if their names end with `.gz`. `comparing/baselines.py` writes them.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from throughtime.errors import UsageError
from throughtime.records.baseline_lines import lines_in, parsed, refuse_repeated
from throughtime.records.files import CURVE
from throughtime.records.record import Record, write_record
from throughtime.records.store import Store, status_of
from throughtime.spec import Scale
from throughtime.whole_files import write_whole

BASELINES = Path("results/baselines")
LOG, REPEATED, LINES, COMPRESSED = "log.jsonl", "repeated.jsonl.gz", ".jsonl", ".gz"


def baseline_path(suite: str, scale: Scale, folder: Path = BASELINES) -> Path:
    """Return `<folder>/<suite>-<scale>.jsonl`, of many runs and so compressed (`.gz`) at scales other than tiny."""
    return folder / f"{suite}-{scale}{LINES}{'' if scale == 'tiny' else COMPRESSED}"


def suite_of(path: Path) -> str:
    """Return the suite of a baseline, from its name."""
    return path.name.partition(LINES)[0].rpartition("-")[0]


def scale_of(path: Path) -> str:
    """Return the scale of a baseline, from its name."""
    return path.name.partition(LINES)[0].rpartition("-")[2]


def curves_path(path: Path) -> Path:
    """Return the path of the file of curves beside a baseline."""
    name, lines, compressed = path.name.rpartition(LINES)
    return path.with_name(f"{name}.curves{lines}{compressed}")


def is_baseline(path: str) -> bool:
    """Return whether a path has the name of a baseline, or of a file of curves, a log or repetitions beside it."""
    return path.removesuffix(COMPRESSED).endswith(LINES)


def baselines_in(folder: Path) -> list[Path]:
    """Return the paths of all baselines of a folder, without their files of curves."""
    paths = [path for path in sorted(folder.glob("*")) if is_baseline(path.name) and path.name not in (LOG, REPEATED)]
    curves = {curves_path(path) for path in paths}
    return [path for path in paths if path not in curves]


def baselines_to_read(folder: Path, hint: str | None = None) -> list[Path]:
    """Return the baselines of a folder.

    Raises:
        UsageError: there is none.
    """
    if not (paths := baselines_in(folder)):
        raise UsageError("there is no baseline in this folder", str(folder), hint)
    return paths


def read_baseline(path: Path) -> list[Record]:
    """Read the records of a baseline.

    Raises:
        UsageError: there is no such file, or a line of it is refused (`parsed` and `refuse_repeated` of
            `baseline_lines.py`); the message names the line.
    """
    lines = lines_of(path)
    records = [parsed(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]
    if not records:
        raise UsageError("the baseline is empty", str(path))
    refuse_repeated(records, str(path))
    return records


def content_of(path: Path, text: str) -> bytes:
    """Return the content of a file; without the time of its compression, so that equal texts have equal files."""
    return gzip.compress(text.encode(), mtime=0) if path.suffix == COMPRESSED else text.encode()


def lines_from(path: Path, content: bytes) -> list[str]:
    """Return the lines in the content of a file, which is compressed if its name says so."""
    return lines_in(gzip.decompress(content) if path.suffix == COMPRESSED else content)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file, which is compressed if its name says so.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return lines_from(path, path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:  # gzip's own errors have no strerror
        hint = "`throughtime baseline update SUITE --reason ...` writes one"
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the baseline cannot be read: {reason}", str(path), hint) from error
    except UnicodeDecodeError as error:
        raise UsageError("the baseline is not UTF-8 text", str(path)) from error


def curve_lines(path: Path) -> dict[str, str]:
    """Return the lines of the file of curves beside a baseline, by the id of the run.

    Raises:
        UsageError: the file cannot be read, or a line is no curve; the message names the line.
    """
    place = curves_path(path)
    curves = {}
    for number, line in enumerate(lines_of(place) if place.exists() else (), start=1):
        try:
            columns = json.loads(line)
            values = [column for name, column in columns.items() if name != "id"]
            if not all(isinstance(column, list) for column in values) or len(set(map(len, values))) > 1:
                raise ValueError("not columns of one length")
            curves[columns["id"]] = line
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError("not the learning curve of a run", f"{place}:{number}") from error
    return curves


def rounded(value: float | None) -> float | None:
    """Return a value of a curve with the 6 significant digits that are committed."""
    return value if value is None or isinstance(value, int) else float(f"{value:.6g}")


def curve_rows(line: str) -> list[dict[str, Any]]:
    """Return the rows of a learning curve from its line; a value that a row lacks is null there."""
    columns = json.loads(line)
    columns.pop("id", None)
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def unpack(path: Path, store: Store) -> int:
    """Write the runs of a baseline that a results folder lacks, or has as failed, with curves; return their number.

    Tables, figures, verdicts and `run` read it like any other. Records lack what the baseline does not hold:
    descriptions of measures, logs, commands and times.
    """
    lines = curve_lines(path)
    written = 0
    for record in read_baseline(path):
        folder = store.run_folder(record.spec.suite, record.id)
        if (status := status_of(folder)) == "ok" or (status and record.status != "ok"):  # as in `Store.publish`
            continue
        rows = curve_rows(lines.get(record.id, "{}"))
        write_whole(folder / CURVE, "".join(f"{json.dumps(row)}\n" for row in rows))
        write_record(record, folder)
        written += 1
    return written
