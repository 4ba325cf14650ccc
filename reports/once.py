"""A decorator of functions of results, for values that several parts of a report need."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from throughtime.records.results import Results

Names = ParamSpec("Names")
Value = TypeVar("Value")


def once(compute: Callable[Concatenate[Results, Names], Value]) -> Callable[Concatenate[Results, Names], Value]:
    """Decorator of a function of results and names, which is called once with the same ones: results do not change.

    Callers share the value, and must not change it.
    """
    values: WeakKeyDictionary[Results, dict[object, Value]] = WeakKeyDictionary()

    @functools.wraps(compute)
    def remembered(results: Results, *names: Names.args, **named: Names.kwargs) -> Value:
        known = values.setdefault(results, {})
        key = (names, *sorted(named.items()))
        if key not in known:
            known[key] = compute(results, *names, **named)
        return known[key]

    return remembered
