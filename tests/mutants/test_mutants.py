"""The list of planted faults: each applies to the code as it is, and names what there is to notice it."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.mutants import ROOT, Mutant, each_alone, read, words_of
from throughtime.checks.own import harness, reference
from throughtime.checks.own.identities import BY_RULE
from throughtime.checks.run import FACTS, HARNESS, components


@pytest.fixture(scope="module")
def mutants() -> list[Mutant]:
    return read()


def test_there_are_at_least_150_different_faults(mutants):
    assert len({(m.file, m.old, m.new) for m in mutants}) == len(mutants) >= 150


@pytest.fixture(scope="module")
def sources(mutants) -> dict[str, str]:
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in {m.file for m in mutants}}


def test_each_fault_applies_and_is_another_program(mutants, sources):
    sound = {name: ast.dump(ast.parse(source)) for name, source in sources.items()}
    assert [m for m in mutants if ast.dump(ast.parse(m.applied(sources[m.file]))) == sound[m.file]] == []


def test_each_fault_has_the_names_that_it_uses(mutants, sources, tmp_path):
    """A NameError would be noticed in place of the fault."""
    for number, mutant in enumerate(mutants):
        (tmp_path / f"mutant{number}.py").write_text(mutant.applied(sources[mutant.file]), encoding="utf-8")
    words = ["ruff", "check", "--isolated", "--select", "F821,F823", "--output-format", "concise", str(tmp_path)]
    ended = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    found = [str(mutant) for number, mutant in enumerate(mutants) if f"mutant{number}.py:" in ended.stdout]
    assert (ended.returncode, found) == (0, []), ended.stderr


def test_what_must_notice_a_fault_exists(mutants):
    missing = []
    for is_check, names, only in {(c, tuple(n), k) for m in mutants for c, n, k in map(words_of, m.noticed_by)}:
        if is_check:
            facts = {name: [fact for c in components([name]) for fact in facts_of(c)] for name in names}
            missing += [(name, only) for name in names if not any(only in fact for fact in facts[name])]
        else:
            files = [ROOT / name for name in names if (ROOT / name).is_file()]
            missing += [name for name in names if ROOT / name not in files]
            words = set(re.findall(r"\w+", only)) - {"and", "or", "not"}
            known = " ".join(text for file in files for text in names_of_tests(file))
            missing += [(names, word) for word in words if word not in known]
    assert missing == []


def names_of_tests(path: Path) -> Iterator[str]:
    """Yield the names of a file's functions, and its texts, which may be names of parameters."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@functools.cache
def facts_of(component) -> list[str]:
    return [fact.name for fact in FACTS[component.kind](component) + reference.facts(component)]


def test_each_identity_and_each_fact_of_the_harness_must_find_a_fault(mutants):
    """A mutant must name the fact alone: by `-k` and a part of its name that no other fact of the component has."""
    named = {
        (name, only)
        for m in mutants
        for is_check, names, only in map(words_of, m.noticed_by)
        if is_check
        for name in names
    }
    facts = {name: [fact.name for fact in rule_facts] for name, rule_facts in BY_RULE.items()}
    facts[HARNESS.name] = [fact.name for fact in harness.facts(HARNESS)]
    unheld = [
        (name, fact)
        for name, fact_names in facts.items()
        for fact in fact_names
        if not any(
            component == name and only and [fact] == [other for other in fact_names if only in other]
            for component, only in named
        )
    ]
    assert unheld == []


def test_a_fault_that_no_longer_applies_is_named():
    mutant = Mutant("a.py", "a twist", "x = 1", "x = 2", ())
    assert mutant.applied("x = 1\n") == "x = 2\n"
    with pytest.raises(ValueError, match=r"a\.py: a twist: 'x = 1' occurs 2 times in the file"):
        mutant.applied("x = 1\nx = 1\n")


def test_a_list_is_read_with_the_words_that_choose_from_it(tmp_path: Path):
    (tmp_path / "few.yaml").write_text(
        "- file: a.py\n  noticed_by: [check lif -k kernel]\n  mutants:\n"
        "  - {plants: one, old: a, new: b}\n  - {plants: other, old: b, new: c, noticed_by: [tests/test_a.py]}\n"
    )
    first, other = read(tmp_path)
    assert (first.noticed_by, other.noticed_by) == (("check lif -k kernel",), ("tests/test_a.py",))
    assert read(tmp_path, ["other"]) == [other]
    assert words_of("check lif alif -k kernel") == (True, ["lif", "alif"], "kernel")
    assert each_alone('check lif alif -k "a b"') == ["check lif -k 'a b'", "check alif -k 'a b'"]
    assert words_of("tests/test_a.py") == (False, ["tests/test_a.py"], "")
