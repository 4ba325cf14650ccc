"""The folder of a paper: finding, reading and judging it."""

from __future__ import annotations

import importlib
from importlib import resources
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from throughtime.errors import UsageError, suggestion
from throughtime.records.results import Results
from throughtime.reports.drawing import Drawn
from throughtime.reports.papers.verdicts import PaperFile, Row, verdicts
from throughtime.suites.strict_yaml import checked, load

if TYPE_CHECKING:
    from importlib.abc import Traversable


class Paper(NamedTuple):
    """A paper's file, and the names of its suites."""

    name: str
    file: PaperFile
    suites: tuple[str, ...]

    @property
    def link(self) -> str:
        """The address of the paper; empty if unknown."""
        return f"https://doi.org/{self.file.doi}" if self.file.doi else self.file.url or ""


def papers() -> list[str]:
    """Return the names of the papers."""
    return sorted(f.name for f in resources.files("throughtime.reports").iterdir() if (f / "targets.yaml").is_file())


def load_paper(name: str) -> Paper:
    """Read a paper's folder.

    Raises:
        UsageError: there is no such paper, or its file is invalid, or a function that it names does not exist.
    """
    if name not in papers():
        raise UsageError(f'no paper "{name}"', hint=suggestion(name, papers()))
    folder = resources.files("throughtime.reports") / name
    document = load(folder / "targets.yaml")
    file = checked(document, PaperFile)
    module = _module(folder, "exact")
    for number, target in enumerate(file.targets):
        if target.exact is not None and not hasattr(module, target.exact):
            where = document.position(("targets", number, "exact"))
            raise UsageError(f'exact.py has no function "{target.exact}"', where)
    suites = suites_of(name)
    for number, suite in enumerate(file.curves):
        if suite not in suites:
            raise UsageError(f'no suite "{suite}"', document.position(("curves", number)), suggestion(suite, suites))
    return Paper(name, file, suites)


def suites_of(name: str) -> tuple[str, ...]:
    """Return the names of the suites of a paper, without importing its functions."""
    folder = resources.files("throughtime.reports") / name / "suites"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir())) if folder.is_dir() else ()


def judge(paper: Paper, results: Results) -> list[Row]:
    """Return the verdicts of a paper from results."""
    folder = resources.files("throughtime.reports") / paper.name
    exact, claims = _module(folder, "exact"), _module(folder, "claims")
    return verdicts(paper.name, paper.file, vars(exact) if exact else {}, claims.CLAIMS if claims else (), results)


def draw_paper(name: str, results: Results, scale: str) -> dict[str, Drawn]:
    """Draw the figures of a paper from results at one scale, those for which the results have the necessary data."""
    module = _module(resources.files("throughtime.reports") / name, "figures")
    drawn = {figure: draw(results, scale) for figure, draw in module.FIGURES.items()} if module else {}
    return {figure: shown for figure, shown in drawn.items() if shown is not None}


def paper_of(suite: str) -> str | None:
    """Return the paper that a suite belongs to, if any."""
    return next((name for name in papers() if suite in suites_of(name)), None)


def _module(folder: Traversable, name: str) -> ModuleType | None:
    if not (folder / f"{name}.py").is_file():
        return None
    return importlib.import_module(f"throughtime.reports.{folder.name}.{name}")
