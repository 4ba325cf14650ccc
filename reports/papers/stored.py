"""Values that take long to compute, stored in `computed.json` beside the module with the commit of the computation.

`stored` marks a function whose values the file holds. Inside `reading()`, in which verdicts are judged, a marked
function returns its stored value; inside `computing()` and everywhere else it computes. `verdicts --compute`
computes all values again, and says which differ.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from throughtime.errors import UsageError
from throughtime.records.provenance import git_state
from throughtime.whole_files import write_whole

FILE = "computed.json"
SAME = 1e-6
"""Largest relative difference of two values that count as equal: other processors round differently."""
Value = float | tuple[float, ...]
Function = TypeVar("Function", bound=Callable[..., Any])


class RecomputedValue(NamedTuple):
    """A value that was computed again, beside the stored one."""

    file: Path
    name: str
    """The call, such as `evidence_accumulation(2)`."""
    computed: Value
    stored: Value | None
    commit: str
    """At which the stored value was computed; empty without one."""

    @property
    def differs(self) -> bool:
        """Return whether the values differ by more than rounding; True without a stored value."""
        if self.stored is None:
            return True
        new, old = _numbers(self.computed), _numbers(self.stored)
        return len(new) != len(old) or not np.allclose(new, old, rtol=SAME, atol=1e-12, equal_nan=True)

    def __str__(self) -> str:
        if self.stored is None:
            return f"{self.name}: {self.computed}, not stored"
        return f"{self.name}: {self.computed}, stored {self.stored} at {self.commit}"


_read: ContextVar[list[str] | None] = ContextVar("read", default=None)
"""Commits of the stored values that were read; None while they are not read."""
_compared: ContextVar[list[RecomputedValue] | None] = ContextVar("compared", default=None)


def stored(function: Function) -> Function:
    """Mark a function of strings and numbers that returns a number or a tuple of numbers; see the module."""
    signature = inspect.signature(function)
    file = Path(inspect.getfile(inspect.unwrap(function))).parent / FILE

    @wraps(function)
    def read_or_compute(*args: Any, **options: Any) -> Any:
        call = signature.bind(*args, **options)
        call.apply_defaults()
        name = f"{function.__name__}({', '.join(map(repr, call.arguments.values()))})"
        entry = _entries(file).get(name)
        commits, comparisons = _read.get(), _compared.get()
        if commits is not None and entry is not None:
            commits.append(entry["commit"])
            return _value(entry["value"])
        value = function(*args, **options)
        if comparisons is not None:
            before = (None, "") if entry is None else (_value(entry["value"]), entry["commit"])
            comparisons.append(RecomputedValue(file, name, value, *before))
        return value

    return read_or_compute  # type: ignore[return-value]


def read_commits() -> list[str]:
    """Return the commits of the stored values that were read since the last call, each once."""
    commits = _read.get() or []
    read = [*dict.fromkeys(commits)]
    commits.clear()
    return read


@contextmanager
def reading() -> Iterator[None]:
    """Context in which marked functions return stored values; `read_commits` says of which commits."""
    token = _read.set([])
    try:
        yield
    finally:
        _read.reset(token)


@contextmanager
def computing() -> Iterator[list[RecomputedValue]]:
    """Context in which marked functions compute; yields the list of the values beside the stored ones."""
    comparisons: list[RecomputedValue] = []
    tokens = _read.set(None), _compared.set(comparisons)
    try:
        yield comparisons
    finally:
        _read.reset(tokens[0])
        _compared.reset(tokens[1])


def store(comparisons: list[RecomputedValue]) -> None:
    """Write the computed values that differ from the stored ones, or have none, with the current commit.

    Raises:
        UsageError: files of the checkout have changes that are not committed, so that the commit would be wrong.
    """
    state = git_state()
    if not state["commit"] or state["changed"]:
        raise UsageError("values are stored with their commit: commit all changes first", "--store")
    for file in dict.fromkeys(comparison.file for comparison in comparisons):
        new = {c.name: c for c in comparisons if c.file == file and c.differs}
        entries = _entries(file) | {
            name: {"value": comparison.computed, "commit": state["commit"][:7]} for name, comparison in new.items()
        }
        lines = (f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(entries[name])}" for name in sorted(entries))
        write_whole(file, "{\n" + ",\n".join(lines) + "\n}\n")


def _entries(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _value(value: Any) -> Value:
    return tuple(value) if isinstance(value, list) else value


def _numbers(value: Value) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)
