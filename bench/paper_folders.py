"""The folders of papers, by name: those of the package, of installed packages, and those that a user names.

A folder with a file `targets.yaml` is a paper. An installed package has one behind an entry point of the group
`throughtime.papers`, whose name is that of the paper and whose value is the module name of the folder. A user names one
with `--paper DIR`, or in the environment variable THROUGHTIME_PAPERS.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from throughtime.errors import UsageError, first_line, raised_at, refuse_unknown

if TYPE_CHECKING:
    from importlib.abc import Traversable

TARGETS = "targets.yaml"
PAPERS = "THROUGHTIME_PAPERS"
"""Environment variable with folders of papers, separated as those of PATH."""
PACKAGE_PREFIX = "throughtime_paper_"
"""Start of the package name of a folder that a user names."""


class PaperFolder(NamedTuple):
    """A folder with a file `targets.yaml`, and the package that its modules belong to."""

    name: str
    path: Traversable
    package: str

    def module(self, name: str) -> ModuleType | None:
        """Import a module of the folder; None if there is no such file.

        Raises:
            UsageError: the module raises an exception; the message names its line.
        """
        if not (self.path / f"{name}.py").is_file():
            return None
        with self.faults_named():
            return importlib.import_module(f"{self.package}.{name}")

    def attribute(self, module: str, name: str) -> Any:
        """Return what a module of the folder calls `name`; None if there is no such file.

        Raises:
            UsageError: the module raises an exception, or lacks the name.
        """
        imported = self.module(module)
        if imported is not None and not hasattr(imported, name):
            raise UsageError(f"the module has no {name}", where=str(self.path / f"{module}.py"))
        return getattr(imported, name, None)

    def suites(self) -> dict[str, Traversable]:
        """Return the files of the paper's suites by name."""
        return suites_in(self.path / "suites")

    @contextmanager
    def faults_named(self) -> Iterator[None]:
        """Context manager that turns an exception in a module of the folder into a UsageError with its line."""
        try:
            yield
        except UsageError:
            raise
        except Exception as error:
            modules = [str(file) for file in self.path.iterdir() if file.name.endswith(".py")]
            if (place := raised_at(error, *modules)) is None:
                raise
            raise UsageError(f"{type(error).__name__}: {first_line(error)}", place) from error


def suites_in(folder: Traversable) -> dict[str, Traversable]:
    """Return the YAML files of a folder by name without suffix; none without a folder."""
    files = folder.iterdir() if folder.is_dir() else ()
    return {file.name.removesuffix(".yaml"): file for file in files if file.name.endswith(".yaml")}


def add_papers(*folders: str | Path) -> None:
    """Add folders of papers; they are appended to THROUGHTIME_PAPERS in the environment.

    Raises:
        UsageError: a folder has no file `targets.yaml`, or another paper has its name.
    """
    for folder in folders:
        if not (Path(folder) / TARGETS).is_file():
            raise UsageError(f"the folder of a paper has a file {TARGETS}", where=str(folder))
    before = os.environ.get(PAPERS, "")
    os.environ[PAPERS] = os.pathsep.join(dict.fromkeys(str(Path(folder).resolve()) for folder in (*_named(), *folders)))
    try:
        paper_folders()
    except UsageError:
        os.environ[PAPERS] = before
        raise


def paper_folders() -> dict[str, PaperFolder]:
    """Return the folders of all papers by name, sorted.

    Raises:
        UsageError: two papers have the same name; the message gives the place of both.
    """
    shipped = [
        PaperFolder(folder.name, folder, f"throughtime.reports.{folder.name}")
        for folder in resources.files("throughtime.reports").iterdir()
        if (folder / TARGETS).is_file()
    ]
    folders: dict[str, PaperFolder] = {}
    for folder in (*shipped, *installed_papers(), *map(_named_folder, _named())):
        other = folders.setdefault(folder.name, folder)
        if other != folder:
            raise UsageError(f'two papers have the name "{folder.name}"', hint=f"{other.path} and {folder.path}")
    return dict(sorted(folders.items()))


def paper_folder(name: str) -> PaperFolder:
    """Return the folder of a paper.

    Raises:
        UsageError: no paper has that name.
    """
    folders = paper_folders()
    refuse_unknown("paper", name, folders)
    return folders[name]


def _named() -> list[Path]:
    return [Path(folder).resolve() for folder in os.environ.get(PAPERS, "").split(os.pathsep) if folder]


def _named_folder(path: Path) -> PaperFolder:
    """Return the paper of a path; its modules form a package, so that they can import each other."""
    if not (path / TARGETS).is_file():
        raise UsageError(f"{PAPERS}: the folder of a paper has a file {TARGETS}", str(path))
    package = f"{PACKAGE_PREFIX}{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if package not in sys.modules:
        spec = ModuleSpec(package, None, is_package=True)
        spec.submodule_search_locations = [str(path)]
        sys.modules[package] = importlib.util.module_from_spec(spec)
    return PaperFolder(path.name, path, package)


@cache  # reading the metadata of all packages takes 50 ms
def installed_papers() -> tuple[PaperFolder, ...]:
    """Return the papers of installed packages."""
    folders = []
    for point in entry_points(group="throughtime.papers"):
        owner = point.dist.name if point.dist else "an installed package"
        try:
            spec = importlib.util.find_spec(point.value)
        except Exception:  # the parent package is imported
            spec = None
        locations = map(Path, (spec and spec.submodule_search_locations) or ())
        if (location := next((path for path in locations if (path / TARGETS).is_file()), None)) is None:
            raise UsageError(
                f"the entry point {point.name} = {point.value} of {owner} is not a folder with a file {TARGETS}",
                hint="repair or uninstall that package",
            )
        folders.append(PaperFolder(point.name, location, point.value))
    return tuple(folders)
