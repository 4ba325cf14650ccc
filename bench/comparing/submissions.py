"""Submissions: the records of one author for one suite in one file, for a pull request.

The first line is a header with the author and the source of the plugins; the others are lines of a baseline
(`records/baseline_lines.py`). Both have digests.
"""

from __future__ import annotations

import json
import re
import tempfile
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from throughtime.comparing.audit import Audit, audit
from throughtime.errors import UsageError, first_fault, refuse_unknown, suggestion
from throughtime.records.baseline_lines import line_of, lines_in, parsed, refuse_repeated, sealed, unsealed
from throughtime.records.code_digest import HARNESS, module_digest
from throughtime.records.files import RECORD
from throughtime.records.record import Record, write_record
from throughtime.records.store import Store
from throughtime.registry import KINDS, load_plugin
from throughtime.spec import Scale, Strict
from throughtime.suites.suite import load_suite, suite_names
from throughtime.whole_files import write_whole

SUBMISSIONS = Path("results/submissions")
WRITER = "`throughtime submit SUITE --author NAME` writes submissions"
MOST_BYTES = 1_000_000
"""Largest size of a submission."""
MOST_NAME = 100
"""Bytes of an author's name in the name of a file, which file systems limit to 255."""


class Header(Strict):
    """First line of a submission."""

    submission: Literal[1] = 1
    """Version of the format."""
    suite: str
    scale: Scale
    author: Annotated[str, Field(pattern=r"^\S(.{0,78}\S)?$")]
    """Name as tables show it, on one line."""
    when: str
    """UTC, ISO 8601."""
    plugins: dict[str, Annotated[str, Field(min_length=1)]] = Field(default={})
    """Source of each plugin, by the name of its file."""


class Submission(pydantic.BaseModel):
    """Header and records of a submission."""

    header: Header
    records: list[Record]


def slug(author: str) -> str:
    """Return an author's name as part of a file's name and of a label: `Ada-Lovelace`."""
    name = re.sub(r"[^\w.]+", "-", author).strip("-").encode()[:MOST_NAME].decode(errors="ignore")
    return name or "author"


def _source(plugin: Path) -> str:
    """Return the text of a Python file, in the encoding that it declares."""
    with tokenize.open(plugin) as file:
        return file.read()


def write_submission(
    records: Sequence[Record], author: str, plugins: Sequence[Path] = (), folder: Path = SUBMISSIONS
) -> Path:
    """Write records of one suite at one scale as `<suite>-<scale>-<author>.jsonl`; return the path.

    Runs that the author's file has already stay in it, unless these records have the same cell and replicate.

    Raises:
        UsageError: the suite is not of the package, a component is in no file that is given, the file is another
            author's, or it is larger than `MOST_BYTES`.
    """
    first = records[0].spec
    if first.suite not in suite_names():
        hint = suggestion(first.suite, suite_names())
        raise UsageError(f'"{first.suite}" is no suite of the package: others cannot repeat it', hint=hint)
    given = {str(path.resolve()) for path in plugins}
    for record in records:
        for kind, registry in KINDS.items():
            component = registry[getattr(record.spec, kind).name]
            if component.origin not in ("throughtime", *given):
                raise UsageError(f"{component.name} is not of the package: its source is missing", component.origin)
    if len({path.name for path in plugins}) < len(given):
        raise UsageError("two plugins have the same file name", "--plugin", "rename one of them")
    path = folder / f"{first.suite}-{first.scale}-{slug(author)}.jsonl"
    sources, submitted = dict[str, str](), list[Record]()
    if path.exists():
        before = read_submission(path)
        if before.header.author != author.strip():
            raise UsageError(f"this file is of {before.header.author}", str(path), "give another --author")
        sources, submitted = before.header.plugins, before.records
    sources |= {plugin.name: _source(plugin) for plugin in plugins}
    runs = {(record.spec.cell, record.spec.replicate): record for record in (*submitted, *records)}
    try:
        header = Header(
            suite=first.suite,
            scale=first.scale,
            author=author.strip(),
            when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            plugins=sources,
        )
    except pydantic.ValidationError as error:
        where, _ = first_fault(error)
        if where.startswith("author"):
            raise UsageError("an author is a name of at most 80 characters on one line", "--author") from error
        raise UsageError(f"the plugin {where.removeprefix('plugins.')} is empty", "--plugin") from error
    lines = [line_of(runs[key]) for key in sorted(runs)]
    text = "\n".join([sealed(header.model_dump_json()), *lines]) + "\n"
    if (size := len(text.encode())) > MOST_BYTES:
        hint = "submit your rules alone: --rule NAME"
        raise UsageError(f"the submission would take {size / 1e6:.1f} MB of at most {MOST_BYTES / 1e6:g}", hint=hint)
    write_whole(path, text)
    return path


def read_submission(path: Path) -> Submission:
    """Read a submission, and check its digests, its ids, and that each cell is one of its suite.

    Raises:
        UsageError: there is no such file, or a line is refused; the message names the line.
    """
    try:
        first, *lines = lines_in(path.read_bytes()) or [""]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("no submission can be read here", str(path), WRITER) from error
    text = unsealed(first)
    try:
        header = Header.model_validate_json(text)
    except pydantic.ValidationError as error:
        place, fault = first_fault(error)
        what = f"not the header of a submission: {place or 'line'}: {fault}"
        raise UsageError(what, f"{path}:1", WRITER) from error
    if sealed(text) != first:
        raise UsageError("the header was edited: its digest is not that of its text", f"{path}:1", WRITER)
    records = [parsed(line, f"{path}:{number}") for number, line in enumerate(lines, start=2)]
    if not records:
        raise UsageError("the submission has no record", str(path), WRITER)
    refuse_repeated(records, str(path))
    _refuse_others(header, records, path)
    return Submission(header=header, records=records)


def check_submission(path: Path, seed: int, seconds: float) -> Audit:
    """Check a submission, and repeat a random run of it with the plugins that it contains, whose code is executed.

    Args:
        path: the file.
        seed: decides which run is drawn.
        seconds: time limit of the run.

    Raises:
        UsageError: as `read_submission`; or the source of a plugin is not that of the records.
    """
    submission = read_submission(path)
    with _plugin_files(submission.header.plugins) as plugins:
        for plugin in plugins:
            load_plugin(plugin)
        _refuse_other_source(submission.records, {str(plugin.resolve()) for plugin in plugins}, path)
        with tempfile.TemporaryDirectory(prefix="throughtime-") as folder:
            lines = Path(folder, f"{submission.header.suite}-{submission.header.scale}.jsonl")
            lines.write_bytes(path.read_bytes().partition(b"\n")[2])
            return audit(lines, None, seed, seconds, plugins)._replace(path=path)


def unpack_submissions(folder: Path, store: Store) -> int:
    """Write the runs of all submissions of a folder to a results folder, their rules labelled `<label>@<author>` and
    with a remark; return their number.

    Raises:
        UsageError: there is no such folder, or as `read_submission`.
    """
    if not folder.is_dir():
        raise UsageError("there is no such folder", str(folder))
    written = 0
    for path in sorted(folder.glob("*.jsonl")):
        submission = read_submission(path)
        author = submission.header.author
        for record in submission.records:
            rule = record.spec.rule
            label = f"{rule.label}@{slug(author)}"
            spec = record.spec.model_copy(update={"rule": rule.model_copy(update={"label": label})})
            remark = "; ".join(filter(None, (f"submitted by {author}", record.remark)))
            shown = record.model_copy(update={"spec": spec, "label": spec.label, "remark": remark})
            place = store.run_folder(record.spec.suite, f"{record.id}-{slug(author)}")
            if not (place / RECORD).exists():
                write_record(shown.model_copy(update={"id": place.name}), place)
                written += 1
    return written


def _refuse_others(header: Header, records: Sequence[Record], path: Path) -> None:
    """Refuse records of another suite, of another scale, or on data that the suite does not have."""
    refuse_unknown("suite", header.suite, suite_names(), f"{path}:1")
    cells = load_suite(header.suite, header.scale).cells[header.scale]
    known = {json.dumps([c.dataset.name, c.dataset.options], sort_keys=True) for c in cells}
    for number, record in enumerate(records, start=2):
        spec = record.spec
        if (spec.suite, spec.scale) != (header.suite, header.scale):
            what = f"a record of {spec.suite} at scale {spec.scale} in a submission of {header.suite}, {header.scale}"
            raise UsageError(what, f"{path}:{number}")
        if json.dumps([spec.dataset.name, spec.dataset.options], sort_keys=True) not in known:
            raise UsageError(
                f"{header.suite} has no dataset {spec.dataset.label} with these options", f"{path}:{number}"
            )


def _refuse_other_source(records: Sequence[Record], plugins: set[str], path: Path) -> None:
    """Refuse a plugin whose code is not that of the records, where these were made with the code of today."""
    today = module_digest(HARNESS)
    for number, record in enumerate(records, start=2):
        for kind, registry in KINDS.items():
            component = registry[getattr(record.spec, kind).name]
            same = record.code.get("harness") == today and component.origin in plugins
            if same and record.code.get(kind) != module_digest(component.factory.__module__):
                raise UsageError(f"the source of {component.name} is not that of the record", f"{path}:{number}")


@contextmanager
def _plugin_files(sources: Mapping[str, str]) -> Iterator[list[Path]]:
    """Context manager: files with these sources in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="throughtime-") as folder:
        paths = [Path(folder, Path(name).name) for name in sources]
        for path, source in zip(paths, sources.values(), strict=True):
            path.write_text(source, encoding="utf-8")
        yield paths
