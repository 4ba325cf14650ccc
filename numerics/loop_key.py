"""The key of the machine code of a compiled loop on disk.

The compiler's own key covers the bytecode of one function, but neither the functions that it calls nor the constants
that it reads. This key covers both, at any depth, as they are in memory; a file that is edited after its import cannot
store old code under the key of the new code.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

import numpy as np


def key_of(function: Callable[..., Any], *how: object) -> str:
    """Return 16 hexadecimal digits for a function, everything that it reaches by name, and the compiler's options.

    The key covers functions, compiled loops and constants among the global names of the function and in its closure,
    and the fields of NamedTuples that annotate its parameters, since machine code reads a field by its position. It
    does not cover modules, other classes and their attributes: loops call others by global names.

    Args:
        function: the function.
        how: options of the compiler, by their representations.
    """
    digest = hashlib.sha256(repr(how).encode())
    for text in _texts(function, set()):
        digest.update(text.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _texts(function: Callable[..., Any], seen: set[int]) -> Iterator[str]:
    plain = inspect.unwrap(function)
    if not isinstance(plain, FunctionType) or id(plain) in seen:
        return
    seen.add(id(plain))
    names: list[str] = []
    yield from _code_texts(plain.__code__, names)
    enclosed = (cell.cell_contents for cell in plain.__closure__ or ())
    for value in (*(plain.__globals__[name] for name in names if name in plain.__globals__), *enclosed):
        yield from _value_texts(value, seen)
    for annotation in plain.__annotations__.values():
        yield from _field_texts(annotation, plain.__globals__)


def _field_texts(annotation: Any, names: dict[str, Any]) -> Iterator[str]:
    """Yield the fields of the NamedTuples that an annotation names, and the same for the NamedTuples among them."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__forward_arg__", None)
    for kind in [annotation] if text is None else map(names.get, re.findall(r"\w+", text)):
        if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
            yield f"{kind.__qualname__} {kind._fields}"
            for field_annotation in kind.__annotations__.values():
                yield from _field_texts(field_annotation, vars(sys.modules[kind.__module__]))


def _code_texts(code: CodeType, names: list[str]) -> Iterator[str]:
    """Yield bytecode, names and constants, including those of nested functions; append the names to `names`."""
    names += (name for name in code.co_names if name not in names)
    yield f"{code.co_code.hex()} {code.co_names} {code.co_varnames}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_texts(constant, names)
        else:
            yield repr(constant)


def _value_texts(value: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    elif isinstance(value, bool | int | float | complex | str | tuple | dict | np.generic):
        yield repr(value)
    elif callable(value):
        yield from _texts(value, seen)
