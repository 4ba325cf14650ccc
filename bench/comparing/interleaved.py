"""Interleaved timing of two versions of the code: a varying load affects both, so their ratio is stable.

Each version runs in its own environment: the revision is checked out and installed into a temporary folder that
precedes all other packages on the path; the current code runs unchanged. In each round both make the timing pass of
every cell of the suite, in fresh processes; the order of the two versions alternates from round to round.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from throughtime.comparing.cells import Pair, cells_of, matched
from throughtime.comparing.compare import Comparison, in_order
from throughtime.comparing.gates import Amount, Gates, MetricGate
from throughtime.comparing.rows import Row, Verdict, mean, row_of, shown
from throughtime.comparing.sides import Side
from throughtime.comparing.status import lost_row, new_row, status_row
from throughtime.errors import UsageError
from throughtime.records.provenance import git_state
from throughtime.records.record import Record
from throughtime.records.results import Results
from throughtime.records.statistics.interval import mean_interval
from throughtime.spec import RunSpec, Scale
from throughtime.suites.schema import SuiteFile
from throughtime.suites.strict_yaml import Document, checked
from throughtime.suites.suite import suite_document

CHECKOUT = Path(__file__).resolve().parents[2]
METRIC = "wall_time"
WALL_TIME_GATE = MetricGate(
    metric=METRIC, compare="ratio_to_bptt", better="lower", warn=Amount(0.05, True), why="timed in turns on one machine"
)
"""The gate on wall time if the gates file has none: a change of the ratio by more than 5 % counts."""


def compare_interleaved(
    revision: str, suite: str, scale: Scale, rounds: int, plugins: Sequence[Path] = (), gates: Path | None = None
) -> Comparison:
    """Time a revision (base) and the current code (new) alternately, and compare cell by cell.

    The verdict is on the ratio new / base of each round's medians: their geometric mean and its t interval over the
    rounds. A cell is better or worse if the ratio differs from 1 by more than the gate on wall time allows, and the
    interval does not contain 1.

    Args:
        revision: any name of a commit that git knows.
        suite: its name or file; the first replicate of each cell is timed.
        scale: scale of the suite.
        rounds: passes of each version, 2 or more.
        plugins: files that the suite needs; both versions load them.
        gates: a gates file; its gates on `wall_time` with `compare: ratio_to_bptt` apply to the ratio new / base.

    Raises:
        UsageError: there is no such revision or suite, or a version cannot run it; the message ends with its output.
    """
    rules = Gates.load(gates).gates if gates else []  # those of the package are on the ratios of separate sweeps
    with tempfile.TemporaryDirectory(prefix="throughtime-") as folder:
        place = Path(folder)
        suite_file = place / "timed.yaml"
        suite_file.write_text(json.dumps(timed_alone(suite_document(suite))), encoding="utf-8")
        versions = {"base": installed(revision, place), "new": dict(os.environ)}
        turns: dict[str, list[list[Record]]] = {"base": [], "new": []}
        for turn in range(rounds):
            for side in ("base", "new") if turn % 2 == 0 else ("new", "base"):
                words = ["run", str(suite_file), "--scale", scale, "--results", str(place / f"{side}-{turn}")]
                words += [word for path in plugins for word in ("--plugin", str(path.resolve()))]
                turns[side].append(_timed_once(versions[side], words, place / f"{side}-{turn}", side))
    base, new = Side(revision, turns["base"][0], []), Side("the code of now", turns["new"][0], [])
    pairs, lost, added = matched(cells_of(base.records), cells_of(new.records))
    rows = [row for pair in pairs for row in _rows(pair, turns, rules)]
    rows += [*map(lost_row, lost), *map(new_row, added)]
    changed = {name: digests for pair in pairs for name, digests in pair.changed().items()}
    return Comparison(base, new, in_order(rows), changed, [])


def timed_alone(document: Document) -> dict[str, Any]:
    """Return a suite with the timing pass of the first replicate alone, as plain data.

    Raises:
        UsageError: the document is not a suite.
    """
    checked(document, SuiteFile)
    scales = {name: dict(settings) for name, settings in document.data.get("scales", {}).items()}
    plain = {**document.data, "scales": scales}
    for settings in (plain, *scales.values()):
        for key in ("passes", "replicates", "tune", "keep_weights"):
            settings.pop(key, None)
    return {**plain, "passes": ["time"]}


def installed(revision: str, folder: Path) -> dict[str, str]:
    """Return the environment variables of a process that imports a revision of the checkout that this code runs from.

    Raises:
        UsageError: this is not a checkout, there is no such revision, or it cannot be installed.
    """
    option = f"--interleaved {revision}"
    if git_state()["commit"] is None:
        raise UsageError("throughtime does not run from a git checkout here", option)
    source, site = folder / "source", folder / "site"
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if commit.returncode:
        raise UsageError(f'git knows no revision "{revision}"', "--interleaved")
    _git("clone", "--quiet", "--shared", "--no-checkout", str(CHECKOUT), str(source)).check_returncode()
    _git("-C", str(source), "checkout", "--quiet", commit.stdout.strip()).check_returncode()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*command, "--target", str(site), str(source)], capture_output=True, text=True)
    if done.returncode:
        hint = "it needs setuptools >= 77 here: pip install 'throughtime[dev]'"
        raise UsageError(f"the revision cannot be installed: {last_line(done.stderr or done.stdout)}", option, hint)
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *([before] if before else [])])}


def _timed_once(environment: dict[str, str], words: list[str], results: Path, side: str) -> list[Record]:
    """Run the timing passes of one version once and return the records; failed cells have records too."""
    command = [sys.executable, "-m", "throughtime", *words]
    done = subprocess.run(command, env=environment, cwd=results.parent, capture_output=True, text=True)
    read = Results(results)
    if done.returncode not in (0, 1) or read.frame.empty:
        raise UsageError(f"the {side} version cannot run the suite: {last_line(done.stderr or done.stdout)}")
    return [read.record(run) for run in read.frame["id"]]


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True)


def last_line(output: str) -> str:
    """Return the last line of a process's output, which names its error."""
    return (output.strip().splitlines() or ["no output"])[-1]


def _rows(pair: Pair, turns: dict[str, list[list[Record]]], rules: Sequence[MetricGate]) -> list[Row]:
    """Return the row of a cell's status and, if both versions have all its times, the row of their ratio."""
    status = status_row(pair)
    times: dict[str, list[float]] = {}
    busy = 0
    for side, spec in (("base", pair.base.spec), ("new", pair.new.spec)):
        cells = [cell for records in turns[side] for cell in cells_of(records) if cell.spec == spec]
        times[side] = [value for cell in cells for value in cell.values(METRIC).values()]
        busy += sum(record.contended is True for cell in cells for record in cell.records.values())
    if not len(times["base"]) == len(times["new"]) == len(turns["new"]):
        return [status]
    row = timed_row(pair, gate_on_times(rules, pair.new.spec), times["base"], times["new"])
    passes = f"; {busy} of {2 * row.n_new} passes met load of other processes" if busy else ""
    return [status, replace(row, reason=row.reason + passes)]


def gate_on_times(rules: Sequence[MetricGate], spec: RunSpec) -> MetricGate:
    """Return the first gate on the wall time of a run as a ratio, or `WALL_TIME_GATE` if there is none."""
    return next((g for g in rules if g.compare == "ratio_to_bptt" and g.matches(METRIC, spec)), WALL_TIME_GATE)


def timed_row(pair: Pair, gate: MetricGate, base: Sequence[float], new: Sequence[float]) -> Row:
    """Return the row of one cell: the ratio of its times, round by round."""
    interval = mean_interval([math.log(b / a) for a, b in zip(base, new, strict=True)])
    assert interval.low is not None and interval.high is not None
    change, low, high = (math.expm1(value) for value in (interval.mean, interval.low, interval.high))
    moved, sure = abs(change) > gate.minimum().value, not low <= 0 <= high
    verdict: Verdict = "same" if not moved else "unclear" if not sure else "better" if change < 0 else "worse"
    return row_of(
        pair.new,
        METRIC,
        verdict,
        severity=gate.severity(abs(change), 1.0) if verdict == "worse" else "",
        **{side: math.exp(mean([math.log(time) for time in times])) for side, times in (("base", base), ("new", new))},
        **{"difference": change, "low": low, "high": high, "n_base": len(base), "n_new": len(new)},
        unit="second a sequence",
        gate=gate.metric,
        compare="interleaved",
        reason=f"ratio {shown(1 + change)} [{shown(1 + low)}, {shown(1 + high)}]",
        why=gate.why,
    )
