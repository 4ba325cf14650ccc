"""The list of planted faults: each applies to the code as it is, and names what there is to notice it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.mutants import ROOT, Mutant, read, words_of
from throughtime.checks.run import components

MUTANTS = read()


def test_there_are_at_least_150_different_faults():
    assert len({(m.file, m.old, m.new) for m in MUTANTS}) == len(MUTANTS) >= 150


def test_each_fault_applies_and_is_another_program():
    sources = {name: (ROOT / name).read_text(encoding="utf-8") for name in {m.file for m in MUTANTS}}
    sound = {name: ast.dump(ast.parse(source)) for name, source in sources.items()}
    assert [m for m in MUTANTS if ast.dump(ast.parse(m.applied(sources[m.file]))) == sound[m.file]] == []


def test_what_must_notice_a_fault_exists():
    for is_check, names, _ in {
        (c, tuple(n), k) for c, n, k in map(words_of, {n for m in MUTANTS for n in m.noticed_by})
    }:
        if is_check:
            components(names)
        else:
            assert all((ROOT / name).is_file() for name in names), names


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
    one, other = read(tmp_path)
    assert (one.noticed_by, other.noticed_by) == (("check lif -k kernel",), ("tests/test_a.py",))
    assert read(tmp_path, ["other"]) == [other]
    assert words_of("check lif alif -k kernel") == (True, ["lif", "alif"], "kernel")
    assert words_of("tests/test_a.py") == (False, ["tests/test_a.py"], "")
