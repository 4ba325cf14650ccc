"""The four registries of components: name, origin and options of each rule, neuron, network and dataset.

A decorator registers a component. It comes from a file in its folder of the package, from an entry point of an
installed package (group `throughtime.algorithms`, ...), or from a file named with `--plugin`. This module does not
import torch: a registry imports its folder at the first access.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from throughtime.display import Display, checked, checked_name, declared, declared_modules
from throughtime.errors import UsageError, first_line, raised_at, suggestion
from throughtime.option_model import option_model
from throughtime.python_files import import_file, module_name
from throughtime.renamed import replacement

Factory = TypeVar("Factory", bound=Callable[..., Any])
PLUGIN_PREFIX = "throughtime_plugin_"
"""Start of the module names of plugin files in `sys.modules`."""


@dataclass(frozen=True)
class Component:
    """A registered class or function: `factory(..., **options)` builds the object."""

    kind: str
    name: str
    factory: Callable[..., Any]
    origin: str
    """`throughtime`, the top-level package of an entry point, or the path of a plugin."""
    display: Display

    @property
    def place(self) -> str:
        """`file:line` of the definition; module and name if it has no file (an interactive session)."""
        try:
            return f"{inspect.getsourcefile(self.factory)}:{inspect.getsourcelines(self.factory)[1]}"
        except (OSError, TypeError):
            return f"{self.factory.__module__}.{self.factory.__qualname__}"

    @property
    def summary(self) -> str:
        """First line of the factory's docstring."""
        return (inspect.getdoc(self.factory) or "no docstring").splitlines()[0]

    @cached_property
    def options(self) -> type[pydantic.BaseModel]:
        """Strict model of the factory's keyword-only parameters: types, bounds and defaults."""
        try:
            return option_model(self.factory, self.name)
        except UsageError as error:
            raise UsageError(error.what, self.place, error.hint) from error

    @property
    def required(self) -> list[str]:
        """Return the names of the options without a default."""
        return [name for name, option in self.options.model_fields.items() if option.is_required()]

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, defaults included, as JSON gives them back, because a run's spec is JSON.

        Raises:
            pydantic.ValidationError: an option is unknown, invalid or missing.
        """
        # Defaults are validated too, so that a default 1 and a user's 1.0, or (64,) and [64], give the same run.
        defaults = {name: o.default for name, o in self.options.model_fields.items() if not o.is_required()}
        try:
            text = json.dumps({**defaults, **options})
        except (TypeError, ValueError) as error:
            what = f"{self.name}: an option or its default is no JSON: {first_line(error)}"
            raise UsageError(what, self.place) from error
        return self.options.model_validate_json(text).model_dump(mode="json")


class Registry:
    """Components of one kind (`rules`, `neurons`, `networks` or `datasets`) by name.

    The registration of a class that has a class method `on_registration` calls it.

    Args:
        kind: as messages name it.
        folder: package of the components, and group of their entry points; None: named as the kind.
    """

    def __init__(self, kind: str, folder: str | None = None) -> None:
        self.kind = kind
        self.folder = folder or kind
        self.decorator = self.folder.removesuffix("s")
        self._components: dict[str, Component] = {}
        self._loaded = False

    def register(
        self, name: str, *, order: int | None = None, title: str | None = None, colour: str | None = None
    ) -> Callable[[Factory], Factory]:
        """Return a decorator that registers a class or function under `name`.

        Args:
            name: of the component in suites and on the command line.
            order: position in tables and figures; None: after the components that have one.
            title: display name; None: `name`.
            colour: of its lines in figures, in matplotlib's notation (`"tab:red"`); None: the palette's next colour.

        Raises:
            UsageError: another component has the name (the message gives both places), or an argument is wrong.

        Example:
            >>> @tt.algorithm("my_bptt")
            ... class MyBPTT(type(tt.build_rule("bptt"))): ...
        """
        name = checked_name(name, self.decorator)

        def add(factory: Factory) -> Factory:
            family = factory.__module__.split(".")[-2] if _origin(factory) == "throughtime" else ""
            display = checked(Display(name, order, title, colour, family), self.decorator)
            component = Component(self.kind, name, factory, _origin(factory), display)
            other = self._components.get(name)
            if other is not None and other.factory is not factory:
                raise UsageError(
                    f'{self.kind}: the name "{name}" is registered twice',
                    hint=f"first at {other.place}, again at {component.place}",
                )
            self._components[name] = component
            if on_registration := getattr(factory, "on_registration", None):
                on_registration()
            return factory

        return add

    def names(self) -> list[str]:
        """Sorted names of all components."""
        self._load()
        return sorted(self._components)

    def __getitem__(self, name: str) -> Component:
        """Return the component `name`; UsageError with the nearest name if there is none."""
        self._load()
        if name not in self._components:
            raise UsageError(f'no "{name}" among the {self.kind}', hint=suggestion(name, self._components))
        return self._components[name]

    @contextmanager
    def isolated(self, *, empty: bool = False) -> Iterator[None]:
        """Context manager that removes on exit the components registered inside it.

        Args:
            empty: start without components.
        """
        self._load()  # first: a module that is imported inside for the first time would lose its components
        components, loaded = self._components, self._loaded
        self._components, self._loaded = {} if empty else dict(components), True
        try:
            yield
        finally:
            self._components, self._loaded = components, loaded

    def displays(self) -> dict[str, Display]:
        """Return the displays of all components by name, without importing those of the package."""
        in_source = not self._loaded and not self._entry_points
        if not in_source:
            self._load()
        displays = {name: component.display for name, component in self._components.items()}
        return self._declared | displays if in_source else displays

    @cached_property
    def _declared(self) -> dict[str, Display]:
        return {display.name: display for folder in self.folders for display in declared(folder, self.decorator)}

    def module_of(self, name: str) -> str:
        """Return the name of the module of a component, without importing one of the package; UsageError if none."""
        if not self._loaded and not self._entry_points:
            for folder in self.folders:
                if module := declared_modules(folder, self.decorator).get(name):
                    return f"throughtime.{self.folder}.{module}"
        return self[name].factory.__module__

    @cached_property
    def folders(self) -> list[Path]:
        """The folders of the package of this kind."""
        package = importlib.util.find_spec(f"throughtime.{self.folder}")
        return [Path(folder) for folder in (package and package.submodule_search_locations) or ()]

    @cached_property
    def _entry_points(self) -> tuple[EntryPoint, ...]:
        """Those of installed packages; the answer takes 50 ms, because it reads the metadata of all packages, and a
        report asks for each label."""
        return tuple(entry_points(group=f"throughtime.{self.folder}"))

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True  # set first: a module of the folder may use this registry while it is imported
        try:
            package = importlib.import_module(f"throughtime.{self.folder}")
            for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)
            for point in self._entry_points:
                _load_entry_point(point)
        except BaseException:
            self._loaded = False  # a registry that is loaded in part must not count as complete
            raise


ALGORITHMS = Registry("rules", "algorithms")
NEURONS, NETWORKS, DATASETS = map(Registry, ("neurons", "networks", "datasets"))
REGISTRIES = {registry.kind: registry for registry in (ALGORITHMS, NEURONS, NETWORKS, DATASETS)}
KINDS = {"rule": ALGORITHMS, "neuron": NEURONS, "network": NETWORKS, "dataset": DATASETS}
"""Registry by the key that names a component in suites and specs."""

algorithm = ALGORITHMS.register
neuron = NEURONS.register
network = NETWORKS.register
dataset = DATASETS.register


def or_default(value: Any, default: Any) -> Any:
    """Return the value of an option, or the default if it is null."""
    return default if value is None else value


def refuse_unused(needs: str, met: bool, **options: Any) -> None:
    """Refuse options that a user set and that would have no effect.

    Args:
        needs: the setting on which the options depend, as a suite writes it.
        met: whether the suite has that setting.
        **options: name and value; null where the user did not set the option.

    Raises:
        ValueError: an option is set without effect; the message is one line for the author of the suite.
    """
    unused = [name for name, value in options.items() if value is not None]
    if unused and not met:
        raise ValueError(f"{', '.join(unused)} would do nothing without {needs}")


def refuse_reversed(low: str, low_value: float, high: str, high_value: float) -> None:
    """Refuse the bounds of a range if the lower one exceeds the upper one.

    Args:
        low, low_value: name and value of the option for the lower bound.
        high, high_value: the same for the upper bound.

    Raises:
        ValueError: they are reversed; the message is one line for the author of the suite.
    """
    if low_value > high_value:
        raise ValueError(f"{low} is {low_value:g}; it must not exceed {high}, {high_value:g}")


@contextmanager
def isolated(*, empty: bool = False) -> Iterator[None]:
    """Context manager: `Registry.isolated` for all registries; plugins loaded inside can be loaded again afterwards."""
    modules = _plugin_modules()
    with ExitStack() as stack:
        for registry in REGISTRIES.values():
            stack.enter_context(registry.isolated(empty=empty))
        try:
            yield
        finally:
            for name in _plugin_modules() - modules:
                del sys.modules[name]


def _plugin_modules() -> set[str]:
    return {name for name in sys.modules if name.startswith(PLUGIN_PREFIX)}


def load_plugin(path: str | Path) -> None:
    """Import a Python file whose decorators register components. A second call for the same file has no effect.

    Raises:
        UsageError: the file does not exist, or raises an exception on import.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise UsageError("no such plugin file", where=str(path))
    name = module_name(PLUGIN_PREFIX, path)
    if name in sys.modules:
        return
    for registry in REGISTRIES.values():
        registry._load()  # first, so that the error about a name registered twice names the plugin and not the package
    if path.suffix != ".py":
        raise UsageError("a plugin is a Python file (.py)", where=str(path))
    before = {kind: dict(registry._components) for kind, registry in REGISTRIES.items()}
    try:
        import_file(path, name)
    except BaseException as error:
        for kind, registry in REGISTRIES.items():
            registry._components = before[kind]  # a plugin that fails registers nothing
        if isinstance(error, UsageError | KeyboardInterrupt):
            raise
        raise UsageError(
            f"the plugin raised {type(error).__name__} on import: {first_line(error)}",
            where=raised_at(error, path) or str(path),
            hint=replacement(error),
        ) from error


def _load_entry_point(point: EntryPoint) -> None:
    try:
        point.load()
    except UsageError:
        raise
    except Exception as error:
        owner = point.dist.name if point.dist else "an installed package"
        raise UsageError(
            f"the entry point {point.value} of {owner} raised {type(error).__name__}: {first_line(error)}",
            hint=replacement(error) or "repair or uninstall that package",
        ) from error


def _origin(factory: Callable[..., Any]) -> str:
    package = factory.__module__.partition(".")[0]
    if package == "throughtime":
        return "throughtime"
    if package.startswith(PLUGIN_PREFIX):
        return str(inspect.getsourcefile(factory))
    return package
