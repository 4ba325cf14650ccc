"""Problems of the UEA and UCR archives of time series, from their `.ts` files."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from throughtime.datasets import own_sequences
from throughtime.datasets.base import Split
from throughtime.datasets.own_sequences import LabelAt, OwnSequences, Sequences
from throughtime.errors import UsageError
from throughtime.registry import dataset


@dataset("ts")
class TimeSeriesArchive(OwnSequences):
    """A problem of the UEA, UCR or TSER archives: a folder with NAME_TRAIN.ts and NAME_TEST.ts.

    x_t contains the dimensions of the series at step t, without scaling. The target is the index of the class in the
    list of classes of TRAIN's header, or a number if the header has `@targetlabel true`. Shorter series are padded with
    zeros, and a tenth of train is the validation split: see `OwnSequences`.

    Args:
        path: the folder, or the TRAIN file in it if the folder contains several problems.
        label_at: step at which the class or number counts: `last`, the series' own last step; `end`, the last step of
            the longest series, after the padding; null: `last`.

    Raises:
        UsageError: at the first use: a file is missing, a line does not fit the header, or a value is missing.

    Source: Bagnall et al., arXiv:1811.00075 (2018), timeseriesclassification.com; Tan et al., arXiv:2006.12672 (2020).
    """

    readers = (own_sequences.__name__,)

    def __init__(self, *, path: str, label_at: LabelAt | None = None) -> None:
        super().__init__(path, label_at)

    @classmethod
    def tiny(cls) -> TimeSeriesArchive:
        """Return the dataset with 24 + 8 generated series of two dimensions and 5 to 9 steps, in two classes."""
        return cls(path="made").with_synthetic_files(made_problem)

    def raw(self) -> tuple[Sequence[Path], str]:
        files = sorted(self.path.glob("*_TRAIN.ts")) if self.path.is_dir() else [self.path]
        if len(files) > 1:
            names = ", ".join(path.name for path in files)
            raise UsageError("holds more than one problem", where=str(self.path), hint=f"name one of {names}")
        if not files or not files[0].name.endswith("_TRAIN.ts") or not files[0].is_file():
            raise UsageError("no file NAME_TRAIN.ts", where=str(self.path))
        train = files[0]
        test = train.with_name(train.name.removesuffix("_TRAIN.ts") + "_TEST.ts")
        if not test.is_file():
            raise UsageError("no such file", where=str(test))
        return [train, test], train.name.removesuffix("_TRAIN.ts")

    def parts(self, paths: Sequence[Path]) -> dict[Split, Sequences]:
        train, classes = read_ts(paths[0])
        return {"train": train, "test": read_ts(paths[1], classes)[0]}


def read_ts(path: Path, classes: Sequence[str] = ()) -> tuple[Sequences, Sequence[str]]:
    """Read a `.ts` file; return its sequences, and its classes in the order of their numbers.

    The file has a header of lines `@key value ...`, and after `@data` a line for each series: its dimensions, separated
    by colons, each with its values, separated by commas, and finally the class or the number. Lines that begin with #
    or % are comments, and in the header also the text after a # between spaces.

    Args:
        path: the file.
        classes: the classes of train, whose order numbers those of test; empty: the header's own order.

    Raises:
        UsageError: a line is invalid; the message names file and line.
    """
    header: dict[str, list[str]] = {}
    x, y, begun = [], [], False
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError("not a text file that can be read", where=str(path)) from error
    for number, line in enumerate(lines, start=1):
        line, where = line.strip(), f"{path}:{number}"
        if not line or line.startswith(("#", "%")):
            continue
        if begun:
            with np.errstate(over="ignore"):  # a number beyond float32 is infinite, and refused as such
                series, label = _series(line, header, classes, where)
            x.append(series)
            y.append(label)
        elif _uncommented(line).lower() == "@data":
            begun = True
            if _is_true(header, "timestamps"):
                raise UsageError("series with time stamps are not read", where=where)
            listed = header["classlabel"][1:] if _is_true(header, "classlabel") else []
            if classes and listed and {*listed} != {*classes}:
                what = f"the header lists the classes {', '.join(listed)}, but that of train {', '.join(classes)}"
                raise UsageError(what, where=str(path))
            classes = classes or listed
        elif line.startswith("@"):
            key, *values = _uncommented(line)[1:].split() or [""]
            header[key.lower()] = values
        else:
            raise UsageError("not a .ts file: a header line begins with @", where=where)
    if not begun:
        raise UsageError("truncated, or not a .ts file: no @data in it", where=str(path))
    return Sequences(x, y, str(path)), classes


def _series(
    line: str, header: dict[str, list[str]], classes: Sequence[str], where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return one series, [steps, dimensions] float32, and its target."""
    *dimensions, last = line.split(":")
    classified, numbered = _is_true(header, "classlabel"), _is_true(header, "targetlabel")
    if not classified and not numbered:
        raise UsageError("neither @classLabel nor @targetlabel in the header: nothing is asked", where=where)
    try:
        values = [[float(value.replace("?", "nan")) for value in dimension.split(",")] for dimension in dimensions]
        number = None if classified else float(last)
    except ValueError as error:
        raise UsageError(f"not a number: {error}", where=where) from error
    if any(math.isnan(value) for dimension in values for value in dimension):
        raise UsageError("a missing value", where, "fill it in: no rule here knows what to do at such a step")
    if len({len(dimension) for dimension in values}) != 1:
        raise UsageError(f"dimensions of {sorted({len(dimension) for dimension in values})} steps", where=where)
    for key, actual, what in (("dimensions", len(values), "dimensions"), ("serieslength", len(values[0]), "steps")):
        if header.get(key, [str(actual)]) != [str(actual)]:
            raise UsageError(f"{actual} {what} where the header says {' '.join(header[key])}", where=where)
    if classified:
        if last.strip() not in classes:
            raise UsageError(f'class "{last.strip()}", but the header lists {", ".join(classes)}', where=where)
        label = np.array(classes.index(last.strip()))
    else:
        label = np.array([number], np.float32)
    return np.array(values, np.float32).T, label


def _uncommented(line: str) -> str:
    """Return a header line without a comment at its end; a # within a word, such as a class, begins no comment."""
    return re.split(r"\s#\s", line, maxsplit=1)[0].rstrip()


def _is_true(header: dict[str, list[str]], key: str) -> bool:
    """Return whether the header has the value true for a key."""
    return [value.lower() for value in header.get(key, [])[:1]] == ["true"]


def made_problem(folder: Path) -> list[Path]:
    """Write the two files of a generated problem; return their paths."""
    random = np.random.RandomState(0)
    paths = [folder / "Made_TRAIN.ts", folder / "Made_TEST.ts"]
    for path, n in zip(paths, (24, 8), strict=True):
        lines = ["# made", "@problemName Made", "@timeStamps false", "@univariate false", "@dimensions 2"]
        lines += ["@equalLength false", "@classLabel true up down", "@data"]
        for i in range(n):
            rise = np.cumsum(random.random_sample((2, random.randint(5, 10))), axis=1) * (1 - 2 * (i % 2))
            series = ":".join(",".join(f"{value:.4f}" for value in row) for row in rise)
            lines.append(f"{series}:{('up', 'down')[i % 2]}")
        path.write_text("\n".join(lines) + "\n")
    return paths
