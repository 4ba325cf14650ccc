"""Files that a user names by their path are imported as they are on the disk."""

from __future__ import annotations

import os
import sys

import pytest

from throughtime.python_files import import_file, module_name


def test_an_edit_of_the_same_size_within_a_second_is_executed(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("VALUE = 1\n")
    name = module_name("throughtime_test_", path)
    assert import_file(path, name).VALUE == 1
    written = path.stat().st_mtime_ns
    path.write_text("VALUE = 2\n")
    os.utime(path, ns=(written, written))
    assert import_file(path, name).VALUE == 2
    assert sys.modules.pop(name).VALUE == 2


def test_two_files_of_one_stem_are_two_modules(tmp_path):
    assert module_name("p_", tmp_path / "a" / "mine.py") != module_name("p_", tmp_path / "b" / "mine.py")


def test_a_file_that_raises_is_no_module(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("raise ValueError('no')\n")
    with pytest.raises(ValueError, match="no"):
        import_file(path, "throughtime_test_mine")
    assert "throughtime_test_mine" not in sys.modules
