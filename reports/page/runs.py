"""Runs on the page: facts, measures, curve, command and log of each, and the list of those that failed."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from throughtime.display import declared_defaults
from throughtime.records.files import LOG
from throughtime.records.record import Measure, Record
from throughtime.records.repetitions import committed_repetitions
from throughtime.records.results import Results
from throughtime.registry import KINDS
from throughtime.reports.cells import KEYS, anchor, groups, natural, neuron_label, neuron_rank, one_line, rule_rank
from throughtime.reports.planned import EXCLUDED, exclusion, planned_cells
from throughtime.reports.quantities import quantity, shown_in_unit, significant
from throughtime.reports.tables import NOT_RUN
from throughtime.spec import ComponentSpec, Training

_TRAINING = {name: field.default for name, field in Training.model_fields.items()}
_TRAINING = {name: value for name, value in _TRAINING.items() if name not in ("epochs", "batch", "learning_rate")}
"""Defaults of training; these three settings are always shown."""
PROTOCOL_TITLES = {
    **{"_best_validation": ", epoch best on validation", "_validation": " on validation"},
    "_best_test": ", epoch best on test",
}
CURVES = {"train_loss": "training loss"}
"""Titles of columns of learning curves."""
LOG_LINES = 200
LOG_BYTES = 64 * 1024
"""Number of bytes that are read from the end of a log."""


def run_data(results: Results, record: Record, out: Path) -> dict[str, Any]:
    """Return what the page shows of a run, in plain values.

    Args:
        results: results with the run.
        record: that of the run.
        out: folder of the page, to which the link to the run's folder is relative.
    """
    folder = results.run_folder(record.id)
    text, note = tail(folder / LOG)
    failure = record.failure
    return {
        "id": record.id,
        "replicate": record.spec.replicate,
        "status": record.status,
        "reason": record.reason,
        "command": command_of(record),
        "link": quote(Path(os.path.relpath(folder, out)).as_posix()) + "/",
        "facts": _facts(record),
        "measures": [
            [measure_title(name, measure.unit), _shown(measure), measure.method]
            for name, measure in record.measures.items()
        ],
        "log": text or ("\n".join(failure.log_tail) if failure else ""),
        "log_note": note,
        "curve": _curve(results.curve(record.id)),
    }


def _facts(record: Record) -> list[tuple[str, str]]:
    """Return name and text of the properties of a run."""
    spec, failure = record.spec, record.failure
    facts = [("failure", one_line(failure.reason))] if failure else []
    if failure and failure.where:
        facts.append(("reached", failure.where))
    if failure and failure.exit_code is not None:
        facts.append(("exit code", str(failure.exit_code)))
    facts += [(f"failed pass: {name}", why) for name, why in record.failed_passes.items()]
    data = f"SHA-256 {record.dataset_sha256}" if record.dataset_sha256 else "generated, or not read"
    facts += [
        ("started", f"{record.started or 'no date'}, {significant(record.seconds)} s in all"),
        ("seed", f"{spec.seed}, replicate {spec.replicate}, {spec.threads} thread{'s' * (spec.threads > 1)}"),
        ("training", _settings(dict(spec.training), _TRAINING)),
        *((kind, _component(kind, getattr(spec, kind))) for kind in KINDS),
        ("data", data),
    ]
    if repetition := committed_repetitions().get(record.id):
        facts.append(("repeated", f"{repetition}, by the code of {repetition.commit} on {repetition.when[:10]}"))
    facts += [("remark", record.remark)] if record.remark else []
    busy = {None: "no timing pass", True: "yes: times may be too long", False: "no"}[record.contended]
    facts.append(("machine busy", busy))
    if record.phases:
        phases = ", ".join(f"{name} {significant(seconds)} s" for name, seconds in record.phases.items())
        facts.append(("phases of training", phases))
    return facts


def _component(kind: str, component: ComponentSpec) -> str:
    """Return a component with its options, without those that have the literal default of the package."""
    return ", ".join(filter(None, [component.name, _settings(component.options, _defaults(kind, component.name))]))


@functools.cache
def _defaults(kind: str, name: str) -> dict[str, Any]:
    """Return the literal defaults of the options of a component of the package as JSON has them: tuples are lists."""
    registry = KINDS[kind]
    declared = [declared_defaults(folder, registry.decorator).get(name, {}) for folder in registry.folders]
    values = {option: default for defaults in declared for option, default in defaults.items()}
    return {option: list(value) if isinstance(value, tuple) else value for option, value in values.items()}


def _settings(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return the settings that are not null and differ from their defaults."""
    shown = (name for name, value in values.items() if value is not None and defaults.get(name, ...) != value)
    return ", ".join(f"{words(name)} {values[name]}" for name in shown)


def words(name: str) -> str:
    """Return a name of the code in words."""
    return name.replace("_", " ")


@functools.cache
def measure_title(name: str, unit: str) -> str:
    """Return the title of a measure, with the protocol of a metric."""
    end = next((end for end in PROTOCOL_TITLES if name.endswith(end)), "")
    return f"{words(quantity(name, unit).title)}{PROTOCOL_TITLES.get(end, '')}"


def command_of(record: Record) -> str:
    """Return the command that makes a run: the recorded one or, of committed records, which contain none, that of its
    suite; with the commit of the code, if that is known."""
    spec = record.spec
    command = record.command or shlex.join(
        ["throughtime", "run", spec.suite, "--scale", spec.scale, "--only", record.label]
    )
    commit = record.code.get("commit")
    return (
        f"{command}\n# at commit {commit}{', with changes' if record.code.get('changed') else ''}"
        if commit
        else command
    )


def _shown(measure: Measure) -> str:
    return f"missing: {measure.missing}" if measure.value is None else shown_in_unit(measure.value, measure.unit)


def _curve(rows: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Return the columns of a learning curve but for its times, with the three digits that a figure shows; null where a
    value is missing or not finite."""
    names = dict.fromkeys(name for row in rows for name in row if name != "seconds")
    return {CURVES.get(name, words(name)): _rounded([row.get(name) for row in rows]) for name in names}


def _rounded(values: Sequence[Any]) -> list[float | None]:
    if set(map(type, values)) == {int} and max(values, key=abs) in range(-99_999, 100_000):  # as they are
        return [*map(float, values)]
    numbers = (math.nan if value is None else value for value in values)
    texts = (("%.3g " * len(values)) % (*numbers,)).split()  # a call of `format` for each takes twice as long
    return [number if math.isfinite(number) else None for number in map(float, texts)]


def failures(runs: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Return (anchor, status, runs, reason) for all failed and skipped runs and for cells without a record."""
    runs, rows = runs[[*KEYS, "status", "reason", "replicate", "folder"]], []
    for key, cell_runs in groups(runs[runs["status"] != "ok"], [*KEYS, "status", "reason"]):
        suite, scale, dataset, network, neuron, rule, status, reason = key
        replicates = ", ".join(f"#{r}" for r in cell_runs["replicate"])
        which = f"{suite}, {scale}: {rule} {neuron_label(neuron, network)} {dataset} {replicates}"
        rows.append((anchor(key[: len(KEYS)]), status, which, one_line(reason) or "no reason recorded"))
    planned = planned_cells(runs)
    for (suite, scale), group in groups(runs, ["suite", "scale"]):
        there = {key for key, _ in groups(group, ["dataset", "network", "neuron", "rule"])}
        lines = dict.fromkeys(key[:3] for key in there)
        wanted = {(*line, rule) for line, rule in itertools.product(lines, dict.fromkeys(group["rule"]))}
        for dataset, network, neuron, rule in sorted(wanted - there, key=_reading_order):
            which = f"{suite}, {scale}: {rule} {neuron_label(neuron, network)} {dataset}"
            if why := exclusion(planned, suite, scale, (rule, neuron, network, dataset)):
                rows += [("", "excluded", which, why)] if why != EXCLUDED else []
            else:
                rows.append(("", "not run", which, NOT_RUN))
    return rows


def _reading_order(cell: tuple[str, ...]) -> list[Any]:
    dataset, network, neuron, rule = cell
    return [natural(dataset), natural(network), neuron_rank(neuron), rule_rank(rule)]


def tail(path: Path, lines: int = LOG_LINES) -> tuple[str, str]:
    """Return the end of a log, and a note if lines were omitted; only the last `LOG_BYTES` bytes are read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_BYTES))
            text = file.read(LOG_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return "", "there is no log"
    except OSError as error:
        return "", f"the log could not be read: {error.strerror}"
    # Remove terminal colours, and split progress bars that overwrite themselves into lines.
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n").replace("\r", "\n")
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text).splitlines()
    cut = size > LOG_BYTES or len(shown) > lines
    if size > LOG_BYTES and len(shown) > 1:
        shown = shown[1:]  # begins in the middle of a line
    return "\n".join(shown[-lines:]), f"the last {min(lines, len(shown))} lines of {size:,} byte" if cut else ""


def merged(mappings: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return a line for each key: the common value, the range of numbers, or the different values."""
    values: dict[str, list[Any]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            if value not in values.setdefault(key, []):
                values[key].append(value)
    return [(key, _merged(several)) for key, several in values.items()]


def _merged(several: list[Any]) -> str:
    numbers = [v for v in several if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(several) > 1:
        return f"{min(numbers):g} to {max(numbers):g}"
    texts = [v if isinstance(v, str) else json.dumps(v, default=str, ensure_ascii=False) for v in several]
    return "; ".join([*texts[:6], *([f"and {len(texts) - 6} more"] if len(texts) > 6 else [])])
