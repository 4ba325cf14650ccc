"""Registries and plugin files."""

import importlib.metadata
import sys
from typing import TYPE_CHECKING, Literal

import pydantic
import pytest
from pydantic import PositiveInt

from throughtime import registry as registry_module
from throughtime.errors import SUGGESTED, UsageError, suggestion
from throughtime.registry import ALGORITHMS, DATASETS, NETWORKS, NEURONS, Registry, load_plugin

if TYPE_CHECKING:
    from somewhere import Task


@pytest.fixture(autouse=True)
def empty():
    """Empty registries that import nothing; afterwards they, and the modules, are as before."""
    with registry_module.isolated(empty=True):
        yield


@pytest.fixture
def plugin(tmp_path):
    """Write a plugin file."""

    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


THREE = '''\
from throughtime import algorithm, dataset, neuron

@algorithm("patience")
class Patience:
    """Waits.

    And waits.
    """
    def __init__(self, *, steps: int = 3): ...

@neuron("leaky")
class Leaky: ...

@dataset("noise")
def noise(*, steps: int = 10): ...
'''


def test_a_plugin_file_registers_its_components(plugin):
    path = plugin(THREE)
    load_plugin(path)
    assert (ALGORITHMS.names(), NEURONS.names(), DATASETS.names(), NETWORKS.names()) == (
        ["patience"],
        ["leaky"],
        ["noise"],
        [],
    )
    rule = ALGORITHMS["patience"]
    assert (rule.kind, rule.name, rule.origin, rule.summary) == ("rules", "patience", str(path), "Waits.")
    assert rule.place.startswith(f"{path}:")
    assert NEURONS["leaky"].summary == "no docstring"
    assert rule.checked({}) == {"steps": 3}
    assert DATASETS["noise"].checked({"steps": 4}) == {"steps": 4}


def test_loading_twice_does_nothing(plugin):
    path = plugin(THREE)
    load_plugin(path)
    first = ALGORITHMS["patience"].factory
    load_plugin(str(path))
    assert ALGORITHMS["patience"].factory is first


@pytest.mark.parametrize(
    ("decorator", "said"),
    [
        ("@algorithm", '@algorithm("name")'),
        ("@algorithm(5)", '@algorithm("name")'),
        ('@algorithm("mine", order="3")', "the order is a whole number"),
        ('@algorithm("mine", colour="tab:brwn")', '"tab:brwn" is not a colour'),
    ],
)
def test_a_decorator_with_wrong_arguments_is_refused(plugin, decorator, said):
    with pytest.raises(UsageError) as caught:
        load_plugin(plugin(f"from throughtime import algorithm\n\n{decorator}\nclass Mine: ...\n"))
    assert said in str(caught.value) and not ALGORITHMS.names()


def test_one_name_twice_names_both_places_and_keeps_the_first(plugin):
    first, second = plugin(THREE), plugin("\n\n" + THREE.replace('"leaky"', '"other"'), "second.py")
    load_plugin(first)
    with pytest.raises(UsageError) as caught:
        load_plugin(second)
    assert caught.value.what == 'rules: the name "patience" is registered twice'
    kept, refused = caught.value.hint.removeprefix("first at ").split(", again at ")
    assert kept.rpartition(":")[0] == str(first)
    assert refused.rpartition(":")[0] == str(second)
    assert int(refused.rpartition(":")[2]) == int(kept.rpartition(":")[2]) + 2
    assert NEURONS.names() == ["leaky"]


def test_an_unknown_name_is_answered_with_the_nearest(plugin):
    load_plugin(plugin(THREE))
    with pytest.raises(UsageError, match='no "patiense" among the rules\n  did you mean "patience"'):
        ALGORITHMS["patiense"]
    with pytest.raises(UsageError, match='no "x" among the networks\n  there is none'):
        NETWORKS["x"]


def test_a_plugin_that_raises_names_its_line_and_leaves_nothing(plugin):
    path = plugin(THREE + "\n\ndef inner():\n    return 1 / 0\n\ninner()\n")
    for _ in range(2):  # the second time it is not taken for loaded, nor its names for taken
        with pytest.raises(UsageError) as caught:
            load_plugin(path)
        line = THREE.count("\n") + 4
        assert caught.value.where == f"{path}:{line}"
        assert caught.value.what == "the plugin raised ZeroDivisionError on import: division by zero"
        assert ALGORITHMS.names() == NEURONS.names() == []


def test_a_syntax_error_names_its_line(plugin):
    path = plugin("x = 1\ny = = 2\n")
    with pytest.raises(UsageError, match="the plugin raised SyntaxError on import") as caught:
        load_plugin(path)
    assert caught.value.where == f"{path}:2"


def test_a_plugin_that_leaves_is_told_and_an_interrupt_goes_through(plugin):
    with pytest.raises(UsageError, match="the plugin raised SystemExit on import: 3"):
        load_plugin(plugin("import sys\nsys.exit(3)\n"))
    with pytest.raises(KeyboardInterrupt):
        load_plugin(plugin("raise KeyboardInterrupt\n", "interrupted.py"))


def test_a_missing_plugin_and_one_that_is_no_python_file(plugin, tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.py: no such plugin file"):
        load_plugin(tmp_path / "nowhere.py")
    with pytest.raises(UsageError, match=r"notes\.txt: a plugin is a Python file"):
        load_plugin(plugin("hello", "notes.txt"))


def test_two_plugins_of_one_file_name_are_two(plugin, tmp_path):
    (tmp_path / "a").mkdir()
    load_plugin(plugin(THREE))
    load_plugin(plugin('from throughtime import network\n\n@network("chain")\nclass Chain: ...\n', "a/mine.py"))
    assert NETWORKS["chain"].origin == str(tmp_path / "a" / "mine.py")


def test_components_and_plugins_of_an_isolated_block_are_gone_after_it(plugin):
    path = plugin(THREE)
    for _ in range(2):  # the second time the plugin is imported again
        with registry_module.isolated():
            load_plugin(path)
            assert ALGORITHMS.names() == ["patience"]
        assert ALGORITHMS.names() == NEURONS.names() == DATASETS.names() == []


def test_one_registry_is_isolated_and_an_error_changes_nothing():
    first = Registry("x")
    first._loaded = True
    first.register("kept")(Full)
    with pytest.raises(RuntimeError), first.isolated(empty=True):
        assert first.names() == []
        first.register("gone")(Full)
        raise RuntimeError
    assert first.names() == ["kept"]


# Options


class Full:
    def __init__(
        self,
        task: "Task",
        size,
        *,
        width: PositiveInt = 4,
        shape: tuple[PositiveInt, ...] = (64,),
        sizes: list[int] = (1, 2),
        rate: float = 1,
        mode: Literal["a", "b"] = "a",
        model_name: str = "x",
    ) -> None: ...


@pytest.fixture
def full():
    registry = Registry("rules", "algorithms")
    registry._loaded = True
    registry.register("full")(Full)
    return registry["full"]


def test_options_are_the_keyword_only_parameters_with_defaults(full):
    assert full.checked({}) == {
        "width": 4,
        "shape": [64],
        "sizes": [1, 2],
        "rate": 1.0,
        "mode": "a",
        "model_name": "x",
    }


def test_a_default_given_explicitly_is_the_same_run(full):
    assert full.checked({"rate": 1, "shape": [64]}) == full.checked({})
    assert isinstance(full.checked({})["rate"], float)


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0},
        {"width": True},
        {"width": 2.0},
        {"width": "4"},
        {"rate": "1e-3"},
        {"rate": float("inf")},
        {"rate": float("nan")},
        {"shape": [0]},
        {"shape": 3},
        {"mode": "c"},
        {"mode": None},
        {"size": 3},
        {"widht": 3},
    ],
)
def test_wrong_options_are_refused(full, options):
    with pytest.raises(pydantic.ValidationError):
        full.checked(options)


def test_an_option_without_a_default_must_be_given():
    registry = Registry("neurons")
    registry._loaded = True

    @registry.register("needy")
    def needy(size, *, tau: float): ...

    assert registry["needy"].checked({"tau": 2.0}) == {"tau": 2.0}
    with pytest.raises(pydantic.ValidationError, match="Field required"):
        registry["needy"].checked({})


def test_a_class_without_a_constructor_has_no_options():
    registry = Registry("neurons")
    registry._loaded = True
    registry.register("bare")(type("Bare", (), {}))
    assert registry["bare"].checked({}) == {}


def test_an_option_whose_type_is_not_imported_is_told_with_its_place(plugin):
    load_plugin(
        plugin(
            "from __future__ import annotations\nfrom throughtime import neuron\n\n"
            '@neuron("late")\ndef late(size, *, tau: Missing = 1): ...\n'
        )
    )
    with pytest.raises(UsageError, match=r"mine\.py:4: late: the type of an option is not imported: name 'Missing'"):
        NEURONS["late"].checked({})


@pytest.mark.parametrize(
    "option, said",
    [
        ("act: object | None = None, other: slice = slice(3)", "no JSON|cannot check"),
        ('k: "int |" = 1', "the type of an option is wrong: "),
        ("dtype=len", "an option or its default is no JSON"),
    ],
)
def test_an_option_that_a_suite_cannot_give_is_refused_with_its_place(option, said, plugin):
    load_plugin(plugin(f'from throughtime import neuron\n\n@neuron("odd")\ndef odd(size, *, {option}): ...\n'))
    with pytest.raises(UsageError, match=said) as caught:
        NEURONS["odd"].checked({})
    assert str(caught.value.where).endswith("mine.py:3")


def test_a_component_without_a_file_is_placed_by_its_name():
    registry = Registry("neurons")
    registry.register("one")(Full)
    with pytest.raises(UsageError, match=r"again at nowhere\.Made$"):
        registry.register("one")(type("Made", (), {"__module__": "nowhere"}))


# Loading the package


def test_an_entry_point_that_raises_is_named(monkeypatch):
    point = importlib.metadata.EntryPoint("x", "no_such_package_of_mine.rules", "throughtime.algorithms")
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [point])
    monkeypatch.setattr(importlib.import_module("throughtime.algorithms"), "__path__", [])  # its files import torch
    registry = Registry("rules", "algorithms")
    for _ in range(2):  # half a registry is not taken for a whole one
        with pytest.raises(UsageError, match=r"the entry point no_such_package_of_mine\.rules of an installed package"):
            registry.names()


def test_displays_read_the_metadata_of_the_packages_once(monkeypatch):
    asked = []
    monkeypatch.setattr(registry_module, "entry_points", lambda group: asked.append(group) or [])
    registry = Registry("neurons")
    assert registry.displays() == registry.displays() and asked == ["throughtime.neurons"]


def test_an_entry_point_registers_its_component(monkeypatch, tmp_path):
    (tmp_path / "my_rules_package.py").write_text(
        "from throughtime import algorithm\n\n@algorithm('r')\ndef r(): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("r", "my_rules_package", "throughtime.algorithms")
    monkeypatch.setattr(ALGORITHMS, "_entry_points", (point,))
    monkeypatch.setattr(importlib.import_module("throughtime.algorithms"), "__path__", [])
    monkeypatch.setattr(ALGORITHMS, "_loaded", False)
    assert ALGORITHMS.names() == ["r"]
    assert ALGORITHMS["r"].origin == "my_rules_package"
    del sys.modules["my_rules_package"]


def test_the_decorator_gives_back_what_it_was_given():
    assert Registry("neurons").register("f")(Full) is Full


@pytest.mark.parametrize(
    "statement, new",
    [
        ("from throughtime.algorithms.rtrl import RTRL", "throughtime.algorithms.influence.rtrl"),
        ("import throughtime.suite", "throughtime.suites.suite"),
        ("from throughtime.harness.training import evaluate", "throughtime.harness.batches"),
    ],
)
def test_an_import_of_a_renamed_module_names_the_new_one(statement, new, tmp_path):
    (tmp_path / "old.py").write_text(f"import math\n{statement}\n")
    with pytest.raises(UsageError, match=r"the plugin raised (ModuleNotFound|Import)Error on import") as caught:
        load_plugin(tmp_path / "old.py")
    assert caught.value.where == f"{tmp_path / 'old.py'}:2"
    old = statement.split()[1]
    assert caught.value.hint == f"{old} was moved after version 0.1.0: import {new}"


def test_a_suggestion_lists_no_more_names_than_a_screen_shows():
    names = [f"name{i:03}" for i in range(100)]
    assert suggestion("q", names[:3]) == "there is: name000, name001, name002"
    assert suggestion("q", names).endswith(f"name{SUGGESTED - 1:03}, and {100 - SUGGESTED} more")
