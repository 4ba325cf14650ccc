"""The results of a folder, read once: a frame with a row per run, its records and its learning curves."""

from __future__ import annotations

import copy
import fnmatch
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from throughtime.collector import gc_paused
from throughtime.errors import UsageError, refuse_unknown, suggestion
from throughtime.records.baseline_lines import GIT
from throughtime.records.code_digest import changed_parts
from throughtime.records.columns import COLUMNS, KEYS
from throughtime.records.files import RECORD
from throughtime.records.record import Record
from throughtime.records.store import DEFAULT_RESULTS, Store, Stored, order_of
from throughtime.registry import KINDS
from throughtime.spec import NOT_IN_ID, Scale


class Results:
    """The current runs of a results folder.

    A changed suite or changed code gives a run a new id, and its older record stays in the folder. Counting both would
    show a replicate twice, or average results of different code. The current runs of a cell are those with the
    configuration of its newest run; if a replicate has several, the newest.

    Each record file is read once. Memory: the rows and the text of the files, about 15 kB per run; `record` parses the
    text again, because a parsed record takes four times as much.

    Args:
        folder: a results folder, or its store; a missing folder has no runs.
        suites: names of the suites to read; empty: all.
        keep: predicate on records, applied before the current runs are chosen. None: all records.

    Attributes:
        folder: the results folder.
        frame: one row for each current run, in order of suite, cell and replicate. Columns: `COLUMNS`, then one for
            each measure in the unit of the records (missing values are NaN), with `unit.<measure>`, for metrics
            `better.<measure>` (`higher` or `lower`) and, where a value is missing, `missing.<measure>`: the reason.
            The columns rule, neuron, network and dataset hold labels; `<kind>_name` holds the registered name;
            `hidden` is a tuple of layer sizes, or None; `configuration` is `configuration_digest`; `contended` is False
            also where nothing was timed; `trials` is the number of trials of the cell's tuning, and `edge` the options
            whose chosen value is an end of its grid; `superseded` is the number of older runs of the row's cell that
            are not in the frame.
        broken: record files and curves that are damaged, each with the reason; a curve is read at its first use.

    Raises:
        UsageError: the folder is a file.

    Example:
        >>> results = tt.load(folder)
        >>> results.record("bptt lif digits #0").status
        'ok'
        >>> len(results.curve("bptt lif digits #0"))  # epochs 0, 1 and 2
        3
    """

    def __init__(
        self,
        folder: str | Path | Store = DEFAULT_RESULTS,
        suites: Sequence[str] = (),
        keep: Callable[[Record], bool] | None = None,
    ) -> None:
        self._store = store = folder if isinstance(folder, Store) else Store(folder)
        self.folder = store.folder
        self.broken: list[str] = []
        self._texts: dict[str, bytes] = {}
        self._code: dict[str, dict[str, Any]] = {}
        self._curves: dict[str, list[dict[str, Any]]] = {}
        self._selected: dict[tuple[str | None, str | None], Results] = {}
        rows = []
        with gc_paused():
            for suite in dict.fromkeys(suites) or (None,):
                for stored, text in store.read(suite):
                    if keep is not None and not keep(stored.record):
                        continue
                    rows.append((order_of(stored), _row(stored)))
                    self._texts[stored.record.id] = text
                    self._code[stored.record.id] = stored.record.code
                self.broken += store.broken
            rows.sort(key=lambda keyed: keyed[0])
            self._rows = _current([row for _, row in rows])
        self._texts = {row["id"]: self._texts[row["id"]] for row in self._rows}
        self._folders: dict[str, str] = {row["id"]: row["folder"] for row in self._rows}

    @functools.cached_property
    def frame(self) -> pd.DataFrame:
        """One row for each current run; see the attributes of the class."""
        return _frame(self._rows)

    @property
    def runs(self) -> list[str]:
        """The ids of the runs, in the order of the frame."""
        return list(self._texts)

    @classmethod
    def load(
        cls,
        folder: str | Path = DEFAULT_RESULTS,
        suites: str | Sequence[str] = (),
        keep: Callable[[Record], bool] | None = None,
    ) -> Results:
        """Read a folder that must contain runs.

        Raises:
            UsageError: the folder has no records, or none of one of the suites.

        Example:
            >>> tt.load(folder).suites()
            {'quick'}
        """
        suites = [suites] if isinstance(suites, str) else suites
        results = cls(folder, suites, keep)
        recorded = {row["suite"] for row in results._rows}
        if not recorded and not (suites and results.suites()):
            n = len(results.broken)
            files = "1 file there is no record" if n == 1 else f"{n} files there are no records"
            raise UsageError(
                f"nothing was run in {results.folder}" + (f"; {files}: {min(results.broken)}" if n else ""),
                hint="run `throughtime run quick` first, or give --results",
            )
        for suite in suites:
            if suite not in recorded:
                hint = suggestion(suite, results.suites())
                raise UsageError(f'no record of a suite "{suite}" in {results.folder}', hint=hint)
        return results

    def suites(self) -> set[str]:
        """Names of all suites with a record file in the folder, whether they were read or not."""
        return {path.parent.parent.name for path in self.folder.glob(f"*/*/{RECORD}")}

    def select(self, suite: str | None = None, scale: str | None = None) -> Results:
        """Return only the runs of one suite, one scale, or both; no file is read again, and the same choice is made
        once.

        Raises:
            UsageError: there is no such scale.
        """
        if scale is not None:
            refuse_unknown("choice", scale, get_args(Scale), "scale")
        wanted = {column: value for column, value in (("suite", suite), ("scale", scale)) if value is not None}
        if not wanted:
            return self
        if (suite, scale) not in self._selected:
            frame = self.frame[rows_with(self.frame, **wanted)].reset_index(drop=True)
            self._selected[suite, scale] = self._with(frame)
        return self._selected[suite, scale]

    def matching(self, **patterns: str | Sequence[str]) -> Results:
        """Return only the runs whose labels match; no file is read again.

        Args:
            **patterns: for `rule`, `neuron`, `network` or `dataset` labels or patterns such as `fptt*`; empty: all.

        Raises:
            UsageError: no run matches a pattern, or there are no such labels.
        """
        frame = self.frame
        for column, pattern_or_several in patterns.items():
            wanted = [pattern_or_several] if isinstance(pattern_or_several, str) else pattern_or_several
            refuse_unknown("labels", column, KEYS)
            labels, matching = set(frame[column]), set[str]()
            for pattern in wanted:
                # A label comes first: it may contain the special characters of patterns.
                found = {pattern} & labels or {label for label in labels if fnmatch.fnmatchcase(label, pattern)}
                if not found:
                    raise UsageError(f'no run has the {column} "{pattern}"', hint=suggestion(pattern, labels))
                matching |= found
            if wanted:
                frame = frame[frame[column].isin(matching)].reset_index(drop=True)
        return self._with(frame)

    def _with(self, frame: pd.DataFrame) -> Results:
        """Return these results with some of the rows."""
        chosen = copy.copy(self)
        chosen.frame, chosen._selected = frame, {}
        chosen._texts = {run: self._texts[run] for run in frame["id"]}
        return chosen

    def stale(self) -> pd.DataFrame:
        """Return the rows of the runs that other code than today's made.

        Time: that of the harness's digest, 0.3 s of processor time; also of the components' where the harness is equal.
        """
        names = self.frame[[f"{kind}_name" for kind in KINDS]].itertuples(index=False)
        parts = (dict(zip(KINDS, row, strict=True)) for row in names)
        changed = [any(changed_parts(p, self._code[run])) for p, run in zip(parts, self.frame["id"], strict=True)]
        return self.frame[pd.Series(changed, self.frame.index, dtype=bool)]

    def record(self, run: str) -> Record:
        """Return the record of a run.

        Args:
            run: the run's id, or its label if no other run has it.

        Raises:
            UsageError: no run, or more than one, has that id or label.
        """
        return Record.model_validate_json(self._texts[self.id_of(run)])

    def curve(self, run: str) -> list[dict[str, Any]]:
        """Return the learning curve of a run: one row per epoch, up to the first truncated or damaged line.

        For `run` see `record`. The file is read at the first call; damage is then listed in `broken`.
        """
        run_id = self.id_of(run)
        if run_id not in self._curves:
            self._curves[run_id], damage = self._store.curve(run_id, self.run_folder(run_id))
            if damage:
                self.broken.append(damage)
        return self._curves[run_id]

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run, with its record, curve and log; for `run` see `record`."""
        return Path(self._folders[self.id_of(run)])

    def id_of(self, run: str) -> str:
        """Return the id of a run from its id or its label; see `record`."""
        if run in self._texts:
            return run
        ids = self.frame.loc[self.frame["label"] == run, "id"]
        if len(ids) > 1:
            raise UsageError(f'{len(ids)} runs have the label "{run}"', hint=f"give an id: {', '.join(ids)}")
        if ids.empty:
            raise UsageError(f'no run "{run}" in {self.folder}', hint=suggestion(run, self.frame["label"]))
        return str(ids.iloc[0])


def rows_with(frame: pd.DataFrame, **values: object) -> np.ndarray:
    """Return a mask of the rows that have one value in each of some columns; a wide frame is then indexed once."""
    return np.all([frame[column].to_numpy() == value for column, value in values.items()], axis=0)


def configuration_digest(record: Record) -> str:
    """Return 12 hexadecimal digits for the configuration that replicates must share to be averaged: the spec without
    replicate, passes and `NOT_IN_ID`, the code of the components, and the versions of the libraries.
    """
    spec = record.spec.model_dump(mode="json", exclude={"replicate", "passes", *NOT_IN_ID})
    # A commit that changed no component gives the same runs.
    code = {name: digest for name, digest in record.code.items() if name not in GIT}
    text = json.dumps([spec, code, record.versions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return a frame of the rows of records; without rows it has the columns `COLUMNS`."""
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in COLUMNS}
    for i, row in enumerate(rows):
        for name, value in row.items():
            if name not in columns:
                columns[name] = [None] * len(rows)
            columns[name][i] = value
    return frame_of(columns)


def frame_of(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return a frame of columns by name, with text in columns of objects.

    A column of pandas' own string type is a block by itself: with a hundred of them, taking rows is 30 times slower.
    """
    texts = {name: values for name, values in columns.items() if not values or str in set(map(type, values))}
    known = {name: [np.nan if value is None else value for value in values] for name, values in texts.items()}
    objects = {name: pd.Series(values, dtype=object) for name, values in known.items()}
    return pd.DataFrame({**columns, **objects})


def _current(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the current runs among those of all records, in their order; see `Results`."""
    cells = [tuple(row[key] for key in KEYS) for row in rows]
    by_age = sorted(zip(cells, rows, strict=True), key=lambda keyed: (keyed[1]["started"], keyed[1]["id"]))
    newest = {cell: row["configuration"] for cell, row in by_age}
    latest = {(cell, row["replicate"]): row for cell, row in by_age if row["configuration"] == newest[cell]}
    older = Counter(cells) - Counter(cell for cell, _ in latest)
    return [
        row | {"superseded": older[cell]}
        for cell, row in zip(cells, rows, strict=True)
        if latest.get((cell, row["replicate"])) is row
    ]


def _row(stored: Stored) -> dict[str, Any]:
    """The row of a record in the frame."""
    record, spec = stored.record, stored.record.spec
    components = {"rule": spec.rule, "neuron": spec.neuron, "network": spec.network, "dataset": spec.dataset}
    hidden = spec.network.options.get("hidden")
    row: dict[str, Any] = {
        "id": record.id,
        "label": record.label,
        "suite": spec.suite,
        "scale": spec.scale,
        **{kind: component.label for kind, component in components.items()},
        **{f"{kind}_name": component.name for kind, component in components.items()},
        "configuration": configuration_digest(record),
        "metric": record.metric,
        "steps": spec.dataset.options.get("steps"),
        "hidden": tuple(hidden) if isinstance(hidden, list) else None,
        "replicate": spec.replicate,
        "epochs": spec.training.epochs,
        "mean_of_last": spec.training.mean_of_last,
        "batch": spec.training.batch,
        "device": spec.device,
        "status": record.status,
        "reason": record.reason,
        "remark": record.remark,
        "started": record.started,
        "seconds": record.seconds,
        "contended": record.contended is True,
        "trials": len(spec.tuning.trials) if spec.tuning else 0,
        "edge": ", ".join(spec.tuning.at_edge) if spec.tuning else "",
        "folder": str(stored.folder),
        "superseded": 0,
    }
    for name, measure in record.measures.items():
        row[name] = float("nan") if measure.value is None else measure.value
        row[f"unit.{name}"] = measure.unit
        if measure.better:
            row[f"better.{name}"] = measure.better
        if measure.missing:
            row[f"missing.{name}"] = measure.missing
    return row
