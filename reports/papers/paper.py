"""The folder of a paper: reading and judging it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import resources
from typing import Any, NamedTuple

from throughtime.errors import Faults, UsageError, refuse_unknown, suggestion
from throughtime.markdown import escaped, table
from throughtime.paper_folders import PACKAGE_PREFIX, TARGETS, PaperFolder, paper_folder, paper_folders
from throughtime.records.results import Results
from throughtime.registry import KINDS
from throughtime.reports.drawing import Drawn
from throughtime.reports.papers.claims import Claim, claims_in
from throughtime.reports.papers.stored import reading
from throughtime.reports.papers.verdicts import PaperFile, VerdictRow, verdicts, wrong_type
from throughtime.spec import SCALES, Strict
from throughtime.suites.schema import SuiteFile
from throughtime.suites.strict_yaml import Document, checked, load
from throughtime.suites.suite import suite_document, suite_names


class Paper(NamedTuple):
    """A paper's folder, its file, and the names of its suites."""

    folder: PaperFolder
    file: PaperFile
    suites: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the paper."""
        return self.folder.name

    @property
    def evidence(self) -> tuple[str, ...]:
        """The suites whose runs its verdicts read: its own, and those of its targets."""
        cells = [target.cell for target in self.file.targets]
        return tuple(dict.fromkeys([*self.suites, *(cell.suite for cell in cells if cell)])) or (self.name,)

    @property
    def option(self) -> str:
        """The option ` --paper DIR` with which commands find a folder that the user named; empty for other papers."""
        named = self.folder.package.startswith(PACKAGE_PREFIX)
        return f" --paper {shlex.quote(str(self.folder.path))}" if named else ""

    @property
    def link(self) -> str:
        """The address of the paper; empty if unknown."""
        return f"https://doi.org/{self.file.doi}" if self.file.doi else self.file.url or ""


class ClosedPaper(Strict):
    """A paper without a folder, because none of its values can be decided here."""

    name: str
    title: str
    link: str
    reason: str


class ClosedPapers(Strict):
    """The file `closed.yaml`."""

    papers: list[ClosedPaper]


def closed_papers() -> list[ClosedPaper]:
    """Return the papers of `closed.yaml` that have no folder, which a user may add."""
    file = checked(load(resources.files(__package__) / "closed.yaml"), ClosedPapers)
    return [paper for paper in file.papers if paper.name not in paper_folders()]


class PaperTable(NamedTuple):
    """A table that a function of a paper's `tables.py` returns, of text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str

    def markdown(self) -> str:
        """Return the table in Markdown."""
        return table([*map(escaped, self.head)], [[*map(escaped, row)] for row in self.rows])


def load_paper(name: str) -> Paper:
    """Read a paper's folder.

    Raises:
        UsageError: there is no such paper, or its file is invalid, or a function, a suite or a label of a suite that it
            names does not exist.
    """
    folder = paper_folder(name)
    document = load(folder.path / TARGETS)
    file = checked(document, PaperFile)
    module = folder.module("exact")
    for number, target in enumerate(file.targets):
        if target.exact is not None and not callable(getattr(module, target.exact, None)):
            where = document.position(("targets", number, "exact"))
            raise UsageError(f'exact.py has no function "{target.exact}"', where)
    suites = tuple(sorted(folder.suites()))
    for number, suite in enumerate(file.curves):
        refuse_unknown("suite", suite, suites, document.position(("curves", number)))
    _check_cells(document, file)
    return Paper(folder, file, suites)


def _check_cells(document: Document, file: PaperFile) -> None:
    """Refuse cells of targets whose suite does not exist, or has a component at no scale.

    The suites' files alone say it: to load the suites imports torch, which takes a second.
    """
    faults, names = Faults(), suite_names()
    labels: dict[str, dict[str, set[str]]] = {}
    for number, target in enumerate(file.targets):
        if (cell := target.cell) is None:
            continue
        where, suite, rule = ("targets", number, "cell"), cell.suite, cell.rule
        if suite not in names and suite.removesuffix("-tune") in names:  # a rule of trials has values after its label
            suite, rule = suite.removesuffix("-tune"), rule.partition(" ")[0]
        if suite not in names:
            place = document.position((*where, "suite"))
            faults.add(UsageError(f'no suite "{suite}"', place, suggestion(suite, names)))
            continue
        if suite not in labels:
            labels[suite] = _labels_of(checked(suite_document(suite), SuiteFile))
        for kind, label in zip(KINDS, (rule, cell.neuron, cell.network, cell.dataset), strict=True):
            if label not in (known := labels[suite][kind]):
                place = document.position((*where, kind))
                faults.add(UsageError(f'no {kind} "{label}" in the suite {suite}', place, suggestion(label, known)))
    faults.raise_all()


def _labels_of(file: SuiteFile) -> dict[str, set[str]]:
    """Return the labels of a suite's components at all scales, by kind."""
    parts = (file, *(getattr(file.scales, scale) for scale in SCALES))
    labels: dict[str, set[str]] = {}
    for kind in KINDS:
        own = (part for part in parts if part is file or f"{kind}s" in part.model_fields_set)  # others have a default
        entries = [entry for part in own for entry in getattr(part, f"{kind}s")]
        entries += [getattr(include, kind) for part in parts for include in part.include]
        labels[kind] = {entry.shown for entry in entries if entry is not None}
    return labels


def claims_of(folder: PaperFolder) -> list[Claim]:
    """Return the claims of a paper's `claims.py` and then of its files `*_claims.py`, in order of their names.

    Raises:
        UsageError: no function of a file is marked by `claim`.
    """
    files = sorted(file.name for file in folder.path.iterdir() if file.name.endswith("_claims.py"))
    claims: list[Claim] = []
    for name in ("claims", *(file.removesuffix(".py") for file in files)):
        if (module := folder.module(name)) is None:
            continue
        if not (found := claims_in(module)):
            raise UsageError("no function is marked by @claim", str(folder.path / f"{name}.py"))
        claims += found
    return claims


def judge(paper: Paper, results: Results, compute: bool = False) -> list[VerdictRow]:
    """Return the verdicts of a paper from results.

    Args:
        paper: the paper.
        results: the runs to judge.
        compute: whether values that the paper's folder stores are computed again, which takes up to a minute.
    """
    exact = paper.folder.module("exact")
    claims = claims_of(paper.folder)
    with paper.folder.faults_named(), nullcontext() if compute else reading():
        return verdicts(paper.name, paper.file, vars(exact) if exact else {}, claims, results, paper.option)


def draw_paper(folder: PaperFolder, results: Results, scale: str) -> dict[str, Drawn]:
    """Draw the figures of a paper from results at one scale and stored values, those that have the necessary data."""
    figures = _functions(folder, "figures", "FIGURES")
    with folder.faults_named(), reading():
        drawn = {figure: draw(results, scale) for figure, draw in figures.items()}
    for figure, shown in drawn.items():
        if shown is not None and not isinstance(shown, Drawn):
            raise wrong_type(figures[figure], shown, "Drawn or None")
    return {figure: shown for figure, shown in drawn.items() if shown is not None}


def tables_of(folder: PaperFolder, results: Results, scale: str) -> dict[str, PaperTable]:
    """Return the tables of a paper from results at one scale, those for which the results have runs."""
    functions = _functions(folder, "tables", "TABLES")
    with folder.faults_named():
        tables = {name: make(results, scale) for name, make in functions.items()}
    for name, made in tables.items():
        if made is not None and not isinstance(made, PaperTable):
            raise wrong_type(functions[name], made, "PaperTable or None")
    return {name: made for name, made in tables.items() if made is not None}


def _functions(folder: PaperFolder, module: str, name: str) -> Mapping[str, Callable[[Results, str], Any]]:
    """Return the functions of a paper's module by name; none without the module."""
    functions = folder.attribute(module, name) or {}
    if not isinstance(functions, Mapping) or not all(map(callable, functions.values())):
        raise UsageError(f"{name} is not a dict of functions by name", str(folder.path / f"{module}.py"))
    return functions


def paper_of(suite: str) -> PaperFolder | None:
    """Return the paper that a suite belongs to, if any."""
    return next((folder for folder in paper_folders().values() if suite in folder.suites()), None)
