"""Planted faults: the lists in the YAML files of this folder, read and applied.

A file has one entry for each source file. An entry names the checks and tests that must notice its faults, and each
fault replaces one piece of text, which occurs exactly once in the source file:

    - file: bench/harness/seeds.py
      noticed_by: [check harness -k stream, tests/harness/test_training.py -k replicates]
      mutants:
        - {plants: every replicate has the same numbers, old: "{purpose}/{replicate}", new: "{purpose}/0"}
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


class Mutant(NamedTuple):
    """One planted fault."""

    file: str
    """The source file, relative to the checkout."""
    plants: str
    """The fault, in words."""
    old: str
    new: str
    noticed_by: tuple[str, ...]
    """What must notice it, one after the other until one does: `check NAME` or `tests/FILE.py`, with `-k` and a part of
    the names of facts or tests where not all of them are needed. `check A B` notices it if both components do."""

    def __str__(self) -> str:
        return f"{self.file}: {self.plants}"

    def applied(self, source: str) -> str:
        """Return the source with the fault.

        Raises:
            ValueError: the text to replace does not occur exactly once.
        """
        if (n := source.count(self.old)) != 1:
            raise ValueError(f"{self}: {self.old!r} occurs {n} times in the file")
        return source.replace(self.old, self.new)


def read(folder: Path = FOLDER, words: Sequence[str] = ()) -> list[Mutant]:
    """Return the mutants of all lists of a folder; with `words`, those whose list, file or fault has one of them."""
    return [
        mutant
        for path in sorted(folder.glob("*.yaml"))
        for mutant in _mutants_in(path)
        if not words or any(word in f"{path.stem} {mutant}" for word in words)
    ]


def _mutants_in(path: Path) -> Iterator[Mutant]:
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        for fault in entry["mutants"]:
            noticed_by = fault.get("noticed_by", entry["noticed_by"])
            yield Mutant(entry["file"], fault["plants"], fault["old"], fault["new"], tuple(noticed_by))


def words_of(noticer: str) -> tuple[bool, list[str], str]:
    """Return whether a noticer is a check, its components or test files, and the text after `-k`, or an empty one."""
    words = shlex.split(noticer)
    only = words.pop() if "-k" in words else ""
    names = [word for word in words if word != "-k"]
    return (True, names[1:], only) if names[0] == "check" else (False, names, only)


def each_alone(noticer: str) -> list[str]:
    """Return a check of several components as one check for each, and any other noticer as it is."""
    is_check, names, only = words_of(noticer)
    return [shlex.join(["check", name, *(["-k", only] if only else [])]) for name in names] if is_check else [noticer]
