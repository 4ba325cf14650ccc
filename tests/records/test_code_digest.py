"""The digest changes with the code and with nothing else."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from throughtime import source_digest as digests
from throughtime.errors import UsageError
from throughtime.records.code_digest import ROOMS, module_digest

RULE = '''\
"""A rule."""
from throughtime.neurons.surrogate import triangle

class Rule:
    """Waits."""

    tau: float = 20.0
    """Steps."""

    def learn(self, x):
        """One window."""
        return triangle(x) * 2
'''


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Give modules by their text; the digest finds these and no others."""
    count = iter(range(100))

    def give(**texts):
        folder = tmp_path / str(next(count))  # another folder each time: a file is read once a process
        folder.mkdir()
        paths = {}
        for name, text in texts.items():
            module = "throughtime." + name.replace("__", ".").strip(".") if "__" in name else name
            paths[module] = folder / f"{name}.py"
            paths[module].write_text(text, encoding="utf-8")
        monkeypatch.setattr(digests, "_source_file", paths.get)
        module_digest.cache_clear()  # as in a process of its own

    return give


def digest(sources, rule=RULE, surrogate="def triangle(x):\n    return 0.3 * x\n", **others):
    sources(mine=rule, neurons__surrogate=surrogate, **others)
    return module_digest("mine")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A rule."""', '"""Another text."""'),
        ('"""A rule."""\n', ""),
        ('    """Waits."""\n', "    # Waits.\n"),
        ('    """Steps."""\n', ""),
        ('"""One window."""', '"""One\n        window."""'),
        ("* 2", "*  (2)  # twice"),
        ("class Rule", "\n\n\nclass Rule"),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(sources, old, new):
    assert old in RULE
    assert digest(sources, RULE.replace(old, new)) == digest(sources)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("* 2", "* 3"),
        ("* 2", "* 2.0"),
        ("* 2", "+ 2"),
        ("20.0", "20.5"),
        ("triangle(x) *", "triangle(-x) *"),
        ("def learn(self, x)", "def learn(self, x, y=None)"),
        ("return ", ""),
    ],
)
def test_code_changes_it(sources, old, new):
    assert digest(sources, RULE.replace(old, new)) != digest(sources)


def test_a_constant_in_an_imported_component_module_changes_it(sources):
    assert digest(sources, surrogate="def triangle(x):\n    return 0.4 * x\n") != digest(sources)
    assert digest(sources, surrogate="def triangle(x):\n    return 0.3 * x  # gamma\n") == digest(sources)


def test_imports_are_followed_to_the_end_and_round_in_a_circle(sources):
    first = "from throughtime.neurons import second\n"
    before, after = (
        digest(sources, surrogate=first, neurons__second=f"import throughtime.neurons.surrogate\nγ = {γ}\n")
        for γ in (1, 2)
    )
    assert before != after


@pytest.mark.parametrize(
    "imported",
    [
        "import throughtime.neurons.deep as d",
        "from throughtime.neurons import deep",
        "from throughtime.neurons.deep import γ",
        "from . import deep",
        "from .deep import γ as g",
        "def late():\n    from .deep import γ",
        "if TYPE_CHECKING:\n    import os\nelse:\n    from .deep import γ",
        "try:\n    from .deep import γ\nexcept ImportError:\n    γ = 0",
    ],
)
def test_every_form_of_import_is_seen(sources, imported):
    before, after = (digest(sources, surrogate=imported, neurons__deep=f"γ = {γ}") for γ in (1, 2))
    assert before != after


def test_imports_for_type_checkers_and_of_the_harness_are_not_followed(sources):
    for imported in (
        "if TYPE_CHECKING:\n    from throughtime.neurons import deep",
        "import typing\nif typing.TYPE_CHECKING:\n    from throughtime.neurons.deep import γ",
    ):
        before, after = (digest(sources, surrogate=imported, neurons__deep=f"γ = {γ}") for γ in (1, 2))
        assert before == after
    before, after = (digest(sources, surrogate="import throughtime.registry.x", registry__x=f"γ = {γ}") for γ in (1, 2))
    assert before == after


def test_the_name_and_place_of_a_plugin_do_not_matter(sources):
    sources(one=RULE, two=RULE)
    assert module_digest("one") == module_digest("two")


def test_the_package_of_an_installed_plugin_is_followed_without_importing_it(tmp_path, monkeypatch):
    result = []
    for place, γ in (("a", 1), ("b", 1), ("c", 2)):
        package = tmp_path / place / "plugged"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "rule.py").write_text("from .deep import γ\n\ndef rule(): ...\n")
        (package / "deep.py").write_text(f"γ = {γ}\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / place)
            module_digest.cache_clear()  # as in a process of its own
            result.append(module_digest("plugged.rule"))
        assert not {"plugged", "plugged.deep"} & sys.modules.keys()
    assert result[0] == result[1] != result[2]


def test_an_imported_module_counts_as_it_was_when_it_was_read(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("early", "late", "edited"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "rule.py").write_text("γ = 2\n" if name == "edited" else "γ = 1\n")
        importlib.import_module(f"{name}.rule")
    digests.read_imported(["early"])
    for name in ("early", "late"):
        (tmp_path / name / "rule.py").write_text("γ = 2\n")
    digests_of = {name: module_digest(f"{name}.rule") for name in ("early", "late", "edited")}
    assert digests_of["late"] == digests_of["edited"] != digests_of["early"]


def test_names_inside_modules_and_modules_that_are_not_there_have_no_file():
    assert digests._source_file("throughtime.errors").name == "errors.py"
    assert digests._source_file("throughtime.errors.UsageError") is None
    assert digests._source_file("throughtime.nothing") is None
    assert digests._source_file("no_such_thing.at.all") is None
    assert digests._source_file("math") is None


def test_code_without_a_file_is_refused():
    with pytest.raises(UsageError, match="nowhere has no source file"):
        module_digest("nowhere")


def test_the_harness_has_a_digest_of_its_own_without_torch():
    digest = module_digest("throughtime.passes.passes")
    assert len(digest) == 12
    assert digest == module_digest("throughtime.passes.passes")
    assert digest != module_digest("throughtime.harness.updater")


@pytest.mark.parametrize(
    "room", [name for name in ROOMS if name not in ("algorithms", "neurons", "networks", "datasets")]
)
def test_rooms_that_decide_or_measure_numbers_are_followed(sources, room):
    before, after = (digest(sources, f"import throughtime.{room}", **{f"__{room}": f"γ = {γ}"}) for γ in (1, 2))
    assert before != after


def test_all_that_a_pass_runs_on_is_followed_but_what_names_and_stores():
    """A new room that a measuring pass or a component imports must be filed as one or the other."""
    others = {"records", "suites", "spec", "errors", "registry", "display", "collector", "whole_files", "source_digest"}
    others |= {"python_files"}
    top = Path(digests.__file__).parent
    result: set[str] = set()
    waiting = {"passes", "algorithms", "neurons", "networks", "datasets"}
    while waiting:
        result.add(room := waiting.pop())
        folder = next((f for f in (top / room, top.parent / room) if f.is_dir()), None)
        for path in folder.rglob("*.py") if folder else ():
            named = re.findall(r"^ *from throughtime\.(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
            waiting |= set(named) - result - others
    assert result == set(ROOMS)
