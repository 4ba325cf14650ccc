"""Comparison of two result sets: a verdict for each metric of each cell, and the exit code according to the gates."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from throughtime.collector import gc_paused
from throughtime.comparing.cells import cells_of, matched
from throughtime.comparing.gates import GATES_FILE, Gates
from throughtime.comparing.over_cells import over_cells
from throughtime.comparing.rows import VERDICTS, Row, Verdict
from throughtime.comparing.sides import Side, folder_and_version, load_side
from throughtime.comparing.status import lost_row, new_row, stale_row, status_row
from throughtime.comparing.verdicts import Undecided, compared, decided, presence_row
from throughtime.errors import UsageError, suggestion
from throughtime.records.results import Results
from throughtime.spec import Scale

if TYPE_CHECKING:
    import pandas as pd

PASSED, REGRESSED, NOT_COMPARABLE = 0, 1, 2


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison."""

    base: Side
    new: Side
    rows: list[Row]
    """Rows in the order of `VERDICTS`, then of the cells."""
    changed: dict[str, tuple[str, str]]
    """Components, harness and libraries with different versions: name, and digest or version on each side."""
    ungated: list[str]
    """Metrics without a gate."""
    stale_ok: bool = False
    """Whether results that other code than today's made may pass."""

    @property
    def counts(self) -> dict[Verdict, int]:
        """Return the number of rows by verdict, among the rows judged by a gate or by the runs' status."""
        numbers = Counter(row.verdict for row in self.rows if row.judged)
        return {verdict: numbers[verdict] for verdict in VERDICTS if numbers[verdict]}

    @property
    def exit_code(self) -> int:
        """Return 0: passed; 1: a row fails; 2: none fails, but a row under a gate, or every row, cannot be compared, or
        other code than today's made a cell's results. A time that was measured on a busy machine only warns."""
        if any(row.severity == "fail" for row in self.rows):
            return REGRESSED
        gated = any(row.verdict == "not comparable" and row.judged and not row.severity for row in self.rows)
        both = any(row.verdict not in ("new", "lost", "stale", "not comparable") for row in self.rows)
        stale = not self.stale_ok and any(row.verdict == "stale" for row in self.rows)
        return NOT_COMPARABLE if gated or stale or not both else PASSED

    def frame(self) -> pd.DataFrame:
        """Return a DataFrame with one row per metric and cell; the columns are the fields of `Row`."""
        import pandas as pd

        return pd.DataFrame([vars(row) for row in self.rows], columns=list(Row.__dataclass_fields__))

    def rerun(self) -> list[str]:
        """Return commands that rerun the cells that got worse, fail or are lost, one for each suite and scale; none if
        the new results are in no folder, as after an interleaved timing."""
        folder, _ = folder_and_version(self.new.name)
        if not (self.new.is_baseline or Path(folder).is_dir()):
            return []
        cells: dict[tuple[str, str], dict[str, None]] = {}
        for row in self.rows:
            if row.severity and row.rule:  # one test over all cells names none
                cells.setdefault((row.suite, row.scale), {})[row.label] = None
        # A record's command names the file of its suite, plugins and sources. Records of a baseline have none.
        commands = {(str(r.spec.suite), str(r.spec.scale)): r.command for r in (*self.base.records, *self.new.records)}
        results = [] if self.new.is_baseline else ["--results", folder]
        reruns = []
        for (suite, scale), labels in cells.items():
            words = _words_of(commands.get((suite, scale), ""))
            if results and "--results" in words:  # the folder may be a copy of the one in which the runs were made
                words[words.index("--results") + 1] = folder
            words = words or ["throughtime", "run", suite, "--scale", scale, *results]
            words += [word for label in labels for word in ("--only", label)]
            reruns.append(shlex.join([*words, "--rerun", "all"]))
        return reruns


def _words_of(command: str) -> list[str]:
    """Return the arguments of the sweep from the command of a record, or none if it is not a command of that form."""
    try:
        words = shlex.split(command)
    except ValueError:  # an unbalanced quotation mark
        return []
    if words[:2] != ["throughtime", "run"]:
        return []
    ends_with_run = words[-4:-3] == ["--only"] and words[-2:] == ["--rerun", "all"]
    return words[:-4] if ends_with_run else words


def compare_sides(base: Side, new: Side, gates: Gates) -> Comparison:
    """Compare two sides, cell by cell and metric by metric.

    Time: one permutation test for each metric and cell under a gate `test`; the rest is linear in the records.
    """
    base_cells, new_cells = cells_of(base.records), cells_of(new.records)
    rows: list[Row] = []
    judged: list[Row | Undecided | None] = []
    changed: dict[str, tuple[str, str]] = {}
    ungated: dict[str, None] = {}
    matching = matched(base_cells, new_cells)
    references = [[cell for cell in cells if cell.spec.rule.name == "bptt"] for cells in (base_cells, new_cells)]
    rows += [*map(lost_row, matching.lost), *map(new_row, matching.new)]
    for pair in matching.pairs:
        changed |= pair.changed()
        rows.append(status_row(pair))
        for metric in dict.fromkeys([*pair.base.metrics(), *pair.new.metrics()]):
            gate = gates.match(metric, pair.new.spec, any(references))
            if gate is None:
                ungated[metric] = None
            judged.append(presence_row(pair, metric, gate))
            if judged[-1] is None and all(cell.values(metric) for cell in pair):
                judged.append(compared(pair, metric, gate, *references))
    for gate in gates.over_cells:
        judged += over_cells(matching.pairs, gate)
    rows += [row for row in judged if isinstance(row, Row)]
    rows += decided([row for row in judged if isinstance(row, Undecided)])
    return Comparison(base, new, in_order(rows), changed, sorted(ungated))


@gc_paused()  # thousands of records, and no cycles
def compare_results(
    base: str | Path | Results,
    new: str | Path | Results,
    gates: str | Path | None = None,
    suites: Sequence[str] = (),
    scale: Scale | None = None,
    stale_ok: bool = False,
) -> Comparison:
    """Compare two results folders, baselines or versions; see `load_side`.

    Each cell of `new` whose runs other code than today's made has a row *stale*, and cannot pass without `stale_ok`.

    Args:
        base: the reference.
        new: the results to judge. If `base` is a baseline, only its suites and scales are judged.
        gates: a gates file, each gate of which must match something; None: `gates_beside` a baseline, else the gates
            that ship with throughtime.
        suites: names of the suites to compare; all if empty.
        scale: the scale to compare; None: all.
        stale_ok: whether results of other code than today's may pass.

    Raises:
        UsageError: a side has nothing to compare, or the gates file is wrong.
    """
    base_side, new_side = load_side(base), load_side(new)
    if base_side.is_baseline:
        held = {(record.spec.suite, record.spec.scale) for record in base_side.records}
        new_side = new_side._replace(records=[r for r in new_side.records if (r.spec.suite, r.spec.scale) in held])
    rules = Gates.load(gates) if gates or not base_side.is_baseline else gates_beside(Path(base_side.name))
    known = {str(record.spec.suite) for side in (base_side, new_side) for record in side.records}
    for name in suites:
        if name not in known:
            raise UsageError(f"no record to compare of suite {name}", base_side.name, suggestion(name, known))
    base_side, new_side = base_side.selected(suites, scale), new_side.selected(suites, scale)
    for side in (base_side, new_side):
        if not side.records:
            wanted = [f"suite {name}" for name in suites] + ([f"scale {scale}"] if scale else [])
            raise UsageError(f"no record to compare{' of ' if wanted else ''}{', '.join(wanted)}", where=side.name)
    comparison = compare_sides(base_side, new_side, rules)
    rules.refuse_unmatched()
    stale = filter(None, map(stale_row, cells_of(new_side.records)))
    return replace(comparison, rows=in_order([*comparison.rows, *stale]), stale_ok=stale_ok)


def gates_beside(baseline: Path) -> Gates:
    """Read the gates beside a baseline, `<suite>-<scale>.gates.yaml` or `gates.yaml`; without, throughtime's own."""
    own = baseline.name.removesuffix(".gz").removesuffix(".jsonl")
    beside = [baseline.with_name(name) for name in (f"{own}.{GATES_FILE}", GATES_FILE)]
    return Gates.load(next((path for path in beside if path.exists()), None))


def compare(
    base: str | Path | Results,
    new: str | Path | Results,
    gates: str | Path | None = None,
    *,
    stale_ok: bool = False,
) -> pd.DataFrame:
    """Return the verdicts of a comparison as a DataFrame: `tt.compare`.

    Args:
        base: a results folder, a baseline file, `folder@rule=3f2a`, or `Results`.
        new: the same.
        gates: a gates file; None: `gates_beside` a baseline, else the gates that ship with throughtime.
        stale_ok: whether results of other code than today's may pass.

    Returns:
        One row for each metric of each cell, with the columns of `Row`; `attrs["exit_code"]` is 0 (passed), 1
        (regressed) or 2 (not comparable, or made by other code).

    Raises:
        UsageError: a side has nothing to compare, or the gates file is wrong.

    Example:
        >>> verdicts = tt.compare(folder, folder)
        >>> verdicts.attrs["exit_code"], "worse" in set(verdicts["verdict"])
        (0, False)
    """
    comparison = compare_results(base, new, gates, stale_ok=stale_ok)
    frame = comparison.frame()
    frame.attrs["exit_code"] = comparison.exit_code
    return frame


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Sort rows by verdict, failures before warnings; the sort is stable."""
    verdicts, severities = ({word: i for i, word in enumerate(words)} for words in (VERDICTS, ("fail", "warn", "")))
    return sorted(rows, key=lambda row: (verdicts[row.verdict], severities[row.severity]))
