"""Python interface: run a suite from a script or a notebook, and get its results as frames and figures."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from throughtime.errors import UsageError, refuse_unknown
from throughtime.records.results import Results
from throughtime.records.store import DEFAULT_RESULTS, Store
from throughtime.registry import load_plugin
from throughtime.spec import Rerun, Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from throughtime.reports.drawing import Drawn
    from throughtime.running.logs import Log


def run(
    suite: str | Path,
    scale: Scale = "laptop",
    results: str | Path = DEFAULT_RESULTS,
    *,
    only: str | Sequence[str] = (),
    rerun: Rerun = "none",
    set: Mapping[str, Any] = MappingProxyType({}),
    jobs: int | None = None,
    plugins: str | Path | Sequence[str | Path] = (),
    quiet: bool = False,
    log: Log | str | None = None,
) -> Results:
    """Run a suite on this machine, as `throughtime run` does; runs that already have a record are skipped.

    Each pass runs in a process of its own, which does not run the caller's script: no `__main__` guard is needed.

    Args:
        suite: the name of a suite, or the path of its YAML.
        scale: `tiny` (seconds a run), `laptop` or `paper`.
        results: the results folder.
        only: runs to select, each by its id, its label, the label of its cell, or a pattern of these such as `fptt *`;
            empty: all.
        rerun: runs to repeat: `none`, `failed`, `stale` (recorded with other code or data) or `all`.
        set: changes of the suite, by name, such as `{"training.learning_rate": 1e-2, "fptt.parts": 10}`; the names are
            those of `--set`: `training.NAME`, `rule.NAME` (likewise neuron, network, dataset), `LABEL.NAME`, or a key
            of the suite.
        jobs: number of concurrent training passes; None: one per core.
        plugins: a Python file, or several, that register components.
        quiet: print no progress to stderr.
        log: receives the learning curves while the runs train, see `running/logs.py`: `"tensorboard"`, `"wandb"`, or a
            function of the iteration and a dict with the run's label and the numbers of an epoch; None: nothing does.

    Returns:
        All current runs of the suite at this scale in the folder, failed ones included; those of the selected cells
        have the settings of this call.

    Raises:
        UsageError: the suite is wrong, an argument has no meaning, data are missing, a run needs more memory than this
            machine has, or a component is not in a file that a plugin names.

    Example:
        >>> cell = "bptt lif digits #0"
        >>> results = tt.run("quick", "tiny", folder, only=cell, set={"keep_weights": True}, quiet=True)
        >>> results.frame[["rule", "neuron", "status"]].values.tolist()
        [['bptt', 'lif', 'ok']]
    """
    from throughtime.running.engines.local import LocalEngine, start_fork_server
    from throughtime.running.least_memory import require_memory
    from throughtime.running.logs import LoggedProgress, log_of
    from throughtime.running.plan import run_of
    from throughtime.running.progress import PlainProgress
    from throughtime.running.sweep import Request, Sweep, sweeps

    def engine(sweep: Sweep, tell: Callable[[str], None]) -> LocalEngine:
        require_memory(sweep.due, sweep.limits.memory, here=True)
        return LocalEngine(files, sweep.limits, jobs or sweep.jobs, tell)

    if jobs is not None and jobs < 1:
        raise UsageError(f"should be at least 1, not {jobs}", "jobs")
    for argument, value, choices in (("rerun", rerun, get_args(Rerun)), ("scale", scale, get_args(Scale))):
        refuse_unknown("choice", value, choices, argument)
    curves = None if log is None else log_of(log, Path(results))
    start_fork_server()
    files = [str(Path(plugin).resolve()) for plugin in ([plugins] if isinstance(plugins, str | Path) else plugins)]
    for file in files:
        load_plugin(file)
    changes = [f"{name}={_json(name, value)}" for name, value in set.items()]
    request = Request(suite, scale, Store(results), [only] if isinstance(only, str) else only, rerun, changes)
    stream = io.StringIO() if quiet else sys.stderr
    progress = PlainProgress(stream) if curves is None else LoggedProgress(stream, request.store, curves)
    for sweep in sweeps(request):
        sweep.run(engine, request.command(files), progress)
    cells, runs = {p.spec.cell for p in sweep.selected}, {p.spec.id({}) for p in sweep.planned}
    return Results.load(
        results,
        [sweep.planned[0].spec.suite],
        keep=lambda record: record.spec.cell not in cells or run_of(record.spec) in runs,
    ).select(scale=scale)


def frame(results: Results | str | Path = DEFAULT_RESULTS, full: bool = False) -> pd.DataFrame:
    """Return a row for each current run, with its settings and measures as columns.

    Args:
        results: results, or their folder.
        full: whether the columns `unit.*`, `better.*` (which direction of a metric is better) and `missing.*` (why a
            value is missing) are there, as in `Results.frame`.

    Raises:
        UsageError: the folder has no runs.

    Example:
        >>> rows = tt.frame(folder)
        >>> rows[["rule", "neuron", "status"]].values.tolist()
        [['bptt', 'lif', 'ok']]
        >>> "unit.accuracy" in rows, "unit.accuracy" in tt.frame(folder, full=True)
        (False, True)
    """
    rows = loaded(results).frame
    return rows if full else rows.loc[:, ~rows.columns.str.startswith(("unit.", "better.", "missing."))]


def table(results: Results | str | Path = DEFAULT_RESULTS, measure: str = "metric") -> pd.DataFrame:
    """Summarise one measure: a row per cell with mean, t interval, replicates, failures by status and notes.

    Args:
        results: results, or their folder.
        measure: a measure's name, such as `wall_time`; `metric` is the metric of each dataset's task.

    Raises:
        UsageError: the folder has no runs, or no run has such a measure.

    Example:
        >>> tt.table(folder)[["rule", "measure", "n"]].values.tolist()
        [['bptt', 'accuracy', 1]]
    """
    from throughtime.reports.summaries import summarise

    return summarise(loaded(results).frame, measure)


def figure(
    results: Results | str | Path = DEFAULT_RESULTS,
    out: str | Path | None = None,
    *,
    measure: str | None = None,
    only: str | Sequence[str] = (),
    width: float | None = None,
    colours: Mapping[str, str] = MappingProxyType({}),
    axis: Axes | None = None,
) -> dict[str, Drawn]:
    """Draw the figures that the results have data for.

    Args:
        results: results, or their folder.
        out: folder for each figure as PDF, SVG, PNG and CSV; None: no file is written.
        measure: draw this measure for each rule, in the place of the standard figures.
        only: names of figures, or patterns such as `*-curves`; empty: all.
        width: in inches; None: a width for screens.
        colours: colours of rules by label, such as `{"fptt": "#d55e00"}`.
        axis: an axis of matplotlib, into which the only figure with its only panel is drawn; without `measure` and
            `only` it is that of the learning curves.

    Returns:
        For each name (`quick-tiny-curves`) the matplotlib figure, its numbers as a frame, title and caption. A notebook
        displays a figure that is the last expression of a cell.

    Raises:
        UsageError: the folder has no runs, no figure, measure, rule or colour has this name, the width is not above 0,
            or `axis` would hold several panels.

    Example:
        >>> figures = tt.figure(folder)
        >>> figures["quick-tiny-curves"].title
        'Learning curves'
    """
    from throughtime.reports.drawing import Drawn, save
    from throughtime.reports.figure_registry import Choice, draw_figures
    from throughtime.reports.look import Look, checked_colours, figure_look

    if width is not None and not 0 < width < math.inf:
        raise UsageError(f"should be above 0 and finite, not {width:g}", "width")
    runs = loaded(results)
    names = [only] if isinstance(only, str) else only
    choice = Choice(names or (["*-curves"] if axis is not None and measure is None else ()), measure)
    look = Look(width=width, colours=checked_colours(colours, runs.frame["rule"]), axis=axis)
    with figure_look(look):
        figures = draw_figures(runs, choice)
        drawn = {name: shown for name, shown in figures.items() if isinstance(shown, Drawn)}
        if axis is not None and [shown.figure for shown in drawn.values()] != [axis.figure]:
            raise UsageError(f"an axis holds one figure, not {', '.join(figures)}", "axis", "give only=NAME")
        for name, shown in drawn.items() if out is not None else ():
            save(shown, Path(str(out)), name)
    return drawn


def check(*names: str, plugins: str | Path | Sequence[str | Path] = ()) -> pd.DataFrame:
    """Run the contract checks of components, as `throughtime check` does: one row per component and fact.

    Args:
        *names: components; empty: all registered components, which takes minutes.
        plugins: Python files that register components.

    Raises:
        UsageError: no component has that name.

    Example:
        >>> facts = tt.check("rnn")
        >>> sorted(set(facts["verdict"]))
        ['does not apply', 'holds']
    """
    import torch

    from throughtime.checks.run import check as check_components
    from throughtime.checks.run import components

    for plugin in [plugins] if isinstance(plugins, str | Path) else plugins:
        load_plugin(plugin)
    components(names)
    with torch.random.fork_rng(devices=[]):
        return pd.DataFrame([finding.row() for finding in check_components(names)])


def _json(name: str, value: Any) -> str:
    """Return a setting as JSON; its numbers may be those of NumPy or torch.

    Raises:
        UsageError: JSON has no such value.
    """
    try:
        return json.dumps(value, default=lambda number: number.tolist())
    except (AttributeError, TypeError, ValueError):
        raise UsageError(f"cannot set {value!r}", f"set[{name!r}]", "a value as in a suite file") from None


def loaded(results: Results | str | Path) -> Results:
    """Return results, or read those of a folder."""
    return results if isinstance(results, Results) else Results.load(results)
