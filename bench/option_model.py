"""The options of a factory as a strict model of pydantic, from the signature of the factory."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

import pydantic

from throughtime.errors import UsageError, first_line


def option_model(factory: Callable[..., Any], name: str) -> type[pydantic.BaseModel]:
    """Return a strict model of a factory's keyword-only parameters: types, bounds and defaults.

    Args:
        factory: the class or function.
        name: the component's name, for messages.

    Raises:
        UsageError: the type of an option is not imported, is no type, or is one that pydantic cannot check.
    """
    function = factory.__init__ if inspect.isclass(factory) else factory
    parameters = inspect.signature(factory).parameters
    keywords = {option: p for option, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    # Annotations of other parameters may use names that are imported under TYPE_CHECKING only: they are not read.
    written = {option: kind for option, kind in getattr(function, "__annotations__", {}).items() if option in keywords}
    try:
        hints = typing.get_type_hints(
            types.SimpleNamespace(__annotations__=written),
            globalns=getattr(function, "__globals__", {}),
            include_extras=True,
        )
    except NameError as error:
        what = f"{name}: the type of an option is not imported: {error}"
        raise UsageError(what, hint="import it at run time") from error
    except Exception as error:
        raise UsageError(f"{name}: the type of an option is wrong: {first_line(error)}") from error
    fields: dict[str, Any] = {
        option: (hints.get(option, Any), ... if p.default is p.empty else p.default) for option, p in keywords.items()
    }
    config = pydantic.ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,  # neither is JSON: a record could not keep them
        protected_namespaces=(),
    )
    try:
        return pydantic.create_model(f"{name}_options", __config__=config, **fields)
    except pydantic.errors.PydanticUserError as error:
        what = f"{name}: pydantic cannot check the type of an option: {first_line(error)}"
        raise UsageError(what, hint="options are numbers, text, lists and dicts") from error
