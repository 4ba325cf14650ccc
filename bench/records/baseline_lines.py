"""Lines of a baseline: compact records, each with a digest; a line that contradicts itself or another is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

import pydantic

from throughtime.errors import UsageError, first_fault
from throughtime.records.record import ELSEWHERE, SCHEMA, Record
from throughtime.spec import PASSES, id_of

VARYING = ("training_time", "energy")
"""Measures of a training pass that differ between any two runs, so that no gate can apply to them."""
DIGEST = re.compile(r',"digest":"([0-9a-f]{16})"}$')
"""End of a line: the digest of the text before it."""
WRITER = "`throughtime baseline update SUITE --reason ...` writes lines"
GIT = ("commit", "changed")
"""Entries of a record's `code` that are no part of its id."""


def lines_in(content: bytes) -> list[str]:
    """Return the lines of UTF-8 text; those of a string also end at U+2028, which JSON leaves as it is."""
    return [line.decode() for line in content.splitlines()]


def line_of(record: Record) -> str:
    """Return a record on one line, without the fields that a comparison does not read, and with its digest.

    Measures without a value are left out, except those that the spec demands: their reason stays.
    """
    wanted = demanded(record)
    measures = {
        name: measure.model_copy(update={"method": ""})
        for name, measure in record.measures.items()
        if name not in VARYING and (measure.value is not None or (name in wanted and measure.missing != ELSEWHERE))
    }
    failure = record.failure and record.failure.model_copy(update={"log_tail": []})
    compact = record.model_copy(
        update={"measures": measures, "failure": failure, "phases": {}, "command": "", "seconds": 0.0}
    )
    plain = json.loads(compact.model_dump_json(by_alias=True, exclude_defaults=True))
    plain["spec"] = record.spec.model_dump(mode="json")  # in full: a default may change in the code
    return sealed(json.dumps({"schema": SCHEMA, **plain}, ensure_ascii=False, separators=(",", ":")))


def sealed(text: str) -> str:
    """Return the JSON text of a record with its digest as the last entry."""
    return f'{text[:-1]},"digest":"{_digest(text)}"}}'


def unsealed(line: str) -> str:
    """Return the JSON text of the record on a line, without the digest."""
    return DIGEST.sub("}", line)


def parsed(line: str, where: str) -> Record:
    """Return the record on a line.

    Raises:
        UsageError: the line is not a record; it has no digest, or that of another text; its id does not follow from its
            spec and its code; or it lacks a measure that its spec demands.
    """
    text, seal = unsealed(line), DIGEST.search(line)
    try:
        record = Record.model_validate_json(text)
    except pydantic.ValidationError as error:
        place, fault = first_fault(error)
        raise UsageError(f"not a record of schema {SCHEMA}: {place or 'line'}: {fault}", where) from error
    if seal is None:
        raise UsageError("the line has no digest", where, WRITER)
    if seal[1] != _digest(text):
        raise UsageError(
            f"the line was edited: its digest is {seal[1]}, that of its text {_digest(text)}", where, WRITER
        )
    if (follows := _id_of(json.loads(text))) != record.id:
        raise UsageError(f"the id {record.id} does not follow from spec and code, which give {follows}", where, WRITER)
    if lacking := [name for name in demanded(record) if name not in record.measures]:
        raise UsageError(f"{record.label} lacks {', '.join(lacking)}, which its spec demands", where, WRITER)
    return record


def demanded(record: Record) -> list[str]:
    """Return the names of the measures that an `ok` run of this spec has, with a value or with a reason.

    Of a cell that trains only the first replicate has measuring passes.
    """
    trains = "train" in record.spec.passes
    if record.status != "ok":
        return []
    headlines = (PASSES[name].headline for name in record.spec.passes if not (trains and record.spec.replicate))
    return [
        *([record.metric or "a metric", "loss"] if trains else []),
        *(headline[0] for headline in headlines if headline),
    ]


def refuse_repeated(records: Sequence[Record], where: str) -> None:
    """Refuse two lines with one id, or for one replicate of a cell.

    Raises:
        UsageError: there are such lines; the message names the second.
    """
    seen: dict[object, int] = {}
    for number, record in enumerate(records, start=1):
        spec = record.spec
        for key, what in ((record.id, f"the id {record.id}"), ((spec.suite, spec.scale, spec.label), spec.label)):
            if (first := seen.setdefault(key, number)) != number:
                raise UsageError(f"{what} is on line {first} already", f"{where}:{number}", WRITER)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _id_of(plain: Mapping[str, dict[str, str]]) -> str:
    """Return the id that follows from spec and code, as they are written: fields that were added to specs since do not
    count."""
    return id_of(plain["spec"], {name: digest for name, digest in plain.get("code", {}).items() if name not in GIT})
